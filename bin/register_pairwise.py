#!/usr/bin/env python3
# Written by docs/generate_modules.py from the list of stages; crc32 of the rest: 2e759782.
"""Stage `register_pairwise`: how one slice lies on another, measured from their images."""

from mosaicflow.cli import stage_command

stage_command("register_pairwise")
