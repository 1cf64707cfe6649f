#!/usr/bin/env python3
"""Stage `inspect_acquisition`: list the tiles of an acquisition, their places and all problems."""

from mosaicflow.cli import stage_command

stage_command("inspect_acquisition")
