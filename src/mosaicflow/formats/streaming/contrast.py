"""What to show as black and as white, and where there is something to see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mosaicflow.formats.streaming.levels import Triple
    from mosaicflow.formats.streaming.pyramid import ZarrPyramid

__all__ = ["CoarsestLevel", "overview_of", "robust_range"]

# Of the voxels with data: dust and reflections take the ends of every microscope's range. With
# twice as much cut off, thin bright structures lose their differences.
_PERCENTILES = (1.0, 99.7)
# More data than this at the low end is no noise but a label, or all there is: black is then 0, so
# that it differs from no data. The low percentile alone takes 0.01; 0.5 would miss small labels.
_LABEL_SHARE = 0.05
# Voxels looked at: 3 standard errors of a percentile are below 0.1 points; more take longer only.
_MAX_VOXELS = 8_000_000


class CoarsestLevel:
    """What the coarsest level tells of a volume.

    Parameters
    ----------
    values : ndarray, shape (z, y, x)
        Voxels of the coarsest level, or of some of its planes.
    positions_zyx : list of ndarray
        Where these voxels lie along each axis.
    """

    def __init__(self, values: NDArray[Any], positions_zyx: list[NDArray[np.float64]]) -> None:
        self.limits = robust_range(values)
        self._weights = _brightness(values, self.limits)
        self._positions = positions_zyx

    @property
    def centre_zyx(self) -> Triple:
        """The middle of what is bright, to cut through it; the volume's if nothing is."""
        total = float(self._weights.sum(dtype=np.float64))
        found = []
        for axis, positions in enumerate(self._positions):
            others = tuple(i for i in range(3) if i != axis)
            profile = self._weights.sum(axis=others, dtype=np.float64)
            middle = (positions[0] + positions[-1]) / 2
            found.append(float(profile @ positions / total) if total > 0 else float(middle))
        return found[0], found[1], found[2]


def overview_of(pyramid: ZarrPyramid) -> CoarsestLevel:
    """Read the coarsest level, or planes of it where it is large.

    Parameters
    ----------
    pyramid : ZarrPyramid
        Read through its cache; without a callback set, so that this waits for the data.
    """
    level = pyramid.num_levels - 1
    shape = pyramid.level_shape(level)
    plane_px = shape[1] * shape[2]
    wanted = min(shape[0], max(1, _MAX_VOXELS // plane_px))
    planes = np.unique(np.linspace(0, shape[0] - 1, wanted + 2)[1:-1].round().astype(int))
    if wanted == shape[0]:
        planes = np.arange(shape[0])
    step = max(1, round((plane_px / _MAX_VOXELS) ** 0.5))
    values = np.concatenate([_plane(pyramid, level, int(z))[:, ::step, ::step] for z in planes])
    axes = [planes, np.arange(shape[1])[::step], np.arange(shape[2])[::step]]
    spacing, first = pyramid.level_spacing(level), pyramid.level_translation(level)
    positions = [f + s * axis for f, s, axis in zip(first, spacing, axes, strict=True)]
    return CoarsestLevel(values, positions)


def robust_range(values: NDArray[Any]) -> tuple[float, float]:
    """Return the limits of contrast of voxels that hold data.

    Parameters
    ----------
    values : ndarray
        Voxels; zeros, NaN and infinities are no data.

    Returns
    -------
    (float, float)
        Low and high percentile, the second one larger; (0, 1) where nothing has data.
    """
    flat = values.ravel()
    data = flat[np.isfinite(flat) & (flat != 0)]
    if data.size == 0:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(data.astype(np.float64), _PERCENTILES))
    if low > 0 and np.count_nonzero(data <= low) > _LABEL_SHARE * data.size:
        low = 0.0
    if high > low:
        return low, high
    return low, low + max(1.0, abs(low))


def _plane(pyramid: ZarrPyramid, level: int, z: int) -> NDArray[Any]:
    _, y, x = pyramid.level_shape(level)
    return pyramid.read_region(level, 0, x - 1, 0, y - 1, z, z)


def _brightness(values: NDArray[Any], limits: tuple[float, float]) -> NDArray[np.float32]:
    scaled = (np.nan_to_num(values, posinf=0, neginf=0) - limits[0]) / (limits[1] - limits[0])
    scaled[values == 0] = 0
    clipped: NDArray[np.float32] = np.clip(scaled, 0, 1).astype(np.float32)
    return clipped
