#!/usr/bin/env python3
# Written by docs/generate_modules.py from the list of stages; crc32 of the rest: e7d9974e.
"""Stage `stitch_3d`: fuse the tiles of one mosaic grid into one seamless slice."""

from mosaicflow.cli import stage_command

stage_command("stitch_3d")
