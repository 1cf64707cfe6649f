#!/usr/bin/env python3
"""Stage `crop_interface`: let plane 0 of one slice be the block face."""

from mosaicflow.cli import stage_command

stage_command("crop_interface")
