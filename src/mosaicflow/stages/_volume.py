"""Drawing the volume: reading each slice once per part of the canvas, plane by plane."""

from __future__ import annotations

import itertools
import math
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from mosaicflow.alignment.images import correlation, tissue_mask
from mosaicflow.errors import InputError
from mosaicflow.stacking.compose import SampledSlice, compose_plane
from mosaicflow.stacking.gains import SeamLevel, compare_levels
from mosaicflow.stacking.plan import DepthSpan, Seam, layers_of
from mosaicflow.stacking.sampling import LateralMap, Sampler, Window, plane_weights
from mosaicflow.stages._slices import SliceStore, project

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mosaicflow.alignment.solution import AlignedSlice, Alignment
    from mosaicflow.io.zarr import OmeZarrWriter

__all__ = ["PlaneLevels", "SlicePlan", "draw_volume", "measure_seams", "plan_slices"]

# Largest side of a part of the canvas that is drawn at once [px]: bounds memory.
_PART_PX = 896
# Longest side of the images in which seams are compared.
_SEAM_PX = 512
# Planes on either side of a seam that are averaged to compare brightness.
_SEAM_PLANES = 10


@dataclass(frozen=True, slots=True)
class SlicePlan:
    """One slice and where it goes.

    Parameters
    ----------
    store : SliceStore
        The slice on disk.
    lateral : LateralMap
        Canvas to slice pixels.
    span : DepthSpan
        Planes of the volume it covers.
    planes : list of tuple
        How its canvas planes average its own.
    """

    store: SliceStore
    lateral: LateralMap
    span: DepthSpan
    planes: list[tuple[int, NDArray[np.float32]]]


def plan_slices(stores: Sequence[SliceStore], alignment: Alignment) -> list[SlicePlan]:
    """Match the slices on disk with the alignment.

    Raises
    ------
    InputError
        When one has no counterpart, or its pitch is not the one it was aligned with.
    """
    by_id = {store.slice_id: store for store in stores}
    aligned = {one.slice_id: one for one in alignment.slices}
    if missing := sorted(aligned.keys() - by_id.keys()):
        raise InputError(
            f"alignment.json places slice {missing[0]}, which was not given",
            remedy="give all slices that solve_alignment saw",
        )
    known = {one.slice_id for one in alignment.left_out} | aligned.keys()
    if unknown := sorted(by_id.keys() - known):
        raise InputError(
            f"slice {unknown[0]} is not in alignment.json, neither placed nor left out",
            remedy="solve the alignment again with all slices",
        )
    plans = [_plan(by_id[i], one, alignment) for i, one in sorted(aligned.items())]
    return sorted(plans, key=lambda plan: (plan.span.first, plan.span.slice_id))


def _plan(store: SliceStore, one: AlignedSlice, alignment: Alignment) -> SlicePlan:
    canvas_um = alignment.pitch_um
    scale = np.array(one.scale_yx)
    if not np.allclose(np.array(store.pitch_um[1:]) / canvas_um[1], scale, rtol=1e-3):
        raise InputError(
            f"slice {store.slice_id} has a pitch of {store.pitch_um} um, but was aligned with "
            f"{tuple(float(v) * canvas_um[1] for v in scale)} um",
            remedy="solve the alignment again with these slices",
        )
    back = one.transform.inverse().about((0.0, 0.0))
    # Canvas px -> slice px at the canvas's pitch -> the slice's own px, about pixel corners.
    matrix = back.matrix / scale[:, None]
    offset = (back.offset + 0.5) / scale - 0.5
    n_z, n_y, n_x = store.shape
    depth = 1
    if n_z > 1:
        depth = max(1, math.floor(n_z * store.pitch_um[0] / canvas_um[0] + 0.5))
    depth = min(depth, alignment.n_planes - one.z_plane)
    weights = plane_weights(n_z, store.pitch_um[0], depth, canvas_um[0])
    span = DepthSpan(store.slice_id, one.z_plane, depth)
    return SlicePlan(store, LateralMap(matrix, offset, (n_y, n_x)), span, weights)


