#!/usr/bin/env python3
# Written by docs/generate_modules.py from the list of stages; crc32 of the rest: f3e3655f.
"""Stage `normalize`: bring a slice to a common intensity scale."""

from mosaicflow.cli import stage_command

stage_command("normalize")
