#!/usr/bin/env python3
# Written by docs/generate_modules.py from the list of stages; crc32 of the rest: 25c55807.
"""Stage `stack`: all slices, each sampled once, as one volume."""

from mosaicflow.cli import stage_command

stage_command("stack")
