#!/usr/bin/env python3
# Written by docs/generate_modules.py from the list of stages; crc32 of the rest: f745406a.
"""Stage `report`: one page that says how far to trust the result."""

from mosaicflow.cli import stage_command

stage_command("report")
