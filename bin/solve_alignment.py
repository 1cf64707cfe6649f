#!/usr/bin/env python3
# Written by docs/generate_modules.py from the list of stages; crc32 of the rest: 01112bf9.
"""Stage `solve_alignment`: one transform and one depth per slice, from all evidence at once."""

from mosaicflow.cli import stage_command

stage_command("solve_alignment")
