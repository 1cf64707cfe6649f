"""Telling somebody that a run has ended: a command of the user's own."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from mosaicflow.engine.disk import say

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["tell_end"]

# Seconds that the command may take: a mail leaves in one, a slow network in ten. Without a limit a
# server that never answers would keep a finished run, and what waits for it, for ever.
_PATIENCE_S = 60


def tell_end(command: str, status: str, root: Path) -> None:
    """Run the user's command; that it fails is said, and changes nothing about the run.

    Parameters
    ----------
    command : str
        For the shell; empty: nothing is run.
    status : str
        ``ok``, ``warning`` or ``error`` (the verdict), or ``failed`` without a volume.
    root : Path
        Output folder.
    """
    if not command:
        return
    told = {
        "MOSAICFLOW_STATUS": status,
        "MOSAICFLOW_OUTPUT": str(root.absolute()),
        "MOSAICFLOW_REPORT": "" if status == "failed" else str(root.absolute() / "report.html"),
    }
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            env={**os.environ, **told},
            stdin=subprocess.DEVNULL,
            timeout=_PATIENCE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        say(f"warning: on_end: {error}\n")
    else:
        if done.returncode:
            say(f"warning: on_end: the command ended with exit code {done.returncode}\n")
