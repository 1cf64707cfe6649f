"""Memory that processes take, where the system tells it (Linux); None elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["forget_peak", "peak_bytes", "tree_bytes"]

_PROC = Path("/proc")
# The system counts in these [bytes], by its definition.
_KIB = 1024
# Written to clear_refs, it sets the peak back to what is resident now; see proc(5).
_SET_PEAK_BACK = "5"


def forget_peak() -> bool:
    """Set the peak of this process back to what it takes now; whether that could be done."""
    try:
        (_PROC / "self/clear_refs").write_text(_SET_PEAK_BACK)
    except OSError:
        return False
    return True


def peak_bytes() -> int | None:
    """Give the most that was resident of this process since `forget_peak` [bytes]."""
    return _counted(_PROC / "self/status", "VmHWM:")


def tree_bytes() -> int | None:
    """Count what this process and all below it take now; what they share counts once [bytes]."""
    total = _counted(_PROC / "self/smaps_rollup", "Pss:")
    if total is None:
        return None
    waiting = _children(os.getpid())
    while waiting:
        pid = waiting.pop()
        total += _counted(_PROC / str(pid) / "smaps_rollup", "Pss:") or 0  # it may have ended
        waiting += _children(pid)
    return total


def _counted(file: Path, key: str) -> int | None:
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return None
    found = next((line for line in lines if line.startswith(key)), None)
    return None if found is None else int(found.split()[1]) * _KIB


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for file in (_PROC / str(pid)).glob("task/*/children"):
        try:
            found += map(int, file.read_text().split())
        except OSError:
            continue  # the thread has ended
    return found
