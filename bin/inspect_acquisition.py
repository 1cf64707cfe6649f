#!/usr/bin/env python3
# Written by docs/generate_modules.py from the list of stages; crc32 of the rest: 99f753f4.
"""Stage `inspect_acquisition`: find all tiles and say what is wrong before any work starts."""

from mosaicflow.cli import stage_command

stage_command("inspect_acquisition")
