#!/usr/bin/env python3
"""Stage `crop_interface`: drop the water, keep a fixed depth below the block face."""

from mosaicflow.cli import stage_command

stage_command("crop_interface")
