#!/usr/bin/env python3
"""Stage `estimate_illumination`: estimate the lateral shading that all tiles share."""

from mosaicflow.cli import stage_command

stage_command("estimate_illumination")
