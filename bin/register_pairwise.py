#!/usr/bin/env python3
"""Stage `register_pairwise`: how one slice lies on another, measured from their images."""

from mosaicflow.cli import stage_command

stage_command("register_pairwise")
