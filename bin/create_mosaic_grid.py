#!/usr/bin/env python3
"""Stage `create_mosaic_grid`: lay the raw tiles of one slice edge to edge in one store."""

from mosaicflow.cli import stage_command

stage_command("create_mosaic_grid")
