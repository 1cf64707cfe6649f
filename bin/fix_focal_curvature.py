#!/usr/bin/env python3
"""Stage `fix_focal_curvature`: divide the tiles of one grid by the flat field."""

from mosaicflow.cli import stage_command

stage_command("fix_focal_curvature")
