#!/usr/bin/env python3
"""Stage `estimate_illumination`: one flat field and field curvature for the acquisition."""

from mosaicflow.cli import stage_command

stage_command("estimate_illumination")
