"""Reading single entries of a block."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeVar

from mosaicflow.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["YX", "length", "number", "pair", "pair_or_none", "parsed", "tile_of", "tiles", "triple"]

YX = tuple[float, float]
_T = TypeVar("_T")
_UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, OverflowError)


def parsed(where: str, what: str, parse: Callable[[], _T]) -> _T:
    """Read an entry, or say which one cannot be."""
    try:
        return parse()
    except _UNREADABLE as error:
        raise FormatError(
            f"{where}: {what} in its attributes: {error!r:.200}",
            remedy="run the stage that wrote the store again",
        ) from error


def number(value: float) -> float:
    """Keep a number as it is, whole or not; refuse all else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r:.60} is no number")
    return value


def length(value: Any, key: str, where: str) -> float:  # noqa: ANN401  # parsed JSON
    """Read a length in um, finite and above 0."""
    try:
        length = float(value)
    except (TypeError, ValueError):
        length = math.nan
    if not (math.isfinite(length) and length > 0):
        raise FormatError(f"{where}: found {key} {value!r:.60}, expected a length in um")
    return length


def pair(value: Any) -> YX:  # noqa: ANN401  # parsed JSON
    """Read two numbers (y, x)."""
    y, x = (float(one) for one in value)
    return y, x


def pair_or_none(value: Any) -> YX | None:  # noqa: ANN401  # parsed JSON
    """Read two numbers (y, x); absent or empty is None."""
    return None if not value else pair(value)


def triple(value: Any) -> tuple[float, float, float]:  # noqa: ANN401  # parsed JSON
    """Read three numbers (z, y, x)."""
    z, y, x = (float(one) for one in value)
    return z, y, x


def tile_of(key: str) -> tuple[int, int]:
    """Read a key ``iy,ix``."""
    iy, ix = (int(part) for part in key.split(","))
    return iy, ix


def tiles(value: Any) -> tuple[tuple[int, int], ...]:  # noqa: ANN401  # parsed JSON
    """Read a list of tiles (iy, ix)."""
    return tuple((int(iy), int(ix)) for iy, ix in value)
