"""How tests start the workflow engine."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def environment(**more: str) -> dict[str, str]:
    """Give the environment of a run: the commands of this Python first, no network, no colours."""
    return os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "NXF_OFFLINE": "true",
        "NXF_ANSI_LOG": "false",
        # A short life is not worth a good compiler.
        "NXF_JVM_ARGS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        **more,
    }
