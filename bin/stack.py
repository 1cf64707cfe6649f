#!/usr/bin/env python3
"""Stage `stack`: all slices, each sampled once, as one volume."""

from mosaicflow.cli import stage_command

stage_command("stack")
