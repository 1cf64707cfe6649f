#!/usr/bin/env python3
"""Stage `normalize`: scale each plane of one slice to a common range."""

from mosaicflow.cli import stage_command

stage_command("normalize")