def measure_seams(
    plans: Sequence[SlicePlan],
    seams: Sequence[Seam],
    canvas_yx: tuple[int, int],
    *,
    threads: int = 1,
) -> list[SeamLevel]:
    """Compare neighbours, as aligned, in the planes where one takes over from the other.

    Parameters
    ----------
    plans, seams : sequence
        Slices and the seams between them.
    canvas_yx : tuple of int
        Shape of the canvas.
    threads : int
        Blocks read at the same time.

    Returns
    -------
    list of SeamLevel
        One per seam; NaN where the slices share no plane.
    """
    longest = max(canvas_yx)
    factor = int(2 ** max(0, math.ceil(math.log2(longest / _SEAM_PX))))
    images = [
        _seam_images(plan, _seam_around(seams, index), canvas_yx, factor, threads)
        for index, plan in enumerate(plans)
    ]
    levels = []
    for index, seam in enumerate(seams):
        ratio = corr = math.nan
        if seam.overlap > 0:
            (upper, upper_valid), (lower, lower_valid) = images[index][1], images[index + 1][0]
            valid = upper_valid & lower_valid
            sigma = max(1.0, 8 / factor)
            tissue = tissue_mask(upper, valid, sigma) | tissue_mask(lower, valid, sigma)
            ratio = compare_levels(upper, lower, tissue)
            corr = correlation(upper, lower, tissue.astype(np.float32))
        levels.append(SeamLevel(index, index + 1, ratio, corr))
    return levels


def _seam_around(seams: Sequence[Seam], index: int) -> tuple[Seam | None, Seam | None]:
    above = seams[index - 1] if index > 0 else None
    below = seams[index] if index < len(seams) else None
    return above, below


_Image = tuple["NDArray[np.float32]", "NDArray[np.bool_]"]


