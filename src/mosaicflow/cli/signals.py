"""How a command ends that is interrupted: one line, and the exit code that shells expect."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

__all__ = [
    "Interrupted",
    "Terminated",
    "forget_signal",
    "interruptible",
    "open_streams",
    "was_heard",
]

_HEARD: list[int] = []  # a property of the process, as signals are


class Interrupted(KeyboardInterrupt):
    """Ctrl-C arrived.

    A plain KeyboardInterrupt that leaves `exec` of a text, of which dataclasses are made while
    modules load, would end the process by the signal whatever its exit code.
    """


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived, which schedulers send at the end of a job's time."""


def open_streams() -> None:
    """Give a process that was started with closed streams somewhere to write to.

    What it opens next would take their numbers, and messages would end up in a result.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            handle = os.open(os.devnull, os.O_RDWR)  # the lowest that is free
            if handle != number:
                os.dup2(handle, number)
                os.close(handle)
            mode = "r" if number == 0 else "w"
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


def was_heard() -> bool:
    """Whether a signal has arrived: what goes wrong from then on is its consequence."""
    return bool(_HEARD)


def forget_signal() -> None:
    """Go on after a Ctrl-C that was the planned end of a command."""
    _HEARD.clear()


@contextmanager
def interruptible() -> Iterator[None]:
    """Turn Ctrl-C and SIGTERM into one line and the exit codes 130 and 143."""
    open_streams()
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, _stop)
    try:
        yield
    except BaseException:  # also what an import or a library makes of the interruption
        if not _HEARD:
            raise
    finally:
        # The result is there, or the end is decided: tidying up takes a moment only.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if _HEARD:
        sys.stderr.write(_LINES[_HEARD[0]])
        sys.exit(128 + _HEARD[0])


def _stop(number: int, _frame: FrameType | None) -> None:
    if _HEARD:  # the first one did not get through, or whoever sends it is in a hurry
        os._exit(128 + number)
    _HEARD.append(number)
    raise Interrupted if number == signal.SIGINT else Terminated


_LINES = {
    int(signal.SIGINT): "error: interrupted; nothing unfinished was left under a final name\n",
    int(signal.SIGTERM): "error: stopped by signal 15; what is finished is kept\n",
}
