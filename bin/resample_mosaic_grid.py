#!/usr/bin/env python3
"""Stage `resample_mosaic_grid`: bring the tiles of a grid to the working pitch."""

from mosaicflow.cli import stage_command

stage_command("resample_mosaic_grid")
