"""Likeness of a reconstructed volume to the specimen, plane by plane, over the tissue."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform, gaussian_filter, uniform_filter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["PlaneScores", "PlaneView", "score_planes", "structural_similarity"]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

WINDOW_PX = 7
"""Side of the window of the structural similarity, as Wang et al. 2004 and most tools have it."""
# Tissue is what, smoothed over a vessel's width, is this share of the way from gel to white.
_SMOOTH_PX, _TISSUE_SHARE = 2.0, 0.1
# Planes with fewer px of tissue have no correlation worth a name.
_LEAST_PX = 200
# Of the truth, shown as white: a thousandth of bright grains must not set the scale
_WHITE_PERCENTILE = 99.9


@dataclass(frozen=True, slots=True)
class PlaneScores:
    """Likeness over the tissue between the first and the last block face.

    Parameters
    ----------
    ncc : float
        Pearson correlation over all voxels.
    ssim : float
        Structural similarity per plane (7 px window, data range = 99.9th percentile of the truth),
        after one line fit of brightness for the whole volume; mean over all voxels.
    plane_ncc_mean, plane_ncc_worst : float
        Of the correlations of single planes.
    worst_plane : int
        Plane of the volume with the worst.
    planes : tuple of int
        Planes compared.
    plane_ncc : tuple of float
        Correlation of each.
    n_voxels : int
        Voxels compared.
    """

    ncc: float
    ssim: float
    plane_ncc_mean: float
    plane_ncc_worst: float
    worst_plane: int
    planes: tuple[int, ...]
    plane_ncc: tuple[float, ...]
    n_voxels: int


@dataclass(frozen=True, slots=True)
class PlaneView:
    """One plane of the volume and what the specimen shows there.

    Parameters
    ----------
    plane : int
        Its number.
    found, true : ndarray, shape (y, x), float32
        The volume, and the specimen drawn on its pixels.
    imaged : ndarray, shape (y, x), bool
        Where some slice has imaged the specimen.
    """

    plane: int
    found: F32
    true: F32
    imaged: Bool


def drawn(truth: F32, matrix: F64, offset: F64, shape: Sequence[int]) -> F32:
    """Draw a plane of the truth on the volume's pixels: truth index = matrix @ index + offset."""
    result: F32 = affine_transform(
        truth, matrix, offset, (shape[0], shape[1]), order=1, mode="nearest"
    )
    return result


def score_planes(views: Sequence[Iterator[PlaneView]], gel: float) -> PlaneScores | None:
    """Compare planes.

    Parameters
    ----------
    views : sequence of two iterators of PlaneView
        The same planes twice: brightness must be known before the similarity.
    gel : float
        Brightness of what is no tissue in the truth.

    Returns
    -------
    PlaneScores or None
        None without tissue.
    """
    sums = _PlaneSums()
    whites, kept = [], []
    for view in views[0]:
        white = float(np.percentile(view.true, _WHITE_PERCENTILE))
        mask = _tissue(view, gel, white)
        if mask.sum() < _LEAST_PX:
            continue
        part = _PlaneSums()
        part.add(view.found[mask], view.true[mask])
        sums.merge(part)
        whites.append(white)
        kept.append((view.plane, part.correlation()))
    if not kept:
        return None
    gain, offset = sums.line()
    white = float(np.median(whites))
    total, count = 0.0, 0
    for view in views[1]:
        mask = _tissue(view, gel, float(np.percentile(view.true, _WHITE_PERCENTILE)))
        if mask.sum() >= _LEAST_PX:
            brought = (gain * view.found + offset).astype(np.float32)
            total += float(structural_similarity(brought, view.true, white)[mask].sum())
            count += int(mask.sum())
    worst = min(kept, key=lambda one: one[1])
    return PlaneScores(
        ncc=sums.correlation(),
        ssim=total / count,
        plane_ncc_mean=float(np.mean([value for _, value in kept])),
        plane_ncc_worst=worst[1],
        worst_plane=worst[0],
        planes=tuple(plane for plane, _ in kept),
        plane_ncc=tuple(value for _, value in kept),
        n_voxels=count,
    )


def _tissue(view: PlaneView, gel: float, white: float) -> Bool:
    level = gel + _TISSUE_SHARE * (white - gel)
    mask: Bool = (gaussian_filter(view.true, _SMOOTH_PX) > level) & view.imaged
    return mask


def structural_similarity(found: F32, true: F32, data_range: float) -> F32:
    """Return the map of structural similarity (Wang et al. 2004, doi:10.1109/TIP.2003.819861).

    Parameters
    ----------
    found, true : ndarray, shape (y, x), float32
        The images.
    data_range : float
        Difference between black and white.

    Returns
    -------
    ndarray, shape (y, x), float32
        For windows of 7 x 7 px with the covariance of a sample.
    """
    n = WINDOW_PX**2
    a, b = found.astype(np.float64), true.astype(np.float64)
    mean_a, mean_b = uniform_filter(a, WINDOW_PX), uniform_filter(b, WINDOW_PX)
    sample = n / (n - 1)
    var_a = sample * (uniform_filter(a * a, WINDOW_PX) - mean_a**2)
    var_b = sample * (uniform_filter(b * b, WINDOW_PX) - mean_b**2)
    shared = sample * (uniform_filter(a * b, WINDOW_PX) - mean_a * mean_b)
    c_1, c_2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    likeness = (2 * mean_a * mean_b + c_1) * (2 * shared + c_2)
    likeness /= (mean_a**2 + mean_b**2 + c_1) * (var_a + var_b + c_2)
    return np.asarray(likeness, np.float32)


@dataclass(slots=True)
class _PlaneSums:
    """Running sums for a correlation and a line fit."""

    sums: F64 = field(default_factory=lambda: np.zeros(6))

    def add(self, x: F32, y: F32) -> None:
        a, b = x.astype(np.float64), y.astype(np.float64)
        self.sums += np.array([len(a), a.sum(), b.sum(), a @ a, b @ b, a @ b], np.float64)

    def merge(self, other: _PlaneSums) -> None:
        self.sums += other.sums

    def _moments(self) -> tuple[float, float, float]:
        n, x, y, xx, yy, xy = (float(v) for v in self.sums)
        return xx - x * x / n, yy - y * y / n, xy - x * y / n

    def correlation(self) -> float:
        xx, yy, xy = self._moments()
        return xy / (xx * yy) ** 0.5 if xx > 0 and yy > 0 else 0.0

    def line(self) -> tuple[float, float]:
        """Gain and offset that bring x to y."""
        xx, _, xy = self._moments()
        gain = xy / xx if xx > 0 else 0.0
        return gain, float((self.sums[2] - gain * self.sums[1]) / self.sums[0])
