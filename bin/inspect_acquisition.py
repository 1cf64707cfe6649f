#!/usr/bin/env python3
"""Stage `inspect_acquisition`: find all tiles and say what is wrong before any work starts."""

from mosaicflow.cli import stage_command

stage_command("inspect_acquisition")
