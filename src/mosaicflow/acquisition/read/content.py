"""Judge the samples of a tile: not finite, constant, saturated, or not numbers at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["TileContent", "clean_tile", "is_implausible"]

# Share of samples that may be NaN or infinite, by judgement: they become 0. Doubled, holes of 2 %
# of a tile pass as image.
MAX_BAD_FRACTION = 0.01
# Share of samples at the largest value from which a tile is saturated, by judgement. Doubled, more
# clipped light enters the flat field.
_SATURATED_FRACTION = 0.01
# Samples that a tile is judged by: a share of 1 % is then known to 16 % of itself. Doubled, to 11
# %.
_SAMPLES = 4096
# Magnitudes beyond which, and below `_TINY`, numbers are bytes read as another type: those of
# wrong bytes spread over all exponents. Doubled, nothing changes.
_HUGE = 1e20
_TINY = 1e-30  # as above: float32 measurements of intensity are never so small but 0 itself
# Share of such samples from which a tile is misread, by judgement. Doubled, a tile with 2 %
# passes.
_IMPLAUSIBLE_FRACTION = 0.01


@dataclass(frozen=True, slots=True)
class TileContent:
    """What a tile holds.

    Parameters
    ----------
    n_bad : int
        Samples that were NaN or infinite.
    bad_fraction : float
        Their share.
    is_blank : bool
        All samples are equal.
    is_zero : bool
        All samples are 0.
    is_saturated : bool
        More than 1 % of the samples have the largest value.
    samples : ndarray, shape (n,), float32
        Some of the values, for statistics of the slice.
    """

    n_bad: int
    bad_fraction: float
    is_blank: bool
    is_zero: bool
    is_saturated: bool
    samples: NDArray[np.float32]


def clean_tile(tile_zyx: NDArray[np.float32]) -> TileContent:
    """Set samples that are not finite to 0 and describe the tile.

    Parameters
    ----------
    tile_zyx : ndarray, shape (z, y, x), float32
        Changed in place.
    """
    low, high = float(tile_zyx.min()), float(tile_zyx.max())
    n_bad = 0
    # Minimum and maximum carry every NaN and infinity, so a clean tile needs no third pass.
    if not np.isfinite(low) or not np.isfinite(high):
        bad = ~np.isfinite(tile_zyx)
        n_bad = int(np.count_nonzero(bad))
        tile_zyx[bad] = 0
        low, high = float(tile_zyx.min()), float(tile_zyx.max())
    sampled = _sampled(tile_zyx)
    is_blank = low == high
    return TileContent(
        n_bad=n_bad,
        bad_fraction=n_bad / tile_zyx.size,
        is_blank=is_blank,
        is_zero=is_blank and high == 0,
        is_saturated=not is_blank and _is_saturated(tile_zyx, sampled, high),
        samples=sampled[:: max(1, sampled.size // _SAMPLES)],
    )


def _sampled(tile_zyx: NDArray[np.float32]) -> NDArray[np.float32]:
    # An odd step visits every column and row in turn.
    flat = tile_zyx.reshape(-1)
    step = max(1, flat.size // (16 * _SAMPLES)) | 1
    return flat[::step].copy()


def _is_saturated(tile_zyx: NDArray[np.float32], sampled: NDArray[np.float32], high: float) -> bool:
    if np.count_nonzero(sampled == high) < 0.5 * _SATURATED_FRACTION * sampled.size:
        return False
    return bool(np.count_nonzero(tile_zyx == high) > _SATURATED_FRACTION * tile_zyx.size)


def is_implausible(samples: NDArray[np.float32]) -> bool:
    """Tell numbers of another type or byte order, read as float32, from intensities.

    Parameters
    ----------
    samples : ndarray, float32
        Values as stored.

    Returns
    -------
    bool
        True when more than 1 % are NaN, above 1e20 or so small that no detector gives them.
    """
    size = np.abs(samples)
    with np.errstate(invalid="ignore"):
        odd = ~(size <= _HUGE) | ((size > 0) & (size < _TINY))
    return bool(np.count_nonzero(odd) > _IMPLAUSIBLE_FRACTION * max(samples.size, 1))
