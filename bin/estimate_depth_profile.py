#!/usr/bin/env python3
"""Stage `estimate_depth_profile`: one brightness profile below the block face for all slices."""

from mosaicflow.cli import stage_command

stage_command("estimate_depth_profile")
