#!/usr/bin/env python3
"""Stage `join_angle`: one volume of angles, from those of cosine and sine of the doubled angle."""

from mosaicflow.cli import stage_command

stage_command("join_angle")
