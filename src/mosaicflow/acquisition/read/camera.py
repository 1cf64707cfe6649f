"""Find the marker by which old cameras show that their buffer was read from the wrong place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Marker", "find_marker", "without_marker"]

# A bright vessel must not turn the tile round, so only a lone and much brighter A-line counts.
_MARKER_FACTOR = 1.5
# Percentile that stands for the brightest of what is no marker: one voxel in a thousand may be
# hot. Nearer to 100, such a voxel hides the marker.
_REST_PERCENTILE = 99.9


@dataclass(frozen=True, slots=True)
class Marker:
    """The saturated A-line that was recorded first.

    Parameters
    ----------
    aline : int
        Where it is stored.
    level : float
        Mean over depth from which an A-line counts as the marker.
    """

    aline: int
    level: float


def find_marker(image_ba: NDArray[np.float32]) -> Marker | None:
    """Find the marker in the first B-scan of a tile.

    Parameters
    ----------
    image_ba : ndarray, shape (n_bscans, n_alines), float32
        Mean over depth of the tile's first B-scan and some others, as stored.

    Returns
    -------
    Marker or None
        None when the brightest A-line is not at least 1.5 times the 99.9th percentile of the rest.
    """
    aline = int(np.argmax(image_ba[0]))
    rest = np.delete(image_ba, aline, axis=1)
    if not rest.size:
        return None
    level = _MARKER_FACTOR * float(np.percentile(rest, _REST_PERCENTILE))
    return Marker(aline, level) if image_ba[0, aline] >= level > 0 else None


def without_marker(image_ba: NDArray[np.float32], marker: Marker) -> NDArray[np.float32]:
    """Roll an image of mean depth back so that the marker comes first, and hide the marker.

    Parameters
    ----------
    image_ba : ndarray, shape (n_bscans, n_alines), float32
        As stored.
    marker : Marker
        Of this tile.

    Returns
    -------
    ndarray, same shape and dtype
    """
    rolled = np.roll(image_ba, -marker.aline, axis=1)
    rolled[:, 0] = np.where(rolled[:, 0] >= marker.level, rolled[:, 1], rolled[:, 0])
    return rolled
