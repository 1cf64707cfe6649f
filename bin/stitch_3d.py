#!/usr/bin/env python3
"""Stage `stitch_3d`: fuse the tiles of one mosaic grid into one seamless slice."""

from mosaicflow.cli import stage_command

stage_command("stitch_3d")
