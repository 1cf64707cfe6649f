#!/usr/bin/env python3
"""Stage `correct_axial`: remove the axial profile of the focused beam."""

from mosaicflow.cli import stage_command

stage_command("correct_axial")
