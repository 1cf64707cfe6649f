#!/usr/bin/env python3
"""Stage `stack`: draw all slices into one volume with its analysis pyramid."""

from mosaicflow.cli import stage_command

stage_command("stack")
