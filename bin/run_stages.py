#!/usr/bin/env python3
"""Several stages of one slice, one after the other, in one process."""

from mosaicflow.cli import stages_command

stages_command()