def _seam_images(
    plan: SlicePlan,
    around: tuple[Seam | None, Seam | None],
    canvas_yx: tuple[int, int],
    factor: int,
    threads: int,
) -> tuple[_Image, _Image]:
    """Average the slice's planes at the seam above and at the one below, on a coarse canvas."""
    weights = np.zeros((2, plan.store.shape[0]))
    for row, seam in enumerate(around):
        if seam is None or seam.overlap <= 0:
            continue
        count = min(_SEAM_PLANES, seam.overlap)
        start = 0 if row == 0 else seam.moving.first - seam.fixed.first
        for plane in range(start, min(start + count, plan.span.depth)):
            first, shares = plan.planes[plane]
            weights[row, first : first + len(shares)] += shares / count
    found = project(plan.store.level, weights, image_bin=factor, threads=threads)
    lateral = plan.lateral
    # Bins are centred half a bin from the pixel corner, on the canvas and in the slice.
    offset = (lateral.matrix @ np.full(2, (factor - 1) / 2) + lateral.offset + 0.5) / factor - 0.5
    shape = tuple(max(1, n // factor) for n in canvas_yx)

    def on_canvas(image: NDArray[np.float32]) -> NDArray[np.float32]:
        drawn: NDArray[np.float32] = ndimage.affine_transform(
            image, lateral.matrix, offset, shape, order=1, output=np.float32
        )
        return drawn

    valid = on_canvas(found.valid.astype(np.float32)) > 0.99
    top, bottom = (on_canvas(image) for image in found.images)
    return (top, valid), (bottom, valid)


@dataclass(frozen=True, slots=True)
class PlaneLevels:
    """Brightness of every plane before gains, and how much of the canvas is filled.

    Parameters
    ----------
    total : ndarray, shape (planes,), float64
        Sum of all values.
    filled : ndarray, shape (planes,), int64
        Pixels that are not 0.
    """

    total: NDArray[np.float64]
    filled: NDArray[np.int64]


def draw_volume(
    plans: Sequence[SlicePlan],
    seams: Sequence[Seam],
    gains: Sequence[float],
    writer: OmeZarrWriter,
    *,
    threads: int = 1,
) -> PlaneLevels:
    """Sample every slice once and write the volume.

    Parameters
    ----------
    plans, seams : sequence
        Slices in depth order, and the seams between them.
    gains : sequence of float
        Brightness factor per slice.
    writer : OmeZarrWriter
        Unfinished store of the volume's shape.
    threads : int
        With more than one, finished planes are written while the next ones are drawn.

    Returns
    -------
    PlaneLevels
        Statistics of the planes as written.
    """
    n_planes, n_y, n_x = writer.shape
    levels = PlaneLevels(np.zeros(n_planes), np.zeros(n_planes, np.int64))
    block = writer.shards or writer.chunks
    with ThreadPoolExecutor(1) as pool:
        for part in itertools.product(_parts(n_y, block[1]), _parts(n_x, block[2])):
            target = Window(*part)
            column = _Column(plans, seams, gains, target)
            pending: Future[None] | None = None
            for start in range(0, n_planes, block[0]):
                stop = min(start + block[0], n_planes)
                data = column.draw(start, stop)
                levels.total[start:stop] += data.sum(axis=(1, 2), dtype=np.float64)
                levels.filled[start:stop] += np.count_nonzero(data, axis=(1, 2))
                region = (slice(start, stop), *target.slices)
                if pending is not None:
                    pending.result()
                pending = pool.submit(writer.__setitem__, region, data)
                if threads <= 1:
                    pending.result()
            if pending is not None:
                pending.result()
    return levels


def _parts(length: int, block: int) -> list[tuple[int, int]]:
    """Cut an axis into equal parts of whole blocks, none longer than needed for memory."""
    count = math.ceil(length / max(_PART_PX, block))
    size = math.ceil(length / count / block) * block
    return [(start, min(start + size, length)) for start in range(0, length, size)]


class _Column:
    """A part of the canvas, drawn from the top plane to the deepest."""

    def __init__(
        self,
        plans: Sequence[SlicePlan],
        seams: Sequence[Seam],
        gains: Sequence[float],
        target: Window,
    ) -> None:
        self._plans, self._seams, self._gains, self._target = plans, seams, gains, target
        self._spans = [plan.span for plan in plans]
        self._open: dict[int, SampledSlice | None] = {}

    def draw(self, start: int, stop: int) -> NDArray[np.float32]:
        """Draw the planes [start, stop); slices that end above `start` are forgotten."""
        shape = self._target.shape
        block = np.empty((stop - start, *shape), np.float32)
        for plane in range(start, stop):
            for index in [i for i in self._open if self._spans[i].stop <= plane]:
                del self._open[index]
            layers = layers_of(plane, self._spans, self._seams)
            drawn = compose_plane(layers, self._slice, shape[0] * shape[1])
            block[plane - start] = drawn.reshape(shape)
        return block

    def _slice(self, index: int) -> SampledSlice | None:
        if index not in self._open:
            self._open[index] = self._load(index)
        return self._open[index]

    def _load(self, index: int) -> SampledSlice | None:
        plan = self._plans[index]
        source = plan.lateral.source(self._target)
        if source is None:
            return None
        data = np.asarray(plan.store.level[:, *source.slices], dtype=np.float32)
        sampler = Sampler(plan.lateral, self._target, source, (data != 0).any(axis=0))

        def plane(number: int) -> NDArray[np.float32]:
            first, weights = plan.planes[number]
            if len(weights) == 1:
                single: NDArray[np.float32] = data[first]
                return single
            mixed: NDArray[np.float32] = np.tensordot(
                weights, data[first : first + len(weights)], axes=1
            )
            return mixed

        return SampledSlice(sampler, plane, float(self._gains[index]))
