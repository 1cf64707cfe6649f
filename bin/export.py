#!/usr/bin/env python3
"""Stage `export`: the volume as files of other programs."""

from mosaicflow.cli import stage_command

stage_command("export")
