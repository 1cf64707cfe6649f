"""One brightness factor per tile from what neighbours show of the same specimen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_matrix, diags
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import spsolve

from mosaicflow.spread import spread_about

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

    from mosaicflow.mosaic.fusion import Canvas

    F64 = NDArray[np.float64]
    Image = NDArray[np.float32]
    Tile = tuple[int, int]

__all__ = ["tile_gains"]

# Brightness from which a pixel is specimen, as a part of the way from the dark to the bright end
# of all tiles: what is darker is background, whose brightness need not follow the lamp.
_SPECIMEN = 0.2
# Pixels of specimen in an overlap below which it says nothing.
_FEWEST_PX = 16
# Neighbours that no specimen joins are taken for equally bright, to so much (log): lamps drift and
# fields bleach by a percent or two from tile to tile. Tenfold, background would follow the noise.
_TIE = 0.02
# Error of a log ratio before anything is learnt, and the least that is believed: tissue moves and
# speckle differs.
_NOISE, _LEAST_NOISE = 0.05, 0.005
# All factors about their mean: weak, as a slice that bleaches by half must still be evened.
_SPREAD = 0.5
# A ratio off by this many standard errors counts less and less: an overlap that holds a fold.
_LOSS_WIDTH = 2.5
# Rounds of reweighting, by judgement. Doubled, twice the time.
_ROUNDS = 10
# Overlaps that are left out, a part at a time, must agree better by this share, and so many must
# have been asked: one overlap alone cannot tell a lamp that drifted from a shaded border.
_FOLDS, _FEWEST_ASKED, _LEAST_GAIN = 4, 4, 0.2
# Beyond this no lamp drifts: tiles differ by more than brightness.
_RANGE = (0.2, 5.0)


@dataclass(frozen=True, slots=True)
class _Ratios:
    """Log ratios of the specimen in the overlaps, first over second tile, by number of tile."""

    ends: NDArray[np.int64]  # (n, 2)
    log_ratio: F64  # (n,)
    share: F64  # (n,), specimen in the overlap as a part of the tile


def tile_gains(canvas: Canvas, projections: Mapping[Tile, Image]) -> dict[Tile, float]:
    """Find one factor per tile that makes neighbours equally bright in their overlaps.

    All overlaps are solved at once. Only specimen counts: through background nothing is learnt,
    and tiles that no specimen joins continue the brightness of those beside them. The factors are
    used only where they explain overlaps that they were not made from.

    Parameters
    ----------
    canvas : Canvas
        Where the tiles lie.
    projections : mapping
        Tile -> mean over depth (y, x), of any one size; zero where there is no data.

    Returns
    -------
    dict
        Tile -> factor; their geometric mean is one. All one where nothing confirms them.

    References
    ----------
    Brown and Lowe, "Automatic panoramic image stitching using invariant features", Int. J.
    Comput. Vis. 74 (2007), https://doi.org/10.1007/s11263-006-0002-3
    """
    corners = {placed.tile: placed.corner_px for placed in canvas.tiles}
    pairs = [
        (tile, other)
        for tile in corners
        for other in ((tile[0] + 1, tile[1]), (tile[0], tile[1] + 1))
        if other in corners
    ]
    index = {tile: number for number, tile in enumerate(corners)}
    ends = np.array([(index[a], index[b]) for a, b in pairs], np.int64).reshape(-1, 2)
    least = _specimen_level(projections)
    rows = []
    for number, (a, b) in enumerate(pairs):
        first = projections[a]
        pixels = np.array(first.shape) / canvas.tile_yx
        shift = np.round(np.subtract(corners[b], corners[a]) * pixels).astype(int)
        found = _overlap_ratio(first, projections[b], shift, least)
        if found is not None:
            rows.append((number, *found))
    if not rows:
        return dict.fromkeys(corners, 1.0)
    which, log_ratio, share = (np.array(column) for column in zip(*rows, strict=True))
    silent = np.delete(ends, which, axis=0)
    ratios = _Ratios(ends[which], log_ratio, share)
    if not _is_told(ratios, silent, len(index)):
        return dict.fromkeys(corners, 1.0)
    logs = _solved(ratios, silent, len(index))
    return dict(zip(corners, np.clip(np.exp(logs), *_RANGE).tolist(), strict=True))


def _specimen_level(projections: Mapping[Tile, Image]) -> float:
    values = np.concatenate([image[image > 0][::4] for image in projections.values()])
    if not values.size:
        return 0.0
    dark, bright = np.percentile(values, (1, 95))
    return float(dark + _SPECIMEN * (bright - dark))


def _overlap_ratio(
    first: Image, second: Image, shift: NDArray[np.int64], least: float
) -> tuple[float, float] | None:
    """Log ratio of the specimen in an overlap, and its area as a share of the tile."""
    cuts_a, cuts_b = [], []
    for length, d in zip(first.shape, shift.tolist(), strict=True):
        if abs(d) >= length:  # a gap between the tiles
            return None
        cuts_a.append(slice(max(0, d), min(length, length + d)))
        cuts_b.append(slice(max(0, -d), min(length, length - d)))
    a, b = first[tuple(cuts_a)], second[tuple(cuts_b)]
    # Of both together: one tile alone would choose the pixels in which it happens to be bright.
    known = (a > 0) & (b > 0)
    known &= np.sqrt(np.where(known, a, 0) * np.where(known, b, 0)) > least
    if known.sum() < _FEWEST_PX:
        return None
    ratio = float(np.log(a[known].mean(dtype=np.float64) / b[known].mean(dtype=np.float64)))
    return ratio, float(known.sum() / first.size)


def _is_told(ratios: _Ratios, silent: NDArray[np.int64], n_tiles: int) -> bool:
    """Whether overlaps that were left out agree better with the factors that the others give."""
    before, after = [], []
    # By chance: every fourth of a lattice may be all that joins two rows.
    chosen = np.random.default_rng(0).integers(0, _FOLDS, len(ratios.log_ratio))
    for fold in range(_FOLDS):
        rest, out = chosen != fold, chosen == fold
        if not rest.any():
            continue
        # Only where a loop remains do the others say anything of an overlap.
        ends = ratios.ends[rest]
        graph = coo_matrix((np.ones(len(ends)), ends.T), shape=(n_tiles, n_tiles))
        part = connected_components(graph, directed=False)[1]
        out &= part[ratios.ends[:, 0]] == part[ratios.ends[:, 1]]
        logs = _solved(_Ratios(ends, ratios.log_ratio[rest], ratios.share[rest]), silent, n_tiles)
        told = logs[ratios.ends[out, 0]] - logs[ratios.ends[out, 1]]
        before.append(np.abs(ratios.log_ratio[out]))
        after.append(np.abs(ratios.log_ratio[out] + told))
    if sum(len(one) for one in before) < _FEWEST_ASKED:
        return False
    means = [float(np.concatenate(values).mean()) for values in (before, after)]
    return means[1] <= (1 - _LEAST_GAIN) * means[0]


def _solved(ratios: _Ratios, silent: NDArray[np.int64], n_tiles: int) -> F64:
    """Log factors that even the ratios out, ratios that contradict the others losing their say."""
    told, tied = _differences(ratios.ends, n_tiles), _differences(silent, n_tiles)
    prior = tied.T @ tied / _TIE**2 + diags(np.full(n_tiles, 1 / _SPREAD**2))
    relative = ratios.share / np.median(ratios.share)
    noise, trust = _NOISE, np.ones(len(relative))
    logs: F64 = np.zeros(n_tiles)
    for _ in range(_ROUNDS):
        weights = trust * relative / noise**2
        matrix = told.T @ diags(weights) @ told + prior
        logs = spsolve(matrix.tocsc(), told.T @ (-weights * ratios.log_ratio))
        left = (ratios.log_ratio + told @ logs) * np.sqrt(relative)
        noise = max(spread_about(left, 0.0), _LEAST_NOISE)
        # Huber's: a loss that lets go of ratios altogether falls for the first ones that agree.
        trust = 1 / np.maximum(1, np.abs(left) / (_LOSS_WIDTH * noise))
    return np.asarray(logs - logs.mean())


def _differences(ends: NDArray[np.int64], n_tiles: int) -> csr_matrix:
    """First less second tile, a row for each pair."""
    n = len(ends)
    signs = np.concatenate([np.ones(n), -np.ones(n)])
    places = (np.tile(np.arange(n), 2), ends.T.ravel())
    return coo_matrix((signs, places), shape=(n, n_tiles)).tocsr()
