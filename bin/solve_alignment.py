#!/usr/bin/env python3
"""Stage `solve_alignment`: one transform and one depth per slice, from all evidence at once."""

from mosaicflow.cli import stage_command

stage_command("solve_alignment")
