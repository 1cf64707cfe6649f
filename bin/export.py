#!/usr/bin/env python3
# Written by docs/generate_modules.py from the list of stages; crc32 of the rest: 218e70a8.
"""Stage `export`: the volume as files of other programs."""

from mosaicflow.cli import stage_command

stage_command("export")
