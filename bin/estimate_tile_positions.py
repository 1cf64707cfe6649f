#!/usr/bin/env python3
# Written by docs/generate_modules.py from the list of stages; crc32 of the rest: 651550ef.
"""Stage `estimate_tile_positions`: how the tiles of one slice lie beside each other."""

from mosaicflow.cli import stage_command

stage_command("estimate_tile_positions")
