"""Find the galvo's return sweep inside B-scans and say how sure that is.

The return is a band `n_extra` A-lines wide. Normally it lies at the end of each B-scan and is
cropped away; with a wrong trigger phase it lies inside the image and cuts the tissue in two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import median_filter

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Band", "band_confidence", "band_shift", "find_band"]

# A-lines of the median that takes single dark ones out, by judgement. Doubled, narrow bands go
# with them.
_MEDIAN_WIDTH = 5
# Share of the bright end below which there is no signal to compare, by judgement. Doubled, dim
# tissue is left out.
_SIGNAL_FRACTION = 0.05
# Relative drop of the band below its surround that counts as clear, by judgement. Doubled, weak
# bands are not believed.
_CLEAR_DROP = 0.1
# Mean relative drop that is as sure as can be, by judgement. Doubled, that part of the confidence
# halves.
_FULL_DROP = 0.3
# Least ratio of a band's two edges, which one mirror makes alike; by judgement. Doubled, bands
# whose edges differ by half are refused.
_LEAST_SYMMETRY = 0.35
# Edges of a band stand this many typical steps above the other steps of the profile.
_EDGE_NONE, _EDGE_FULL = 2.5, 5.0
# A-lines to either side that are tried after the median, which moves an edge by half its width.
# Doubled, twice the trials.
_REFINE = 2


@dataclass(frozen=True, slots=True)
class Band:
    """A candidate for the return band.

    Parameters
    ----------
    start : int
        Its first A-line, 0-based, in the uncropped B-scan.
    shift : int
        Roll that brings it to the end.
    confidence : float
        0 to 1.
    """

    start: int
    shift: int
    confidence: float


def band_shift(start: int, n_alines: int, n_extra: int) -> int:
    """Give the circular shift that brings a return band to the end of a B-scan.

    Parameters
    ----------
    start : int
        First A-line of the band.
    n_alines, n_extra : int
        Kept and return A-lines.

    Returns
    -------
    int
        Shift towards higher indices; 0 when the band is at the end already, negative when it wraps
        around the end.
    """
    return n_alines - start if 0 <= start <= n_alines + n_extra else 0


def find_band(image_ba: NDArray[np.float32], n_extra: int) -> Band:
    """Find the most likely return band of one tile.

    Parameters
    ----------
    image_ba : ndarray, shape (n_bscans, n_alines + n_extra), float32
        Mean over depth of some B-scans, as stored.
    n_extra : int
        Width of the band.

    Returns
    -------
    Band
        The best place, whatever its confidence. The profile counts as a ring, since a band may
        wrap around the end.
    """
    total = image_ba.shape[1]
    if n_extra < 1 or 2 * n_extra >= total or not len(image_ba):
        return Band(total - n_extra, 0, 0.0)
    profile = _log_profile(image_ba)
    pair = _edge_pair(profile, n_extra)
    smooth = median_filter(profile, _MEDIAN_WIDTH, mode="wrap")
    near = int(np.argmax(_edge_pair(smooth, n_extra))) + np.arange(-_REFINE, _REFINE + 1)
    # The filter removes noise and lone bright lines, but moves edges by an A-line or two and wipes
    # out a band that begins with few A-lines of another tissue. So both profiles propose.
    steps = {int(near[np.argmax(pair[near % total])] % total), int(np.argmax(pair))}
    bands = [_band((step + 1) % total, image_ba, n_extra) for step in sorted(steps)]
    return max(bands, key=lambda band: band.confidence)


def _band(start: int, image_ba: NDArray[np.float32], n_extra: int) -> Band:
    shift = band_shift(start, image_ba.shape[1] - n_extra, n_extra)
    return Band(start, shift, band_confidence(image_ba, start, n_extra))


def _log_profile(image_ba: NDArray[np.floating]) -> NDArray[np.float64]:
    # The return is darker by a factor, so its two edges are equal in the logarithm only: one may
    # lie in bright tissue and the other in gel. The floor keeps dark noise from making edges.
    profile = np.maximum(image_ba.mean(axis=0, dtype=np.float64), 0)
    floor = _SIGNAL_FRACTION * float(np.percentile(profile, 99))
    logarithm: NDArray[np.float64] = np.log(profile + max(floor, np.finfo(float).tiny))
    return logarithm


def _edge_pair(profile: NDArray[np.float64], n_extra: int) -> NDArray[np.float64]:
    step = np.roll(profile, -1) - profile
    other = np.roll(step, -n_extra)
    # In and out of a band go opposite ways by like amounts. The weaker edge counts: a product
    # would let the border of the tissue, paired with anything, win over two medium edges.
    weaker = np.minimum(np.abs(step), np.abs(other))
    pair: NDArray[np.float64] = np.where(step * other < 0, weaker, 0)
    return pair


def band_confidence(image_ba: NDArray[np.float32], start: int, n_extra: int) -> float:
    """Score a candidate band between 0 and 1.

    Parameters
    ----------
    image_ba : ndarray, shape (n_bscans, n_alines + n_extra), float32
        Mean over depth of some B-scans.
    start : int
        First A-line of the candidate.
    n_extra : int
        Its width.

    Returns
    -------
    float
        High when most B-scans with signal are darker (or most brighter) inside than on both sides
        by 10 % and more, and both edges are single steps of like height that stand out from all
        other steps. Vessels and section borders lack the second.
    """
    ring = np.roll(image_ba.astype(np.float64), -start, axis=1)
    drop = _drops(ring, n_extra)
    if not drop.size:
        return 0.0
    sign = np.sign(np.median(drop))
    consistency = float(np.mean(np.sign(drop) == sign)) if sign else 0.0
    if consistency < 0.5:
        return 0.3 * consistency
    fraction = float(np.mean(np.abs(drop) > _CLEAR_DROP))
    strength = min(float(np.mean(np.abs(drop))) / _FULL_DROP, 1.0)
    score = 0.40 * consistency + 0.35 * fraction + 0.25 * strength
    return score * _edge_evidence(_log_profile(ring), n_extra)


def _drops(ring: NDArray[np.float64], n_extra: int) -> NDArray[np.float64]:
    total = ring.shape[1]
    margin = max(min(10, n_extra), n_extra // 2)
    margin = max(1, min(margin, (total - n_extra) // 6))
    inset = min(margin, n_extra // 4)
    band = ring[:, inset : n_extra - inset].mean(axis=1)
    after = ring[:, n_extra + margin : n_extra + 3 * margin]
    before = ring[:, total - 3 * margin : total - margin]
    surround = np.concatenate([before, after], axis=1).mean(axis=1)
    bright = surround > max(_SIGNAL_FRACTION * float(np.percentile(ring, 99)), 0.0)
    drops: NDArray[np.float64] = (surround[bright] - band[bright]) / surround[bright]
    return drops


def _edge_evidence(ring: NDArray[np.float64], n_extra: int) -> float:
    step = np.roll(ring, -1) - ring
    edges = step[-1], step[n_extra - 1]
    others = np.abs(np.delete(step, _around((len(step) - 1, n_extra - 1), len(step))))
    low, high = sorted(abs(edge) for edge in edges)
    if edges[0] * edges[1] >= 0 or low < _LEAST_SYMMETRY * high or not others.size:
        return 0.0
    # A percentile, as a saturated marker A-line makes two steps larger than any band's.
    typical = float(np.percentile(others, 95)) / 1.96 or np.finfo(float).tiny
    return float(np.clip((low / typical - _EDGE_NONE) / (_EDGE_FULL - _EDGE_NONE), 0, 1))


def _around(places: tuple[int, int], total: int) -> list[int]:
    return sorted({(place + offset) % total for place in places for offset in (-1, 0, 1)})
