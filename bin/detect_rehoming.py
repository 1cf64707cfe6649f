#!/usr/bin/env python3
# Written by docs/generate_modules.py from the list of stages; crc32 of the rest: c7675914.
"""Stage `detect_rehoming`: repair what the stage's positions cannot mean."""

from mosaicflow.cli import stage_command

stage_command("detect_rehoming")
