"""Decimal numbers out of blank-separated text, thousands at a time.

NumPy's and Python's own parsers look at one number after another; tables of particles have tens of
millions. Here the digits of all numbers of a piece of text are joined by the same few operations on
whole arrays, with eight digits in the eight bytes of an integer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Words", "find_words"]

_TAB, _LINE_BREAK, _BLANK, _MINUS, _POINT = b"\t\n -."
# What the two eight-digit groups in front of a word's end may reach back.
_MARGIN = b"\n" * 16
# Integers up to 2**53 and powers of ten up to 10**22 are exact in float64, so that their quotient
# is the float64 nearest to the decimal number, which is what float() gives.
_LARGEST_EXACT = np.uint64(2**53)
# All exact in float64, which keeps nothing of more places than 16.
_POWERS_OF_TEN = 10.0 ** np.arange(17)


@dataclass(frozen=True, slots=True)
class Words:
    """The words of equally long rows.

    Attributes
    ----------
    content : bytes
        ASCII text.
    starts, ends : ndarray, shape (rows, columns), intp
        Where each word begins in the text, and the place after its end.
    """

    content: bytes
    starts: NDArray[np.intp]
    ends: NDArray[np.intp]

    def text(self, row: int, column: int) -> str:
        """Return one word."""
        return self.content[self.starts[row, column] : self.ends[row, column]].decode("ascii")

    def texts(self, column: int) -> list[str]:
        """Return the words of a column."""
        text = self.content.decode("ascii")
        places = zip(self.starts[:, column].tolist(), self.ends[:, column].tolist(), strict=True)
        return [text[start:end] for start, end in places]

    def decimals(self) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Read the words as numbers.

        Returns
        -------
        values : ndarray, shape (rows, columns), float64
            Those of words that are known; anything elsewhere.
        known : ndarray, shape (rows, columns), bool
            Whether a word is digits with at most one point, of no more than 16 digits, perhaps
            after a minus. Others may be numbers too, e.g. ``1e-5``.
        """
        characters = np.frombuffer(self.content, dtype=np.uint8)
        starts, ends = self.starts.reshape(-1), self.ends.reshape(-1)
        negative = characters[starts] == _MINUS
        is_point = characters == _POINT
        points_up_to = np.cumsum(is_point, dtype=np.int32)
        points_before, points_by_end = points_up_to[starts - 1], points_up_to[ends - 1]
        n_points = points_by_end - points_before
        # Without the points, the digits of a number are next to each other.
        digits = self.content.replace(b".", b"")
        n_digits = ends - starts - n_points - negative
        integers, known = _integers(digits, ends - points_by_end, n_digits)
        known &= n_points <= 1
        has_point = known & (n_points == 1)
        decimal_places = np.zeros(len(starts), dtype=np.intp)
        first_point = np.flatnonzero(is_point)[points_before[has_point]]
        decimal_places[has_point] = ends[has_point] - 1 - first_point
        values = integers / _POWERS_OF_TEN[decimal_places]
        np.negative(values, out=values, where=negative)
        return values.reshape(self.starts.shape), known.reshape(self.starts.shape)


def find_words(text: str, width: int) -> Words | None:
    """Find the words of a text whose lines have `width` words each, or none.

    Parameters
    ----------
    text : str
        Whole lines.
    width : int
        Words in a line.

    Returns
    -------
    Words or None
        None if a line has another number of words, or the text has characters beyond ASCII.
    """
    if not text.isascii():
        return None
    content = b"%b%b\n" % (_MARGIN, text.encode("ascii"))
    characters = np.frombuffer(content, dtype=np.uint8)
    blank = characters <= _BLANK
    line_breaks = np.flatnonzero(characters == _LINE_BREAK)
    n_blanks = [np.count_nonzero(characters == code) for code in (_BLANK, _TAB)]
    if np.count_nonzero(blank) != sum(n_blanks) + len(line_breaks):
        # Some control characters separate words and others do not.
        return None
    edges = np.flatnonzero(blank[1:] != blank[:-1]) + 1
    starts, ends = edges[::2], edges[1::2]
    words_in_lines = np.diff(np.searchsorted(starts, line_breaks))
    if not np.all((words_in_lines == 0) | (words_in_lines == width)):
        return None
    return Words(content, starts.reshape(-1, width), ends.reshape(-1, width))


def _integers(
    content: bytes, ends: NDArray[np.intp], n_digits: NDArray[np.intp]
) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Read the digits in front of each end; also whether they are digits, and exact as float64."""
    eights: NDArray[Any] = np.ndarray(len(content) - 7, "<u8", content, strides=(1,))
    low, low_known = _join_eight(eights[ends - 8], np.clip(n_digits, 0, 8))
    high, high_known = _join_eight(eights[ends - 16], np.clip(n_digits - 8, 0, 8))
    integers = high * np.uint64(10**8) + low
    known = low_known & high_known & (n_digits >= 1) & (n_digits <= 16)
    return integers, known & (integers <= _LARGEST_EXACT)


def _join_eight(
    characters: NDArray[np.uint64], n_digits: NDArray[np.intp]
) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Read the last `n_digits` of eight characters; also whether all of these are digits.

    The first character is the lowest byte. Neighbours are joined to two-digit numbers in pairs of
    bytes, those to four-digit numbers and so on: three multiplications instead of eight.
    """
    before = (8 * (8 - n_digits)).astype(np.uint64)
    digits = (characters ^ np.uint64(0x3030303030303030)) >> before << before
    # A byte above 9 has something in its upper half, if not before then after adding 6.
    upper = (digits | (digits + np.uint64(0x0606060606060606))) & np.uint64(0xF0F0F0F0F0F0F0F0)
    twos = (digits * np.uint64(10) + (digits >> np.uint64(8))) & np.uint64(0x00FF00FF00FF00FF)
    fours = (twos * np.uint64(100) + (twos >> np.uint64(16))) & np.uint64(0x0000FFFF0000FFFF)
    eights = (fours * np.uint64(10000) + (fours >> np.uint64(32))) & np.uint64(0xFFFFFFFF)
    return eights, upper == 0
