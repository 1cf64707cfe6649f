#!/usr/bin/env python3
# Written by docs/generate_modules.py from the list of stages; crc32 of the rest: 53ba41d4.
"""Stage `fix_focal_curvature`: make a flat face flat in every tile."""

from mosaicflow.cli import stage_command

stage_command("fix_focal_curvature")
