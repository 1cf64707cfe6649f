#!/usr/bin/env python3
# Written by docs/generate_modules.py from the list of stages; crc32 of the rest: eda1a626.
"""Stage `resample_mosaic_grid`: bring the tiles of a grid to the working pitch."""

from mosaicflow.cli import stage_command

stage_command("resample_mosaic_grid")
