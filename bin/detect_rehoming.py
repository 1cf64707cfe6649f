#!/usr/bin/env python3
"""Stage `detect_rehoming`: tell jumps of the stage from genuine moves between slices."""

from mosaicflow.cli import stage_command

stage_command("detect_rehoming")
