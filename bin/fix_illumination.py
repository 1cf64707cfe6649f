#!/usr/bin/env python3
"""Stage `fix_illumination`: divide the tiles of one grid by the flat field."""

from mosaicflow.cli import stage_command

stage_command("fix_illumination")
