"""The syntax of STAR files: blocks, label-value pairs and loops."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.formats.ground.decimals import Words, find_words
from mosaicflow.formats.ground.errors import FormatError
from mosaicflow.formats.ground.source import read_text
from mosaicflow.formats.ground.text_table import TextTable, require_distinct

if TYPE_CHECKING:
    from mosaicflow.formats.ground.source import FilePath
    from mosaicflow.formats.ground.text_table import SplitLine

__all__ = ["StarBlock", "read_star_blocks", "star_value"]

# One value in quotes, a comment, or one bare value. A quote ends only before a blank or the line's
# end: 'it's' is one value.
_VALUE = re.compile(
    r""" "((?:[^"]|"(?!\s|$))*)"(?=\s|$) | '((?:[^']|'(?!\s|$))*)'(?=\s|$) | (\#) | (\S+) """,
    re.VERBOSE,
)
_COMMENT, _BARE = 3, 4
# Begins with the line break, for which the engine has a fast search: eight times as fast as "^".
_KEYWORD = re.compile(r"\n[^\S\n]*(?=_|data_|loop_)")
# The same over many lines: quoted values, comments, quotes that never end. Each begins with its
# mark, for which the engine has a fast search, and only then looks back whether a value begins.
_MARKED = re.compile(
    r"""
    "(?<!\S") [^"\n]* (?:"(?=\S)[^"\n]*)* "(?!\S) |
    '(?<!\S') [^'\n]* (?:'(?=\S)[^'\n]*)* '(?!\S) |
    \#(?<!\S\#)[^\n]* | "(?<!\S") | '(?<!\S')
    """,
    re.VERBOSE,
)
# Stands for a blank within quotes while rows are cut at blanks: ASCII, and found in no text.
_HIDDEN_BLANK = "\x7f"
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
        self._text = text
        self._split = _splitter(path)
        # Where the line at work begins, and the number of the line that begins at `_counted_to`.
        self._at = self._counted_to = 0
        self._count = 1

    def blocks(self) -> list[StarBlock]:
        found: list[StarBlock] = []
        name: str | None = None
        while not self._at_end():
            values = self._values()
            if not values:
                self._go_on()
            elif len(values) == 1 and values[0].startswith("data_"):
                self._go_on()
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
        loop = self._number
        self._go_on()
        labels: list[str] = []
        while not self._at_end():
            values = self._values()
            if values and not self._at_label():
                break
            if len(values) > 1:
                raise self._error(f"'{values[1][:40]}' follows the label of a loop column")
            labels += values
            self._go_on()
        if not labels:
            raise FormatError(self._path, "a loop_ without column labels", line=loop)
        require_distinct(self._path, labels, line=loop + 1)
        first_line = self._number
        rows = self._text[self._at : self._end_of_rows()]
        self._at += len(rows)
        return TextTable(
            self._path,
            labels,
            rows,
            first_line=first_line,
            split=self._split,
            find_words=_find_marked_words if any(mark in rows for mark in "'\"#") else find_words,
        )

    def _end_of_rows(self) -> int:
        for match in _KEYWORD.finditer(self._text, max(self._at - 1, 0)):
            if _opens_block(self._line(match.start() + 1)):
                return match.start() + 1
        return len(self._text)

    def _pairs(self) -> TextTable:
        labels: list[str] = []
        row: list[str] = []
        start = self._number
        while not self._at_end():
            values = self._values()
            if values and not self._at_label():
                break
            if values:
                if len(values) != 2:
                    raise self._error(f"label '{values[0]}' has {len(values) - 1} values, not one")
                labels.append(values[0])
                row.append(values[1])
            self._go_on()
        require_distinct(self._path, labels, line=start)

        def one_row(text: str, line: int) -> list[str]:
            return row

        return TextTable(self._path, labels, " ", first_line=start, split=one_row)

    @property
    def _number(self) -> int:
        """Number of the line at work, counted from 1."""
        self._count += self._text.count("\n", self._counted_to, self._at)
        self._counted_to = self._at
        return self._count

    def _line(self, start: int) -> str:
        end = self._text.find("\n", start)
        return self._text[start:end] if end >= 0 else self._text[start:]

    def _values(self) -> list[str]:
        return self._split(self._line(self._at), self._number)

    def _at_label(self) -> bool:
        # Not the split values: a quoted '_x' is a value.
        return self._line(self._at).lstrip().startswith("_")

    def _at_end(self) -> bool:
        return self._at >= len(self._text)

    def _go_on(self) -> None:
        self._at += len(self._line(self._at)) + 1

    def _error(self, reason: str) -> FormatError:
        return FormatError(self._path, reason, line=self._number)


def _opens_block(line: str) -> bool:
    """Whether a line ends a loop: a label, loop_, or data_ and nothing else.

    A row may begin with a file called data_1.mrc: only a word alone opens a block.
    """
    words = line.split()
    alone = len(words) == 1 or words[1].startswith("#")
    return words[0].startswith("_") or (
        alone and (words[0] == "loop_" or words[0].startswith("data_"))
    )


def _find_marked_words(text: str, width: int) -> Words | None:
    """As `find_words` for rows with quotes and comments; None if they ask for more care."""
    if _HIDDEN_BLANK in text:
        return None
    words = find_words(_MARKED.sub(_hide, text), width)
    if words is None:
        return None
    first = np.frombuffer(words.content, dtype=np.uint8)[words.starts]
    quoted = (first == ord("'")) | (first == ord('"'))
    content = words.content.replace(_HIDDEN_BLANK.encode(), b" ")
    return Words(content, words.starts + quoted, words.ends - quoted)


def _hide(match: re.Match[str]) -> str:
    marked = match[0]
    if marked[0] == "#":
        return ""
    # A character of no text, which `find_words` leaves to the splitter and its messages.
    if len(marked) == 1 or "\t" in marked:
        return "\0"
    return marked.replace(" ", _HIDDEN_BLANK)


def _splitter(path: FilePath) -> SplitLine:
    def split(text: str, line: int) -> list[str]:
        if "'" in text or '"' in text or "#" in text:
            return _split_quoted(path, text, line)
        return text.split()

    return split


def _split_quoted(path: FilePath, text: str, line: int) -> list[str]:
    values = []
    for match in _VALUE.finditer(text):
        kind = match.lastindex or _BARE
        if kind == _COMMENT:
            break
        if kind == _BARE and match[0][0] in "'\"":
            raise FormatError(
                path, f"the quote at column {match.start() + 1} never ends", line=line
            )
        values.append(match[kind])
    return values
