#!/usr/bin/env python3
"""Stage `pool_tile_positions`: place the tiles of all slices with one model of the stage."""

from mosaicflow.cli import stage_command

stage_command("pool_tile_positions")
