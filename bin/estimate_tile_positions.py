#!/usr/bin/env python3
"""Stage `estimate_tile_positions`: how the tiles of one slice lie beside each other."""

from mosaicflow.cli import stage_command

stage_command("estimate_tile_positions")
