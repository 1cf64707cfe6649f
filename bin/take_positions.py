#!/usr/bin/env python3
"""Stage `take_positions`: places of tiles and slices that another run measured."""

from mosaicflow.cli import stage_command

stage_command("take_positions")
