#!/usr/bin/env python3
"""Stage `resample_mosaic_grid`: average the tiles of one grid down to the working pitch."""

from mosaicflow.cli import stage_command

stage_command("resample_mosaic_grid")
