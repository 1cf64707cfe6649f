"""The syntax of STAR files: blocks, label-value pairs and loops."""

from __future__ import annotations

import bisect
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mosaicflow.formats.errors import FormatError
from mosaicflow.formats.source import read_text
from mosaicflow.formats.text_table import TextTable, require_distinct

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mosaicflow.formats.source import FilePath
    from mosaicflow.formats.text_table import SplitLine

__all__ = ["StarBlock", "read_star_blocks", "star_value"]

# A quote ends only before a blank or the line's end: 'it's' is one value.
_QUOTE_END = {quote: re.compile(rf"{quote}(?=\s|$)") for quote in "'\""}
_BARE_VALUE = re.compile(r"\S+")
# Begins with the line break, for which the engine has a fast search: eight times as fast as "^".
_KEYWORD = re.compile(r"\n[^\S\n]*(?=_|data_|loop_)")
_NEXT_VALUE = re.compile(r"\S")
_NEEDS_QUOTES = re.compile(r"""^$|^['"#_]|^(?:data_|loop_|save_|global_|stop_)|\s""")


@dataclass(frozen=True, slots=True)
class StarBlock:
    """One table of a STAR file: a loop, or the label-value pairs of a block as a single row.

    Attributes
    ----------
    name : str
        Block name without ``data_``.
    table : TextTable
        Its columns, under their labels with the leading underscore.
    """

    name: str
    table: TextTable


def read_star_blocks(path: FilePath) -> list[StarBlock]:
    """Find the tables of a STAR file, in file order.

    Parameters
    ----------
    path : str or path-like
        Plain or compressed STAR file.

    Returns
    -------
    list of StarBlock
        Rows are converted when a table is first used.

    Raises
    ------
    FormatError
        If the file is no STAR file.
    """
    blocks = _Scanner(path, read_text(path)).blocks()
    if not blocks:
        raise FormatError(path, "no data_ block: this is no STAR file")
    return blocks


def star_value(text: str) -> str:
    """Quote a text where a STAR file needs it.

    Raises
    ------
    ValueError
        If the text has a line break, which a quoted value cannot hold.
    """
    if "\n" in text or "\r" in text:
        raise ValueError(f"a STAR value cannot hold a line break: {text!r}")
    if not _NEEDS_QUOTES.search(text):
        return text
    for quote in "\"'":
        if not re.search(rf"{quote}\s", text):
            return f"{quote}{text}{quote}"
    raise ValueError(f"a STAR value cannot hold both kinds of quote before blanks: {text!r}")


class _Scanner:
    """Walks over the lines of one file."""

    def __init__(self, path: FilePath, text: str) -> None:
        self._path = path
        self._lines = text.split("\n")
        self._keywords = _keyword_lines(text)
        self._at = 0
        self._split = _splitter(path)

    def blocks(self) -> list[StarBlock]:
        found: list[StarBlock] = []
        name: str | None = None
        while self._at < len(self._lines):
            values = self._split(self._lines[self._at], self._at + 1)
            if not values:
                self._at += 1
            elif len(values) == 1 and values[0].startswith("data_"):
                self._at += 1
                name = values[0][len("data_") :]
            elif name is None:
                raise self._error(f"'{values[0][:40]}' stands before the first data_ block")
            elif values[0] == "loop_":
                found.append(StarBlock(name, self._loop()))
            elif self._at_label():
                found.append(StarBlock(name, self._pairs()))
            else:
                raise self._error(f"'{values[0][:40]}' stands outside of a loop")
        return found

    def _loop(self) -> TextTable:
        self._at += 1
        first = self._at + 1
        labels: list[str] = []
        while self._at < len(self._lines):
            values = self._split(self._lines[self._at], self._at + 1)
            if values and not self._at_label():
                break
            if len(values) > 1:
                raise self._error(f"'{values[1][:40]}' follows the label of a loop column")
            labels += values
            self._at += 1
        if not labels:
            raise FormatError(self._path, "a loop_ without column labels", line=first - 1)
        require_distinct(self._path, labels, line=first)
        start = self._at
        self._at = self._end_of_rows(start)
        return self._table(labels, start, self._at)

    def _end_of_rows(self, start: int) -> int:
        first = bisect.bisect_left(self._keywords, start)
        candidates = self._keywords[first:]
        ends = (index for index in candidates if _opens_block(self._lines[index]))
        return next(ends, len(self._lines))

    def _pairs(self) -> TextTable:
        labels: list[str] = []
        row: list[str] = []
        start = self._at
        while self._at < len(self._lines):
            values = self._split(self._lines[self._at], self._at + 1)
            if values and not self._at_label():
                break
            if values:
                if len(values) != 2:
                    raise self._error(f"label '{values[0]}' has {len(values) - 1} values, not one")
                labels.append(values[0])
                row.append(values[1])
            self._at += 1
        require_distinct(self._path, labels, line=start + 1)

        def one_row(text: str, line: int) -> list[str]:
            return row

        return TextTable(self._path, labels, [""], first_line=start + 1, split=one_row)

    def _table(self, labels: Sequence[str], start: int, end: int) -> TextTable:
        rows = self._lines[start:end]
        text = "\n".join(rows)
        return TextTable(
            self._path,
            labels,
            rows,
            first_line=start + 1,
            split=self._split,
            plain=not any(mark in text for mark in "'\"#"),
        )

    def _at_label(self) -> bool:
        # Not the split values: a quoted '_x' is a value.
        return self._lines[self._at].lstrip().startswith("_")

    def _error(self, reason: str) -> FormatError:
        return FormatError(self._path, reason, line=self._at + 1)


def _keyword_lines(text: str) -> list[int]:
    """Numbers of the lines after the first that may end the rows of a loop, counted from 0."""
    numbers = []
    line = place = 0
    for match in _KEYWORD.finditer(text):
        line += text.count("\n", place, match.start() + 1)
        place = match.start() + 1
        numbers.append(line)
    return numbers


def _opens_block(line: str) -> bool:
    """Whether a line ends a loop: a label, loop_, or data_ and nothing else.

    A row may begin with a file called data_1.mrc: only a word alone opens a block.
    """
    words = line.split()
    alone = len(words) == 1 or words[1].startswith("#")
    return words[0].startswith("_") or (
        alone and (words[0] == "loop_" or words[0].startswith("data_"))
    )


def _splitter(path: FilePath) -> SplitLine:
    def split(text: str, line: int) -> list[str]:
        if "'" in text or '"' in text or "#" in text:
            return _split_quoted(path, text, line)
        return text.split()

    return split


def _split_quoted(path: FilePath, text: str, line: int) -> list[str]:
    values = []
    place = 0
    while found := _NEXT_VALUE.search(text, place):
        start = found.start()
        character = text[start]
        if character == "#":
            break
        if character in _QUOTE_END:
            end = _QUOTE_END[character].search(text, start + 1)
            if end is None:
                raise FormatError(path, f"the quote at column {start + 1} never ends", line=line)
            values.append(text[start + 1 : end.start()])
            place = end.end()
        else:
            bare = _BARE_VALUE.match(text, start)
            place = bare.end() if bare else len(text)
            values.append(text[start:place])
    return values
