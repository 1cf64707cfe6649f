#!/usr/bin/env python3
# Written by docs/generate_modules.py from the list of stages; crc32 of the rest: a8a1902c.
"""Stage `fix_illumination`: take the shading off every tile of a grid."""

from mosaicflow.cli import stage_command

stage_command("fix_illumination")
