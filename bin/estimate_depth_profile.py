#!/usr/bin/env python3
# Written by docs/generate_modules.py from the list of stages; crc32 of the rest: 97a8dc20.
"""Stage `estimate_depth_profile`: one brightness profile below the block face for all slices."""

from mosaicflow.cli import stage_command

stage_command("estimate_depth_profile")
