#!/usr/bin/env python3
"""Stage `join_angle`: make one volume of angles from those of cosine and sine."""

from mosaicflow.cli import stage_command

stage_command("join_angle")
