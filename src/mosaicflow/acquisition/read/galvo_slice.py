"""Decide for a whole slice whether its galvo return lies inside the tiles.

The phase error is one of the trigger, so it is the same for all tiles of a slice: several tiles
vote, and the result is checked on the images before it is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter

from mosaicflow.acquisition.read.camera import without_marker
from mosaicflow.acquisition.read.galvo import Band, find_band
from mosaicflow.acquisition.read.reading import sample_bscans
from mosaicflow.errors import shortage_behind
from mosaicflow.io.blocks import GalvoBlock
from mosaicflow.likeness import pearson

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from mosaicflow.acquisition.read.camera import Marker
    from mosaicflow.acquisition.tiles import SliceTiles, Tile

__all__ = ["GalvoSettings", "Vote", "decide_galvo", "vote"]

# Tiles whose bands vote; three times as many are looked at. By judgement; doubled, twice the
# reading.
_N_SAMPLES = 5
# B-scans of a tile that are looked at, by judgement. Doubled, twice the reading.
_SAMPLED_BSCANS = 24
# Share of the brightest image below which a tile shows water only, by judgement. Doubled, dim
# tissue has no vote.
_SIGNAL_FRACTION = 0.05
# Confidences between which the seams of neighbours are asked, by judgement. Wider, more tiles are
# read.
_UNSURE = (0.4, 0.7)
# Rise of the seams' correlation that confirms a shift, by judgement. Doubled, weak bands stay.
_CLEAR_RISE = 0.05
# Pairs of neighbours that are asked, by judgement. Doubled, twice the reading.
_MAX_PAIRS = 4
# Standard deviation that takes speckle away before seams are compared [px], by judgement. Doubled,
# fine tissue goes too.
_SMOOTH_PX = 1.5


@dataclass(frozen=True, slots=True)
class GalvoSettings:
    """When to look for a misplaced galvo return and when to correct it.

    Parameters
    ----------
    fix : bool
        Correct it.
    threshold : float
        Least confidence for that.
    detect : bool
        Look and report without correcting.
    """

    fix: bool = True
    threshold: float = 0.6
    detect: bool = False


@dataclass(frozen=True, slots=True)
class Vote:
    """What the sampled tiles say together.

    Parameters
    ----------
    shift : int
        Weighted median of their shifts.
    confidence : float
        Best confidence times the root of the share that agrees.
    """

    shift: int
    confidence: float


def decide_galvo(
    root: Path,
    tiles: SliceTiles,
    settings: GalvoSettings,
    find_marker: Callable[[Tile], Marker | None] | None = None,
) -> GalvoBlock:
    """Find the shift that all tiles of a slice share, and say whether to apply it.

    Parameters
    ----------
    root : Path
        The raw folder.
    tiles : SliceTiles
        The slice.
    settings : GalvoSettings
        What the user wants.
    find_marker : callable, optional
        Gives a tile's camera marker; such tiles are rolled back before anything else.

    Returns
    -------
    GalvoBlock
        With a reason in words.
    """
    n_extra = _common_n_extra(tiles)
    if not (settings.fix or settings.detect):
        return GalvoBlock(n_extra, reason="not looked for")
    if n_extra == 0:
        return GalvoBlock(n_extra, reason="the B-scans hold no return")
    source = _Source(root, tiles, find_marker)
    images = source.sampled_images()
    bands = [find_band(image, n_extra) for image in images]
    if not bands:
        return GalvoBlock(n_extra, 0, 0.0, reason="no tile has signal")
    found = vote(bands, n_extra)
    result = GalvoBlock(n_extra, found.shift, round(found.confidence, 4))
    apply, reason = _judge(found, images, source, settings)
    return GalvoBlock(n_extra, result.shift, result.confidence, apply, reason)


def vote(bands: Sequence[Band], n_extra: int) -> Vote:
    """Combine the bands found in several tiles of one slice.

    Parameters
    ----------
    bands : sequence of Band
        At least one; the most confident ones count.
    n_extra : int
        Width of the return: shifts this close agree.
    """
    best = sorted(bands, key=lambda band: (-band.confidence, band.start))[:_N_SAMPLES]
    ordered = sorted(best, key=lambda band: band.shift)
    weights = np.cumsum([band.confidence for band in ordered])
    middle = int(np.searchsorted(weights, weights[-1] / 2)) if weights[-1] else 0
    shift = ordered[middle].shift
    near = max(n_extra / 4, 5)
    agreement = np.mean([abs(band.shift - shift) <= near for band in best])
    return Vote(shift, float(best[0].confidence * np.sqrt(agreement)))


def _judge(
    found: Vote, images: Sequence[NDArray[np.float32]], source: _Source, settings: GalvoSettings
) -> tuple[bool, str]:
    if found.shift == 0:
        return False, "the return lies at the end of the B-scans"
    if found.confidence < min(settings.threshold, _UNSURE[0]):
        return False, "no band stands out in the same place of several tiles"
    if not _band_is_gone(images, found.shift, source.n_extra):
        return False, "rejected: a band would remain after the correction"
    rise = source.overlap_rise(found.shift)
    told = "no neighbour to compare" if rise is None else f"overlap NCC changes by {rise:+.3f}"
    if _UNSURE[0] <= found.confidence < _UNSURE[1]:
        sure = rise is not None and rise > _CLEAR_RISE
    else:
        sure = found.confidence >= settings.threshold and (rise is None or rise >= 0)
    if not sure:
        return False, f"rejected: {told}"
    return (True, f"applied: {told}") if settings.fix else (False, f"only reported: {told}")


def _band_is_gone(images: Sequence[NDArray[np.float32]], shift: int, n_extra: int) -> bool:
    before = np.mean([find_band(image, n_extra).confidence for image in images])
    rolled = [np.roll(image, shift, axis=1)[:, : image.shape[1] - n_extra] for image in images]
    after = np.mean([find_band(image, n_extra).confidence for image in rolled])
    return bool(after < 0.5 * before)


def _common_n_extra(tiles: SliceTiles) -> int:
    found = {tile.geometry.n_extra for tile in tiles.used.values() if tile.geometry}
    return found.pop() if len(found) == 1 and tiles.reader.format == "oct" else 0


class _Source:
    """Mean-over-depth images of a slice's tiles, read when needed."""

    def __init__(
        self,
        root: Path,
        tiles: SliceTiles,
        find_marker: Callable[[Tile], Marker | None] | None,
    ) -> None:
        self.root = root
        self.tiles = tiles
        self.find_marker = find_marker
        self.n_extra = _common_n_extra(tiles)

    def image(self, tile: Tile, count: int) -> NDArray[np.float32]:
        """Average some B-scans over depth: (n_bscans, n_alines + n_extra)."""
        try:
            scans = sample_bscans(self.root, self.tiles, tile, count)
        except OSError as error:
            if shortage_behind(error) is not None:
                raise
            # Reading the tile for the grid reports it, with the reason.
            return np.zeros((0, 1), np.float32)
        np.nan_to_num(scans, copy=False, posinf=0, neginf=0)
        image = scans.mean(axis=2, dtype=np.float64).astype(np.float32)
        marker = self.find_marker(tile) if self.find_marker else None
        return image if marker is None else without_marker(image, marker)

    def sampled_images(self) -> list[NDArray[np.float32]]:
        """Give the images of tiles with signal from the middle of the list."""
        listed = list(self.tiles.used.values())
        low, high = int(0.2 * len(listed)), max(int(np.ceil(0.8 * len(listed))), 1)
        middle = listed[low:high]
        step = max(1, len(middle) // (3 * _N_SAMPLES))
        images = [self.image(tile, _SAMPLED_BSCANS) for tile in middle[::step][: 3 * _N_SAMPLES]]
        images = [image for image in images if len(image)]
        bright = max((float(np.percentile(image, 99)) for image in images), default=0.0)
        return [image for image in images if image.mean() > _SIGNAL_FRACTION * bright]

    def overlap_rise(self, shift: int) -> float | None:
        """Measure how the likeness of overlaps across the fast axis changes with a shift.

        Returns
        -------
        float or None
            Median change of the normalised cross-correlation; None without such a pair.
        """
        changes = [
            self._likeness(first, second, shift) - self._likeness(first, second, 0)
            for first, second in self._pairs()
        ]
        return float(np.median(changes)) if changes else None

    def _pairs(self) -> Iterable[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        step = (1, 0) if self.tiles.reader.orientation.y_is_fast else (0, 1)
        used = self.tiles.used
        pairs = [
            (tile, used[iy + step[0], ix + step[1]])
            for (iy, ix), tile in sorted(used.items())
            if (iy + step[0], ix + step[1]) in used
        ]
        for first, second in pairs[len(pairs) // 4 :: max(1, len(pairs) // _MAX_PAIRS)]:
            n_bscans = first.geometry.n_bscans if first.geometry else 1
            yield self.image(first, n_bscans), self.image(second, n_bscans)

    def _likeness(
        self, first: NDArray[np.float32], second: NDArray[np.float32], shift: int
    ) -> float:
        if len(first) == 0 or len(first) != len(second) or first.shape != second.shape:
            return 0.0
        sides = []
        for image in (first, second):
            kept = np.roll(image, shift, axis=1)[:, : image.shape[1] - self.n_extra]
            sides.append(gaussian_filter(np.log1p(np.maximum(kept, 0)), _SMOOTH_PX))
        width = max(2, round(self.tiles.overlap_fraction * sides[0].shape[1]))
        orientation = self.tiles.reader.orientation
        runs_back = orientation.reverse_y if orientation.y_is_fast else orientation.reverse_x
        # Against the mosaic axis, the end of the first tile is where its A-lines begin.
        strips = (sides[0][:, :width], sides[1][:, -width:])
        if not runs_back:
            strips = (sides[0][:, -width:], sides[1][:, :width])
        return pearson(*strips)
