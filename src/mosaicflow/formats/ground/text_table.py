"""Columns out of lines of text, a piece at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.formats.ground.errors import FormatError
from mosaicflow.formats.ground.records import LARGEST_COORDINATE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from mosaicflow.formats.ground.decimals import Words
    from mosaicflow.formats.ground.source import FilePath

    # Finds the words of whole lines that have as many each; None if the lines ask for more care.
    FindWords = Callable[[str, int], Words | None]
    # Splits the line with a given number (counted from 1) into its values; [] for none.
    SplitLine = Callable[[str, int], list[str]]

# Small enough that what is made of a piece stays in the processor's cache.
_PIECE_CHARACTERS = 1 << 17
# Fixed-width text arrays pad every value to the longest one.
_LARGEST_PADDED_BYTES = 256 << 20


class TextTable:
    """Named columns of equally long rows, converted when they are first asked for.

    Parameters
    ----------
    path : path-like
        The file, for messages.
    names : sequence of str
        Column names.
    text : str
        Lines that hold the rows; those that split into nothing are passed over.
    first_line : int
        Line number of the first one, counted from 1.
    split : callable
        Splits a line into its values.
    find_words : callable, optional
        Finds the values of many lines at once where white space separates them.
    """

    def __init__(
        self,
        path: FilePath,
        names: Sequence[str],
        text: str,
        *,
        first_line: int,
        split: SplitLine,
        find_words: FindWords | None = None,
    ) -> None:
        self.path = path
        self.names = list(names)
        self._text = text
        self._first_line = first_line
        self._split = split
        self._find_words = find_words
        self._columns: dict[str, NDArray[Any]] | None = None

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()))) if self.names else 0

    @property
    def columns(self) -> dict[str, NDArray[Any]]:
        """Values by name: float64 where every value is a number, else text.

        Raises
        ------
        FormatError
            If a row has another number of values than there are names.
        """
        if self._columns is None:
            self._columns = self._convert_words() or self._convert()
        return self._columns

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Return a column that must hold numbers within the range of float32, shape (N,).

        Raises
        ------
        FormatError
            If a value is none; the message has its line.
        """
        values = self.columns[name]
        if values.dtype.kind != "f":
            row = next(row for row, text in enumerate(values) if _as_float(text) is None)
            raise self.error(row, f"{name} is '{values[row]}', a number is expected")
        bad = ~(np.abs(values) <= LARGEST_COORDINATE)
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise self.error(row, f"{name} is {values[row]}, a finite float32 is expected")
        return values

    def first_row(self) -> dict[str, str] | None:
        """Return the first row as text without reading the others; None if there is none."""
        for values, line in self._rows():
            self._require_width(values, line)
            return dict(zip(self.names, values, strict=True))
        return None

    def error(self, row: int, reason: str) -> FormatError:
        """Make the error for a row, counted from 0, with its line in the file."""
        for index, (_, line) in enumerate(self._rows()):
            if index == row:
                return FormatError(self.path, reason, line=line)
        return FormatError(self.path, reason)

    def _pieces(self) -> Iterator[str]:
        """Yield the text in pieces of whole lines."""
        start = 0
        while start < len(self._text):
            end = self._text.rfind("\n", start, start + _PIECE_CHARACTERS)
            if end < 0:
                # The last line, or one of more than a piece.
                end = self._text.find("\n", start)
            piece = self._text[start:end] if end >= 0 else self._text[start:]
            yield piece
            start += len(piece) + 1

    def _numbered(self) -> Iterator[list[tuple[int, str]]]:
        """Yield the lines of each piece with their numbers."""
        number = self._first_line
        for piece in self._pieces():
            lines = piece.split("\n")
            yield list(enumerate(lines, start=number))
            number += len(lines)

    def _rows(self) -> Iterator[tuple[list[str], int]]:
        for lines in self._numbered():
            for number, text in lines:
                if values := self._split(text, number):
                    yield values, number

    def _require_width(self, values: list[str], line: int) -> None:
        if len(values) != len(self.names):
            raise FormatError(
                self.path,
                f"{len(values)} values, but there are {len(self.names)} columns",
                line=line,
            )

    def _batches(self) -> Iterator[list[tuple[str, ...]]]:
        """Yield columns of text, one piece at a time."""
        width = len(self.names)
        split = self._split
        for lines in self._numbered():
            rows = [split(text, number) for number, text in lines]
            widths = set(map(len, rows))
            if widths - {0, width}:
                line, values = next((i, r) for i, r in enumerate(rows) if len(r) not in (0, width))
                self._require_width(values, lines[line][0])
            if 0 in widths:
                rows = [row for row in rows if row]
            if rows:
                yield list(zip(*rows, strict=True))

    def _convert_words(self) -> dict[str, NDArray[Any]] | None:
        """Read many lines at once, in a third of the time; None if the text asks for more care."""
        if self._find_words is None:
            return None
        numbers = [np.empty((0, len(self.names)))]
        texts: dict[int, list[str]] = {}
        for piece in self._pieces():
            words = self._find_words(piece, len(self.names))
            if words is None:
                return None
            values, known = words.decimals()
            for column in np.flatnonzero(~known.all(axis=0)).tolist():
                if column not in texts and not _completed(words, column, values, known):
                    if len(numbers) > 1:
                        # The column turns to text here, and its first texts are gone.
                        return None
                    texts[column] = []
            for column, parts in texts.items():
                parts += words.texts(column)
            numbers.append(values)
        return {
            name: text_array(texts[column])
            if column in texts
            else np.concatenate([values[:, column] for values in numbers])
            for column, name in enumerate(self.names)
        }

    def _convert(self) -> dict[str, NDArray[Any]]:
        numbers: list[list[NDArray[np.float64]] | None] = [[] for _ in self.names]
        for batch in self._batches():
            for index, texts in enumerate(batch):
                if (parts := numbers[index]) is not None:
                    floats = _floats(texts)
                    if floats is None:
                        numbers[index] = None
                    else:
                        parts.append(floats)
        wanted = [index for index, parts in enumerate(numbers) if parts is None]
        texts_by_index = self._texts(wanted)
        return {
            name: texts_by_index[i] if parts is None else np.concatenate([np.empty(0), *parts])
            for i, (name, parts) in enumerate(zip(self.names, numbers, strict=True))
        }

    def _texts(self, indices: list[int]) -> dict[int, NDArray[Any]]:
        # A second pass over the lines costs less memory than keeping every text for the case that
        # a later batch shows the column to be no numbers.
        parts: dict[int, list[str]] = {index: [] for index in indices}
        if indices:
            for batch in self._batches():
                for index in indices:
                    parts[index].extend(batch[index])
        return {index: text_array(values) for index, values in parts.items()}


