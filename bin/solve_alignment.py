#!/usr/bin/env python3
"""Stage `solve_alignment`: decide where every slice goes."""

from mosaicflow.cli import stage_command

stage_command("solve_alignment")
