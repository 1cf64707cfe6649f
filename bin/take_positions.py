#!/usr/bin/env python3
# Written by docs/generate_modules.py from the list of stages; crc32 of the rest: 69454e66.
"""Stage `take_positions`: places of tiles and slices that another run measured."""

from mosaicflow.cli import stage_command

stage_command("take_positions")
