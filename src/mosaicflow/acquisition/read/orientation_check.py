"""Tell from the images whether tiles are turned the right way: their overlaps must look alike."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter

from mosaicflow.acquisition.orientation import Orientation
from mosaicflow.acquisition.read.reading import depth_means
from mosaicflow.errors import FormatError, InputError
from mosaicflow.likeness import pearson
from mosaicflow.spread import spread_about

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from mosaicflow.acquisition.tiles import SliceTiles, Tile

__all__ = ["OrientationScore", "better_orientation", "check_orientation"]

# Rise of the overlaps' correlation from which another orientation is named, by judgement. Doubled,
# dim samples get no advice.
CLEARLY_BETTER = 0.1
# Finer detail misses by the stage's error, coarser detail is the shading of the lens.
_FINE_PX, _COARSE_PX = 2.0, 12.0
# Overlap that can be compared at all [px], by judgement. Doubled, the narrowest overlaps have no
# say.
_LEAST_OVERLAP_PX = 4
# Pairs tried for each that is wanted, as some show no tissue; by judgement. Doubled, twice the
# reading at the worst.
_TRIES_PER_PAIR = 3


@dataclass(frozen=True, slots=True)
class OrientationScore:
    """How well the overlaps agree with one orientation.

    Parameters
    ----------
    orientation : Orientation
        The one tried.
    ncc : float
        Median normalised cross-correlation over the pairs.
    n_pairs : int
        Neighbouring tiles compared.
    """

    orientation: Orientation
    ncc: float
    n_pairs: int


@dataclass(frozen=True, slots=True)
class _Pair:
    tiles: SliceTiles
    first: Tile
    second: Tile
    axis: int  # of the lattice along which they are neighbours


def check_orientation(
    root: Path, slices: Sequence[SliceTiles], *, n_pairs: int = 20, seed: int = 0
) -> list[OrientationScore]:
    """Compare the overlaps of random neighbours under all eight orientations.

    Parameters
    ----------
    root : Path
        The raw folder.
    slices : sequence of SliceTiles
        The slices to draw pairs from.
    n_pairs : int
        Pairs wanted; only those in which both tiles show structure above their noise count.
    seed : int
        Which pairs are drawn.

    Returns
    -------
    list of OrientationScore
        Best first.

    Raises
    ------
    InputError
        When no two neighbours show structure.
    """
    pairs = [pair for tiles in slices if not tiles.failure for pair in _neighbours(tiles)]
    order = np.random.default_rng(seed).permutation(len(pairs))
    every = [Orientation(*flags) for flags in itertools.product((True, False), repeat=3)]
    found: list[list[float]] = []
    for number in order[: _TRIES_PER_PAIR * n_pairs]:
        images = _images(root, pairs[number])
        if images is not None:
            found.append([_overlap_ncc(pairs[number], images, each) for each in every])
        if len(found) == n_pairs:
            break
    if not found:
        raise InputError(
            f"{root}: none of {len(pairs)} pairs of neighbouring tiles shows structure, so their "
            "orientation cannot be told",
            remedy="check that the acquisition holds tissue",
        )
    medians = np.median(found, axis=0)
    scores = [
        OrientationScore(each, float(ncc), len(found))
        for each, ncc in zip(every, medians, strict=True)
    ]
    return sorted(scores, key=lambda score: -score.ncc)


def better_orientation(
    scores: Sequence[OrientationScore], configured: Orientation
) -> OrientationScore | None:
    """Give the best score if it beats that of the configured orientation by more than 0.1."""
    own = next(score for score in scores if score.orientation == configured)
    best = scores[0]
    return best if best.ncc > own.ncc + CLEARLY_BETTER else None


def _neighbours(tiles: SliceTiles) -> Iterator[_Pair]:
    used = tiles.used
    for (iy, ix), tile in sorted(used.items()):
        for axis, other in enumerate(((iy + 1, ix), (iy, ix + 1))):
            if other in used:
                yield _Pair(tiles, tile, used[other], axis)


def _images(root: Path, pair: _Pair) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    images = []
    for tile in (pair.first, pair.second):
        try:
            image = depth_means(root, pair.tiles, tile)
        except (OSError, FormatError):  # reading it for the grid reports it, with the reason
            return None
        if not _has_structure(image):
            return None
        images.append(image)
    return (images[0], images[1]) if images[0].shape == images[1].shape else None


def _has_structure(image_ba: NDArray[np.float32]) -> bool:
    if min(image_ba.shape) < 2 * _LEAST_OVERLAP_PX or not np.isfinite(image_ba).all():
        return False
    noise = spread_about(np.diff(image_ba, axis=0), 0.0) / np.sqrt(2)
    low, high = np.percentile(gaussian_filter(image_ba, _FINE_PX), (5, 95))
    return bool(high - low > noise)


def _overlap_ncc(
    pair: _Pair,
    images_ba: tuple[NDArray[np.float32], NDArray[np.float32]],
    orientation: Orientation,
) -> float:
    # With Y first, the strips of both axes are cut the same way.
    first, second = (
        np.moveaxis(orientation.view(image[:, :, None])[0], pair.axis, 0) for image in images_ba
    )
    width = _overlap_px(pair, orientation, len(first))
    return pearson(_detail(first[-width:]), _detail(second[:width]))


def _overlap_px(pair: _Pair, orientation: Orientation, n_px: int) -> int:
    axis = (pair.tiles.stage.y, pair.tiles.stage.x)[pair.axis]
    geometry = pair.first.geometry
    overlap = pair.tiles.overlap_fraction * n_px
    if axis.step_mm is not None and geometry is not None:
        pitch = orientation.yx(geometry.pitch_fast_um, geometry.pitch_slow_um)[pair.axis]
        overlap = n_px - axis.step_mm * 1000 / pitch
    return min(max(round(overlap), _LEAST_OVERLAP_PX), n_px)


def _detail(strip: NDArray[np.generic]) -> NDArray[np.float32]:
    image = np.log1p(np.maximum(strip.astype(np.float32), 0))
    fine, coarse = (gaussian_filter(image, size) for size in (_FINE_PX, _COARSE_PX))
    detail: NDArray[np.float32] = fine - coarse
    return detail
