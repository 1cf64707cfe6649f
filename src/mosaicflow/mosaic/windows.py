"""An overlap measured piece by piece: whether its parts agree tells what one number cannot."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.mosaic.overlap import refine_shift

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mosaicflow.mosaic.overlap import CutOverlap

    Image = NDArray[np.float32]

__all__ = ["window_scatter"]

# Parts of an overlap along its length: six would leave few pixels to each in narrow overlaps.
_WINDOWS = 3
# Windows whose scatter tells an error: one has none. Doubled, short overlaps tell none.
_FEWEST = 2
# A part shorter than this cannot be told from another [px].
_LEAST_LENGTH_PX = 12


def window_scatter(overlap: CutOverlap, shift_px: tuple[float, float]) -> float:
    """Compare how parts of an overlap scatter with the noise of their pixels.

    The parts show as much structure each, so that tissue in one corner is divided too.

    Parameters
    ----------
    overlap : CutOverlap
        The overlap.
    shift_px : (float, float)
        Position of the second tile minus that of the first as the whole shows it, (y, x).

    Returns
    -------
    float
        Variance of the parts' shifts over that which independent noise of the pixels would make;
        NaN where fewer than two parts can be measured.
    """
    near = tuple(round(d - s) for d, s in zip(shift_px, overlap.start, strict=True))
    found = _window_shifts(overlap, (near[0], near[1]))
    if len(found) < _FEWEST:
        return float("nan")
    weight = 1 / found[:, 2] ** 2
    mean = weight @ found[:, :2] / weight.sum()
    departure = weight @ np.square(found[:, :2] - mean)
    return float(departure.sum() / (2 * (len(found) - 1)))


def _window_shifts(overlap: CutOverlap, near: tuple[int, int]) -> NDArray[np.float64]:
    """Shift (y, x) and standard error [px] of each part that shows something, shape (n, 3)."""
    first, second = overlap.first, overlap.second
    long = 0 if first.shape[1] >= first.shape[2] else 1
    borders = _even_parts(first, second, long)
    rows = []
    for low, high in pairwise(borders):
        part = (slice(None), slice(low, high)) if long == 0 else (..., slice(low, high))
        if high - low >= _LEAST_LENGTH_PX:
            rows.append(_measured(first[part], second[part], near))
    return np.array([row for row in rows if row is not None]).reshape(-1, 3)


def _even_parts(first: Image, second: Image, long: int) -> list[int]:
    """Borders of parts along one axis that hold as much structure each."""
    # What only one of the tiles shows, such as dust, is no structure to be matched.
    power = np.minimum(*(np.square(one).sum(axis=(0, 2 - long)) for one in (first, second)))
    total = np.concatenate([[0.0], np.cumsum(power, dtype=np.float64)])
    if not total[-1] > 0:
        return []
    inner = np.searchsorted(total, total[-1] * np.arange(1, _WINDOWS) / _WINDOWS)
    return [0, *inner.tolist(), len(power)]


def _measured(
    first: Image, second: Image, near: tuple[int, int]
) -> tuple[float, float, float] | None:
    found = refine_shift(first, second, near)
    return None if found is None else (*found.shift_px, found.sigma_px)
