#!/usr/bin/env python3
# Written by docs/generate_modules.py from the list of stages; crc32 of the rest: 741ba4a5.
"""Stage `correct_axial`: remove the axial profile of the focused beam."""

from mosaicflow.cli import stage_command

stage_command("correct_axial")
