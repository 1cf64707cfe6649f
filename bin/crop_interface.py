#!/usr/bin/env python3
# Written by docs/generate_modules.py from the list of stages; crc32 of the rest: d68fcf5b.
"""Stage `crop_interface`: drop the water, keep a fixed depth below the block face."""

from mosaicflow.cli import stage_command

stage_command("crop_interface")
