"""Generated files: a seal tells an edit by hand, which is kept, from an older version."""

from __future__ import annotations

import re
import sys
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

__all__ = ["SEAL", "is_edited", "seal", "write_all"]

SEAL = "crc32 of the rest: 00000000"
"""What a text to be sealed holds, once."""
_SEAL = re.compile(r"crc32 of the rest: ([0-9a-f]{8})")


def seal(text: str) -> str:
    """Put the checksum of a text into it, in place of the zeros of `SEAL`."""
    return text.replace(SEAL, SEAL.replace("0" * 8, _sum_of(text)))


def is_edited(text: str) -> bool:
    """Whether a sealed text is not as it was written; one without a seal is not known."""
    found = _SEAL.search(text)
    return found is not None and found[1] != _sum_of(_SEAL.sub(SEAL, text))


def write_all(
    script: str, wanted: Mapping[Path, str], holds_edit: Callable[[str], bool] = is_edited
) -> int:
    """Write what is out of date, or with ``--check`` only name it; give the exit code.

    Parameters
    ----------
    script : str
        What to run, for the message.
    wanted : mapping of Path to str
        Text of each generated file.
    holds_edit : callable
        Whether writing a file with this text would lose an edit by hand: then nothing is written.
    """
    found = {path: path.read_text("utf-8") for path in wanted if path.is_file()}
    stale = [path for path in wanted if found.get(path) != wanted[path]]
    if "--check" in sys.argv[1:]:
        for path in stale:
            sys.stderr.write(f"{path}: out of date, run python {script}\n")
        return 1 if stale else 0
    edited = [path for path in stale if path in found and holds_edit(found[path])]
    for path in edited:
        sys.stderr.write(
            f"{path}: was edited by hand; say it in the contract of the stage, take the edit back"
            " (git checkout) and run again\n"
        )
    for path in () if edited else stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted[path], encoding="utf-8")
        if wanted[path].startswith("#!"):
            path.chmod(0o755)
    return 1 if edited else 0


def _sum_of(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"
