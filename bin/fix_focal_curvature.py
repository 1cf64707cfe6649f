#!/usr/bin/env python3
"""Stage `fix_focal_curvature`: make a flat face flat in every tile."""

from mosaicflow.cli import stage_command

stage_command("fix_focal_curvature")