def text_array(values: list[str]) -> NDArray[Any]:
    """Make an array of texts; of Python strings where padding would cost too much memory.

    Parameters
    ----------
    values : list of str

    Returns
    -------
    ndarray, shape (N,), str or object
    """
    longest = max(map(len, values), default=1)
    if longest * len(values) * 4 > _LARGEST_PADDED_BYTES:
        return np.array(values, dtype=object)
    return np.array(values, dtype=np.str_)


def require_distinct(path: FilePath, names: Sequence[str], *, line: int) -> None:
    """Refuse a header that names a column twice.

    Raises
    ------
    FormatError
        If it does.
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise FormatError(path, f"column '{name}' is there twice", line=line)
        seen.add(name)


def _completed(
    words: Words, column: int, values: NDArray[np.float64], known: NDArray[np.bool_]
) -> bool:
    """Fill in the numbers of a column that are more than plain digits; False if one is none."""
    for row in np.flatnonzero(~known[:, column]).tolist():
        number = _as_float(words.text(row, column))
        if number is None:
            return False
        values[row, column] = number
    return True


def _as_float(text: str) -> float | None:
    # Python reads "1_2" as 12, but here it is a name.
    if "_" in text:
        return None
    try:
        return float(text)
    except ValueError:
        return None


def _floats(texts: tuple[str, ...]) -> NDArray[np.float64] | None:
    try:
        values = np.fromiter(map(float, texts), dtype=np.float64, count=len(texts))
    except ValueError:
        return None
    return None if "_" in "".join(texts) else values
