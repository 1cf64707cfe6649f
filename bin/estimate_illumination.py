#!/usr/bin/env python3
# Written by docs/generate_modules.py from the list of stages; crc32 of the rest: f2d15692.
"""Stage `estimate_illumination`: one flat field and field curvature for the acquisition."""

from mosaicflow.cli import stage_command

stage_command("estimate_illumination")
