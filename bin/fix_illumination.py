#!/usr/bin/env python3
"""Stage `fix_illumination`: take the shading off every tile of a grid."""

from mosaicflow.cli import stage_command

stage_command("fix_illumination")
