#!/usr/bin/env python3
"""Stage `estimate_tile_positions`: place the tiles of one slice by what their overlaps show."""

from mosaicflow.cli import stage_command

stage_command("estimate_tile_positions")
