"""Where the tissue starts, and means of depth bands below it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter1d

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["band_edges", "band_means", "interface_plane"]

# Planes below which a depth profile has no shape, by judgement. Doubled, thin slices stay as they
# are.
MIN_PLANES = 8
# A rise of less than this share of the steepest is noise, or the faint edge of the gel.
_STEEP = 0.5


def interface_plane(profile: NDArray[np.floating], *, sigma_px: float = 2.0) -> int:
    """Find the plane where a mean depth profile first rises steeply: water above, tissue below.

    Bright layers further down may rise more steeply still; the face is the first clear rise.

    Parameters
    ----------
    profile : ndarray, shape (z,)
        Mean intensity of each plane.
    sigma_px : float
        Width of the derivative of a Gaussian.

    Returns
    -------
    int
        Plane index; 0 when there are too few planes to tell.
    """
    if len(profile) < MIN_PLANES:
        return 0
    slope = gaussian_filter1d(np.asarray(profile, float), sigma_px, order=1, mode="nearest")
    steep = slope >= _STEEP * slope.max()
    summit = (slope >= np.append(slope[1:], -np.inf)) & (slope >= np.append(-np.inf, slope[:-1]))
    return int(np.argmax(steep & summit))


def band_edges(
    n_planes: int, first: int, *, thickness: int = 8, most: int = 8
) -> list[tuple[int, int]]:
    """Split the planes below the interface into bands of about equal thickness.

    Parameters
    ----------
    n_planes : int
        Planes of the tile.
    first : int
        First plane that shows tissue.
    thickness : int
        Planes wanted per band.
    most : int
        Largest number of bands; they grow thicker instead of leaving planes out.

    Returns
    -------
    list of (int, int)
        Start and stop of each band; one band when there is no depth to speak of.
    """
    first = min(first, n_planes - 1)
    count = max(1, min(most, (n_planes - first) // thickness))
    edges = np.linspace(first, n_planes, count + 1).round().astype(int)
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))


def band_means(tile_zyx: NDArray[np.float32], bands: list[tuple[int, int]]) -> NDArray[np.float32]:
    """Average a tile over each depth band.

    Parameters
    ----------
    tile_zyx : ndarray, shape (z, y, x), float32
        One tile.
    bands : list of (int, int)
        Start and stop planes.

    Returns
    -------
    ndarray, shape (bands, y, x), float32
    """
    return np.stack([tile_zyx[start:stop].mean(axis=0, dtype=np.float32) for start, stop in bands])
