"""Finding the file that a list of tiles means, however another program spelled its name."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["FileNames"]

_DRIVE = re.compile(r"[A-Za-z]:/|//|/|file:/")


class FileNames:
    """The names of files that are there, found by what a list calls them.

    Parameters
    ----------
    names : iterable of str
        Names, or paths with slashes, as the file system has them.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)
        # Two files that differ in nothing else are told apart by their exact names only.
        composed = [(unicodedata.normalize("NFC", name), name) for name in sorted(self._names)]
        folded = [(key.casefold(), name) for key, name in composed]
        self._spellings = _unique(folded) | _unique(composed)

    def find(self, listed: str) -> str | None:
        """Return the name that a list means; None when there is no such file.

        Parameters
        ----------
        listed : str
            Name as listed: slashes of either kind, with ``./``, in either Unicode form, in
            another case where that is clear, in quotes, as the address of a file, or with the
            path on another machine before it.
        """
        if listed in self._names:
            return listed
        for spelled in _candidates(listed):
            composed = unicodedata.normalize("NFC", spelled)
            for key in (composed, composed.casefold()):
                if key in self._spellings:
                    return self._spellings[key]
        return None


def _unique(pairs: list[tuple[str, str]]) -> dict[str, str]:
    counts = Counter(key for key, _ in pairs)
    return {key: name for key, name in pairs if counts[key] == 1}


def _candidates(listed: str) -> Iterator[str]:
    # A quote at an end may belong to the name: as listed first, then without quotes.
    for plain in dict.fromkeys((listed.strip(), listed.strip("\"' "))):
        slashed = plain.replace("\\", "/")
        parts = [part for part in slashed.split("/") if part not in ("", ".")]
        yield "/".join(parts)
        if _DRIVE.match(slashed):
            for first in range(1, len(parts)):
                yield "/".join(parts[first:])
