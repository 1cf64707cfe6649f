#!/usr/bin/env python3
"""Stage `detect_rehoming`: repair what the stage's positions cannot mean."""

from mosaicflow.cli import stage_command

stage_command("detect_rehoming")
