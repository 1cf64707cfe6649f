"""Seals on generated files: a checksum in the text tells an edit by hand from an older version."""

from __future__ import annotations

import re
import sys
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["SEAL", "is_edited", "refused", "seal"]

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


def refused(edited: Iterable[Path]) -> bool:
    """Name the files that were edited by hand; whether there are any."""
    told = False
    for path in edited:
        told = True
        sys.stderr.write(
            f"{path}: was edited by hand; say it in the contract of the stage, take the edit back"
            " (git checkout) and run again\n"
        )
    return told


def _sum_of(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"
