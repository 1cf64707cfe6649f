#!/usr/bin/env python3
"""Stage `pool_tile_positions`: where each tile lies, with one stage model for all slices."""

from mosaicflow.cli import stage_command

stage_command("pool_tile_positions")
