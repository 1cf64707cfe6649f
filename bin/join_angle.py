#!/usr/bin/env python3
# Written by docs/generate_modules.py from the list of stages; crc32 of the rest: 91de9c84.
"""Stage `join_angle`: one volume of angles, from those of cosine and sine of the doubled angle."""

from mosaicflow.cli import stage_command

stage_command("join_angle")
