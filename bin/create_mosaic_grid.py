#!/usr/bin/env python3
# Written by docs/generate_modules.py from the list of stages; crc32 of the rest: 5d5c8814.
"""Stage `create_mosaic_grid`: lay the raw tiles of one slice edge to edge in one store."""

from mosaicflow.cli import stage_command

stage_command("create_mosaic_grid")
