"""The surface of the specimen, and its outline in each slice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.slices.masks import otsu

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["TissueField", "Triangles", "outlines_of", "surface_of", "tissue_field"]

# Smoothing before the threshold [voxels]: speckle and steps go, an edge moves
# by less than half a voxel. Twice as much rounds off structures of four voxels.
_SIGMA_VOXELS = 1.0
# Parts smaller than this share of the largest are dirt in the gel, not specimen.
_SMALLEST_PART = 0.01
# With less tissue than this share of what was imaged nothing stands out: all of it is shown.
_LEAST_TISSUE = 0.02
# On its side of the threshold for certain, and still smooth.
_FIRM = 0.25
# Below this the transformed values differ by rounding only, and there is nothing to split.
_FLAT = 1e-3
# A percentile of millions of voxels is as good from every so-many-th.
_PERCENTILE_STEP = 7
# 4 MB as PLY, which any viewer turns smoothly; twice as many double each of the four files.
_MOST_TRIANGLES = 200_000


@dataclass(frozen=True)
class TissueField:
    """How far above the threshold between gel and tissue each voxel is, from -1 to 1.

    Parameters
    ----------
    values : ndarray, shape (z, y, x), float32
        -1 where there is no data; the surface of the tissue lies at 0.
    pitch_um, origin_um : sequence of float
        Voxel pitch, and centre of the first voxel, (z, y, x).
    """

    values: NDArray[np.float32]
    pitch_um: Sequence[float]
    origin_um: Sequence[float]


@dataclass(frozen=True)
class Triangles:
    """A surface.

    Parameters
    ----------
    vertices_um : ndarray, shape (N, 3), float32
        (x, y, z).
    faces : ndarray, shape (M, 3), int64
        Counter-clockwise as seen from outside.
    """

    vertices_um: NDArray[np.float32]
    faces: NDArray[np.int64]


def tissue_field(
    values: NDArray[np.float32],
    blank_planes: NDArray[np.bool_],
    pitch_um: Sequence[float],
    origin_um: Sequence[float],
) -> TissueField:
    """Tell tissue from gel in a whole volume.

    Parameters
    ----------
    values : ndarray, shape (z, y, x), float32
        Brightness; 0 is no data.
    blank_planes : ndarray, shape (z,), bool
        Planes that show nothing that was seen; they stay empty.
    pitch_um, origin_um : sequence of float
        Voxel pitch, and centre of the first voxel, (z, y, x).

    Returns
    -------
    TissueField

    Notes
    -----
    Otsu's threshold of the smoothed inverse hyperbolic sine of the brightness, which is the
    logarithm above the noise of the gel and a line within it. Enclosed dark voxels belong to the
    tissue, enclosed voxels without data do not.
    """
    valid = (values != 0) & ~blank_planes[:, None, None]
    if not valid.any():
        return TissueField(np.full(values.shape, np.float32(-1)), tuple(pitch_um), tuple(origin_um))
    # Transformed before it is smoothed: a threshold between a dim and a bright level then lies
    # about halfway up the edge, and does not move outwards as it does in blurred brightness.
    stable = np.arcsinh(
        np.where(valid, values, np.float32(0))
        / np.float32(_dim_level(values[valid][::_PERCENTILE_STEP]))
    )
    smooth = _smoothed(stable) / _smoothed(valid)
    known = smooth[valid]
    threshold = otsu(known) if np.ptp(known) > _FLAT else np.inf
    inside = valid & (smooth > threshold)
    if inside.sum() < _LEAST_TISSUE * valid.sum():
        field = np.where(valid, np.float32(1), np.float32(-1))
        return TissueField(field, tuple(pitch_um), tuple(origin_um))
    kept = _without_cavities(_large_parts(inside)) & valid
    above = smooth - np.float32(threshold)
    # Bright tissue is 1: beside what has no data the surface then lies halfway between the two.
    field = np.clip(above / np.median(above[inside][::_PERCENTILE_STEP]), -1, 1)
    field[kept & ~inside] = _FIRM
    field[inside & ~kept] = -_FIRM
    field[~valid] = -1
    return TissueField(field, tuple(pitch_um), tuple(origin_um))


def _dim_level(values: NDArray[np.float32]) -> float:
    """Return the level below which differences are noise of the gel.

    Where gel lies around 0 its negative half tells; where nothing is negative, the dimmest values.
    """
    negative = values[values < 0]
    if len(negative) > _SMALLEST_PART * len(values):
        return float(np.sqrt(np.mean(negative.astype(np.float64) ** 2)))
    positive = values[values > 0]
    return float(np.percentile(positive, 1)) if len(positive) else 1.0


def _smoothed(values: NDArray[Any]) -> NDArray[np.float32]:
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(values.astype(np.float32, copy=False), _SIGMA_VOXELS)
    # Also a divisor: the smallest share that a filter of float32 tells from nothing.
    at_least = np.float32(1e-6) if values.dtype == bool else np.float32(-np.inf)
    result: NDArray[np.float32] = np.maximum(smooth, at_least)
    return result


def _without_cavities(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from scipy import ndimage

    return np.asarray(ndimage.binary_fill_holes(inside))


def _large_parts(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from scipy import ndimage

    parts, count = ndimage.label(inside)
    if count < 2:
        return inside
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return np.asarray((sizes >= _SMALLEST_PART * sizes.max())[parts])


def surface_of(field: TissueField) -> Triangles:
    """Return the surface of the tissue, closed also where the volume ends or has a gap.

    Parameters
    ----------
    field : TissueField
        Of the volume.

    Returns
    -------
    Triangles
        None where there is no tissue.

    Notes
    -----
    Marching cubes (Lewiner 2003, doi:10.1080/10867651.2003.10487582), and where that makes more
    triangles than a viewer can turn, edges collapsed by their quadric error (Garland and
    Heckbert 1997, doi:10.1145/258734.258849).
    """
    from skimage.measure import marching_cubes

    padded = np.pad(field.values, 1, constant_values=-1)
    if padded.max() <= 0:
        return Triangles(np.empty((0, 3), np.float32), np.empty((0, 3), np.int64))
    corners, faces, *_ = marching_cubes(padded, 0.0)  # type: ignore[no-untyped-call]
    # Indices along (z, y, x) of the padded field; reversing the axes turns the triangles over.
    zyx = (corners.astype(np.float64) - 1) * field.pitch_um + field.origin_um
    points, faces = np.ascontiguousarray(zyx[:, ::-1]), faces.astype(np.int64)
    if _volume(points, faces) < 0:
        faces = faces[:, ::-1]
    if len(faces) > _MOST_TRIANGLES:
        from fast_simplification import simplify

        points, faces = simplify(points, faces, target_count=_MOST_TRIANGLES)
    return Triangles(points.astype(np.float32), np.ascontiguousarray(faces, dtype=np.int64))


def _volume(points: NDArray[np.float64], faces: NDArray[np.int64]) -> float:
    """Return six times the volume inside, negative if the triangles face inwards."""
    a, b, c = (points[faces[:, corner]] for corner in range(3))
    return float(np.einsum("ij,ij->", a, np.cross(b, c)))


def outlines_of(field: TissueField, z_um: float) -> list[NDArray[np.float32]]:
    """Return the outlines of the tissue at a depth.

    Parameters
    ----------
    field : TissueField
        Of the volume.
    z_um : float
        Depth; the nearest plane is taken.

    Returns
    -------
    list of ndarray, shape (N, 3), float32
        Closed lines (x, y, z), um: the last point is the first. None where the plane is empty.
    """
    from skimage.measure import find_contours

    index = round((z_um - field.origin_um[0]) / field.pitch_um[0])
    if not 0 <= index < len(field.values):
        return []
    plane = np.pad(field.values[index], 1, constant_values=-1)
    depth = field.origin_um[0] + index * field.pitch_um[0]
    lines: list[NDArray[np.float32]] = []
    contours: list[NDArray[Any]] = find_contours(plane, 0.0)  # type: ignore[no-untyped-call]
    for contour in contours:
        y, x = ((contour - 1) * field.pitch_um[1:] + field.origin_um[1:]).T
        lines.append(np.stack([x, y, np.full(len(x), depth)], axis=1).astype(np.float32))
    return lines
