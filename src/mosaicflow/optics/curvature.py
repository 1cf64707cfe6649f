"""How the depth scale of a scan lens bends over the tile, from the depth profiles of overlaps.

Two tiles show the same tissue in their overlap, whatever its surface: the depth by which one of
them shows it lower is the lens's offset at one place less that at another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter1d

from mosaicflow.fits import robust_fit
from mosaicflow.mosaic.resampling import area_weights
from mosaicflow.mosaic.tile_basis import FieldBasis
from mosaicflow.spread import spread_about

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    F64 = NDArray[np.float64]
    Image = NDArray[np.float32]
    Tile = tuple[int, int]

__all__ = ["FieldCurvature", "block_profiles", "curved_band_means", "field_curvature"]

# Side of a block whose depth profile is compared: less is speckle, more blurs the bowl.
_BLOCK_PX = 8
# Planes by which two profiles are looked for: twelve planes from middle to corner make four.
_REACH = 8
# Peak from which a block's depth shift is believed, by judgement. It cannot double; nearer to 1,
# none is.
_LEAST_CORRELATION = 0.5
# Blocks below which the surface follows their noise, by judgement. Doubled, small acquisitions
# keep a curved field.
_FEWEST_BLOCKS = 200
# Below this a profile says little at shifts of up to `_REACH`.
_FEWEST_PLANES = 24
# Order of the surface: a lens bends its field like a paraboloid. Doubled, tissue may be taken for
# it.
_ORDER = 2
# Residual, in standard errors, from which an equation counts less: least squares keep 95 % of
# their efficiency on normal errors (Huber 1964, doi:10.1214/aoms/1177703732). Doubled, outliers
# count nearly fully.
_HUBER = 1.345
# Rounds of straightening and measuring again: a large shift is measured too small.
_ROUNDS = 3
# Curvature that is no use: it moves nothing by a twentieth of a plane (root mean square).
_LEAST_RMS = 0.05
# Held-out shifts must fall by this share, as must those of any refinement of the stage.
_LEAST_GAIN = 0.05


@dataclass(frozen=True, slots=True)
class FieldCurvature:
    """Depth offset over the tile, and its evidence.

    Parameters
    ----------
    planes : ndarray, shape (y, x), float32
        Planes by which a flat face appears lower than at the highest place; all zero when it is
        not kept.
    n_blocks : int
        Overlap blocks compared.
    before, after : float
        Mean absolute depth shift of held-out blocks, in planes, as recorded and straightened.
    error : float
        Standard error of the offset, root mean square over the tile, in planes.
    """

    planes: Image
    n_blocks: int
    before: float
    after: float
    error: float

    @property
    def kept(self) -> bool:
        """Whether the curvature is used."""
        return bool(self.planes.any())


def block_profiles(tile: Image) -> Image | None:
    """Give the slopes of the log depth profiles of square blocks of a tile.

    Parameters
    ----------
    tile : ndarray, shape (z, y, x), float32
        One tile.

    Returns
    -------
    ndarray, shape (z, blocks y, blocks x), float32, or None
        None for too few planes or pixels.
    """
    n, n_y, n_x = tile.shape
    m = _BLOCK_PX
    if n < _FEWEST_PLANES or min(n_y, n_x) < 4 * m:
        return None
    # As products of matrices: means over eight values each are ten times as slow.
    rows, columns = (area_weights(length // m * m, length // m) for length in (n_y, n_x))
    means = rows @ (tile[:, : rows.shape[1], : columns.shape[1]] @ columns.T)
    floor = 1e-3 * float(np.median(means)) + 1e-30
    # Slopes, and no band of sizes: a wide filter sees the end of the tile, which does not bend with
    # the field. Where the face lay 2 planes below it, a quarter of the curvature was not seen.
    slopes = gaussian_filter1d(np.log(np.maximum(means, floor)), 1.5, 0, order=1, mode="nearest")
    return np.asarray(slopes, dtype=np.float32)


def field_curvature(
    profiles: Mapping[tuple[int, Tile], Image | None],
    positions_px: Mapping[int, Mapping[Tile, tuple[float, float]]],
    tile_yx: tuple[int, int],
) -> FieldCurvature | None:
    """Fit one smooth depth offset, common to all tiles, to the depth shifts in overlaps.

    Parameters
    ----------
    profiles : mapping
        (grid, tile) -> `block_profiles`.
    positions_px : mapping
        grid -> tile -> (y, x) of its first pixel.
    tile_yx : (int, int)
        Lateral shape of a tile.

    Returns
    -------
    FieldCurvature or None
        None where overlaps cannot tell.
    """
    basis = FieldBasis(_ORDER, tile_yx)
    overlaps = list(_overlaps(profiles, positions_px))
    found: F64 = np.zeros(len(basis.terms))
    matrix, left = np.empty((len(found), 0)), np.empty(0)
    for _ in range(_ROUNDS):
        blocks = [one.measured(found, basis) for one in overlaps]
        used = [one for i, one in enumerate(blocks) if i % 4 != 3]
        if sum(one.shift.size for one in used) < _FEWEST_BLOCKS:
            return None
        change = _fitted(used)
        matrix, shift = _joined(blocks)
        found, left = found + change, shift - change @ matrix
    offset = (found @ basis.images()).reshape(tile_yx)
    planes: Image = np.asarray(offset - offset.min(), np.float32)
    return _judged(planes, overlaps, (found, basis), (matrix, left))


@dataclass(frozen=True, slots=True)
class _TileBlocks:
    """Difference of the basis between two tiles, and the depth shift seen there."""

    matrix: F64
    shift: F64


@dataclass(frozen=True, slots=True)
class _CurvedOverlap:
    """Profiles (z, n) of blocks of two tiles at the same places, and these places in either."""

    first: Image
    second: Image
    first_at: tuple[F64, F64]
    second_at: tuple[F64, F64]

    def measured(self, found: F64, basis: FieldBasis) -> _TileBlocks:
        """Depth shift of each block after both profiles are straightened by `found`."""
        here, there = basis.at(*self.first_at), basis.at(*self.second_at)
        straight = _moved(self.first, found @ here), _moved(self.second, found @ there)
        shift, good = _depth_shifts(*straight)
        return _TileBlocks((here - there)[:, good], shift[good])


def _overlaps(
    profiles: Mapping[tuple[int, Tile], Image | None],
    positions_px: Mapping[int, Mapping[Tile, tuple[float, float]]],
) -> list[_CurvedOverlap]:
    found = []
    for (grid, tile), a in sorted(profiles.items(), key=lambda item: item[0]):
        for other in ((tile[0] + 1, tile[1]), (tile[0], tile[1] + 1)):
            b = profiles.get((grid, other))
            if a is None or b is None or a.shape != b.shape:
                continue
            step = np.subtract(positions_px[grid][other], positions_px[grid][tile])
            d = [round(v / _BLOCK_PX) for v in step.tolist()]
            row, column = (
                np.arange(max(0, shift), min(n, n + shift))
                for shift, n in zip(d, a.shape[1:], strict=True)
            )
            y, x = (v.ravel() for v in np.meshgrid(row, column, indexing="ij"))
            if y.size:
                here, there = (y, x), (y - d[0], x - d[1])
                found.append(
                    _CurvedOverlap(
                        a[:, y, x], b[:, there[0], there[1]], _middles(here), _middles(there)
                    )
                )
    return found


def _middles(blocks: tuple[NDArray[np.int64], NDArray[np.int64]]) -> tuple[F64, F64]:
    y, x = (np.asarray((axis + 0.5) * _BLOCK_PX - 0.5, np.float64) for axis in blocks)
    return y, x


def _moved(profiles: Image, planes: F64) -> Image:
    """Sample each profile (z, n) lower by its own number of planes."""
    if not planes.any():
        return profiles
    at = np.clip(np.arange(len(profiles))[:, None] + planes, 0, len(profiles) - 1)
    low = np.minimum(at.astype(np.int64), len(profiles) - 2)
    part = (at - low).astype(np.float32)
    upper = np.take_along_axis(profiles, low, 0)
    return np.asarray(upper + part * (np.take_along_axis(profiles, low + 1, 0) - upper))


def _depth_shifts(a: Image, b: Image) -> tuple[F64, NDArray[np.bool_]]:
    """Planes by which each profile of a (z, n) lies lower than that of b, and where it is clear."""
    heights = []
    for s in range(-_REACH, _REACH + 1):
        p, q = a[max(0, s) : len(a) + min(0, s)], b[max(0, -s) : len(b) + min(0, -s)]
        p, q = p - p.mean(axis=0), q - q.mean(axis=0)
        norm = np.sqrt((p * p).sum(axis=0) * (q * q).sum(axis=0) + 1e-12)
        heights.append((p * q).sum(axis=0) / norm)
    height = np.array(heights, dtype=np.float64)
    top = height.argmax(axis=0)
    good = (top > 0) & (top < 2 * _REACH) & (height.max(axis=0) > _LEAST_CORRELATION)
    i, n = np.clip(top, 1, 2 * _REACH - 1), np.arange(height.shape[1])
    low, mid, high = height[i - 1, n], height[i, n], height[i + 1, n]
    bend = np.minimum(low - 2 * mid + high, -1e-9)
    return np.asarray(i - _REACH + 0.5 * (low - high) / bend), good


def _joined(blocks: Sequence[_TileBlocks]) -> tuple[F64, F64]:
    return (
        np.concatenate([one.matrix for one in blocks], axis=1),
        np.concatenate([one.shift for one in blocks]),
    )


def _fitted(blocks: Sequence[_TileBlocks]) -> F64:
    matrix, shift = _joined(blocks)
    # A mosaic of one row or column does not see all terms: they stay 0.
    return robust_fit(matrix.T, shift, _trust, start=_trust(shift), rounds=8).solution


def _trust(rest: F64) -> F64:
    scale = spread_about(rest, 0.0) + 1e-9
    return np.asarray(1 / np.maximum(1, np.abs(rest) / (_HUBER * scale)))


def _judged(
    planes: Image,
    overlaps: Sequence[_CurvedOverlap],
    terms: tuple[F64, FieldBasis],
    rest: tuple[F64, F64],
) -> FieldCurvature:
    """Keep the curvature where held-out overlaps agree better with it."""
    found, basis = terms
    held_out = overlaps[3::4]
    before, after = (
        _mean_shift(one.measured(tried, basis) for one in held_out)
        for tried in (np.zeros_like(found), found)
    )
    matrix, left = rest
    normal = matrix @ matrix.T
    normal[np.diag_indices_from(normal)] += 1e-6 * np.trace(normal)
    noise = spread_about(left, 0.0)
    # Blocks of one overlap err together: they count as one measurement each way.
    share = left.size / max(1, len(overlaps))
    error = float(np.sqrt(noise**2 * share * np.trace(np.linalg.inv(normal))))
    keep = planes.std() >= max(_LEAST_RMS, 2 * error) and after <= (1 - _LEAST_GAIN) * before
    kept = planes if keep else np.zeros_like(planes)
    return FieldCurvature(kept, left.size, before, after, error)


def _mean_shift(blocks: Iterable[_TileBlocks]) -> float:
    shifts = [np.abs(one.shift) for one in blocks]
    return float(np.concatenate(shifts).mean()) if any(s.size for s in shifts) else float("nan")


def curved_band_means(tile: Image, bands: Sequence[tuple[int, int]], planes: Image) -> Image:
    """Average a tile over depth bands that follow the field's curvature.

    Parameters
    ----------
    tile : ndarray, shape (z, y, x), float32
        One tile.
    bands : sequence of (int, int)
        Start and stop planes at the highest place of the field.
    planes : ndarray, shape (y, x), float32
        Planes by which each column appears lower.

    Returns
    -------
    ndarray, shape (bands, y, x), float32
    """
    n_z = len(tile)
    sums = np.zeros((n_z + 1, *tile.shape[1:]), np.float32)
    np.cumsum(tile, axis=0, out=sums[1:])
    edges = sorted({edge for band in bands for edge in band})

    def below(edge: int) -> tuple[Image, Image]:
        at = np.minimum(edge + planes, n_z)
        low = np.minimum(at.astype(np.int64), n_z - 1)
        upper = np.take_along_axis(sums, low[None], 0)[0]
        lower = np.take_along_axis(sums, low[None] + 1, 0)[0]
        return at, upper + (at - low) * (lower - upper)

    known = {edge: below(edge) for edge in edges}
    means = []
    for start, stop in bands:
        (top, above), (bottom, total) = known[start], known[stop]
        means.append((total - above) / np.maximum(bottom - top, 1e-3))
    return np.asarray(means, dtype=np.float32)
