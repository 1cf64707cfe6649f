"""Comparing neighbours in the planes where one takes over from the other."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from mosaicflow.likeness import pearson
from mosaicflow.slices.masks import tissue_mask
from mosaicflow.stacking.gains import SeamLevel, compare_levels
from mosaicflow.stacking.sampling import Sampler, Window
from mosaicflow.threads import map_threads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mosaicflow.stacking.light import SliceLight
    from mosaicflow.stacking.plan import Seam
    from mosaicflow.stacking.slice_plan import SlicePlan

__all__ = ["measure_seams", "sample_windows"]

# Tissue is brighter than the gel by this share of the display's range.
_LEAST_TISSUE = 0.1
# Seams are compared in this many windows at most.
_MOST_WINDOWS = 12
# Planes on either side of a seam that are averaged to compare brightness.
_SEAM_PLANES = 10


def measure_seams(
    plans: Sequence[SlicePlan],
    seams: Sequence[Seam],
    light: SliceLight,
    canvas_yx: tuple[int, int],
    *,
    threads: int = 1,
) -> list[SeamLevel]:
    """Compare neighbours, as aligned, in the planes where one takes over from the other.

    Only a few chunk columns spread over the canvas are read: enough for a median and a
    correlation, whatever the size of the volume.

    Parameters
    ----------
    plans, seams : sequence
        Slices and the seams between them.
    light : SliceLight
        How bright they are drawn.
    canvas_yx : tuple of int
        Shape of the canvas.
    threads : int
        Windows read at the same time.

    Returns
    -------
    list of SeamLevel
        One per seam; NaN where the slices share no plane.
    """
    windows = sample_windows(plans[len(plans) // 2], canvas_yx)

    levels: list[SeamLevel] = []
    above: list[_SeamPatch] = []
    # Slice by slice, so that memory does not grow with their number.
    for index, plan in enumerate(plans if seams else ()):
        around = (
            seams[index - 1] if index > 0 else None,
            seams[index] if index < len(seams) else None,
        )
        here = map_threads(partial(_seam_patch, (plan, light, index), around), windows, threads)
        if index > 0:
            levels.append(_compare_patches(index, seams[index - 1], (above, here), light))
        above = here
    return levels


def _compare_patches(
    index: int,
    seam: Seam,
    patches: tuple[Sequence[_SeamPatch], Sequence[_SeamPatch]],
    light: SliceLight,
) -> SeamLevel:
    """Compare the bottom of the slice above with the top of slice number `index`."""
    if seam.overlap <= 0:
        return SeamLevel(index - 1, index, math.nan, math.nan)
    upper = np.concatenate([patch.bottom for patch in patches[0]])
    lower = np.concatenate([patch.top for patch in patches[1]])
    valid = (upper != 0) & (lower != 0)
    tissue = tissue_mask(upper, valid, 2.0) | tissue_mask(lower, valid, 2.0)
    # Where gel is known all tissue counts: what is bright fades more, in its own shadow, and the
    # bright part alone would pass that for a step.
    least = light.display.black + _LEAST_TISSUE * (light.display.white - light.display.black)
    compared = (upper > least) & (lower > least) if light.recorded else tissue
    ratio = compare_levels(upper, lower, compared)
    return SeamLevel(index - 1, index, ratio, pearson(upper, lower, tissue.astype(np.float32)))


def sample_windows(
    plan: SlicePlan, canvas_yx: tuple[int, int], *, inner: float = 4 / 9
) -> list[Window]:
    """Choose windows that lie inside a chunk of the given slice, around its centre.

    Neighbours lie within some ten px of it, so most of them need one chunk column per window too.

    Parameters
    ----------
    plan : SlicePlan
        The slice.
    canvas_yx : tuple of int
        Shape of the canvas.
    inner : float
        Share of the slice's area that they are spread over.

    Returns
    -------
    list of Window
        Parts of the canvas, at most 12.
    """
    shape, chunk = plan.store.shape[1:], plan.store.level.chunks[1:]
    starts = (range(0, n, size) for n, size in zip(shape, chunk, strict=True))
    half = np.array([min(n, size) for n, size in zip(shape, chunk, strict=True)]) / 2
    middle = np.array(shape) / 2
    centers = sorted(
        (
            np.minimum(np.array(corner) + half, np.array(shape) - 1)
            for corner in itertools.product(*starts)
        ),
        key=lambda center: (float(np.hypot(*(center - middle))), *center),
    )
    near = centers[: max(1, int(len(centers) * inner + 1e-9))]
    back = np.linalg.inv(plan.lateral.matrix)
    size = np.minimum((1.5 * half).astype(int), canvas_yx)
    windows = []
    for center in near[:: max(1, -(-len(near) // _MOST_WINDOWS))]:
        place = back @ (center - plan.lateral.offset)
        y, x = np.clip(np.round(place - size / 2), 0, np.array(canvas_yx) - size).astype(int)
        windows.append(Window((int(y), int(y + size[0])), (int(x), int(x + size[1]))))
    return windows


@dataclass(frozen=True, slots=True)
class _SeamPatch:
    """Means over the planes at the seam above and below a slice, on one window; 0 = no data."""

    top: NDArray[np.float32]
    bottom: NDArray[np.float32]


def _seam_patch(
    drawn: tuple[SlicePlan, SliceLight, int],
    around: tuple[Seam | None, Seam | None],
    target: Window,
) -> _SeamPatch:
    plan, light, index = drawn
    empty = np.zeros(target.shape, np.float32)
    source = plan.lateral.source(target)
    if source is None:
        return _SeamPatch(empty, empty)
    data = light.read(plan, index, source)
    sampler = Sampler(plan.lateral, target, source, np.asarray(data.any(axis=0)))
    means = []
    for row, seam in enumerate(around):
        if seam is None or seam.overlap <= 0:
            means.append(empty)
            continue
        weights = np.zeros(plan.store.shape[0], np.float32)
        start = 0 if row == 0 else seam.moving.first - seam.fixed.first
        stop = min(start + min(_SEAM_PLANES, seam.overlap), plan.span.depth)
        factors = light.tones[index].factor[start:stop] / (stop - start)
        for (first, shares), factor in zip(plan.planes[start:stop], factors, strict=True):
            weights[first : first + len(shares)] += shares * np.float32(factor)
        mean = sampler(np.tensordot(weights, data, axes=1)).reshape(target.shape)
        # A little smoothing lets the tissue speak louder than the speckle.
        means.append(ndimage.gaussian_filter(mean, 1.0) * sampler.covered.reshape(target.shape))
    return _SeamPatch(*means)
