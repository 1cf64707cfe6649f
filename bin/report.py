#!/usr/bin/env python3
"""Stage `report`: one page that says how far to trust the result."""

from mosaicflow.cli import stage_command

stage_command("report")
