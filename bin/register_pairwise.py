#!/usr/bin/env python3
"""Stage `register_pairwise`: register one slice on another a few cuts above it."""

from mosaicflow.cli import stage_command

stage_command("register_pairwise")
