#!/usr/bin/env python3
# Written by docs/generate_modules.py from the list of stages; crc32 of the rest: 27736070.
"""Stage `pool_tile_positions`: where each tile lies, with one stage model for all slices."""

from mosaicflow.cli import stage_command

stage_command("pool_tile_positions")
