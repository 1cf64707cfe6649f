#!/usr/bin/env python3
"""Stage `normalize`: bring a slice to a common intensity scale."""

from mosaicflow.cli import stage_command

stage_command("normalize")
