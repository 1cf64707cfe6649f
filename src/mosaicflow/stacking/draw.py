"""Drawing the volume: reading each slice once per part of the canvas, plane by plane."""

from __future__ import annotations

import itertools
import math
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from mosaicflow.errors import InputError
from mosaicflow.slices.images import correlation, tissue_mask
from mosaicflow.stacking.brightness import Display, PlaneTone
from mosaicflow.stacking.compose import SampledSlice, compose_plane
from mosaicflow.stacking.gains import SeamLevel, compare_levels
from mosaicflow.stacking.levels import PlaneLevels
from mosaicflow.stacking.plan import DepthSpan, Seam, layers_of
from mosaicflow.stacking.sampling import LateralMap, Sampler, Window, plane_weights
from mosaicflow.threads import map_threads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mosaicflow.alignment.solution import AlignedSlice, Alignment
    from mosaicflow.io.zarr import OmeZarrWriter
    from mosaicflow.slices.stored import SliceStore

__all__ = [
    "Light",
    "SlicePlan",
    "draw_volume",
    "measure_seams",
    "plan_slices",
    "sample_windows",
]

# A part of the canvas is drawn at once; this many bytes bound its side, whatever the canvas.
_PART_BYTES = 1_000_000_000
# Memory of a sampler (four weights and indices per pixel), and of a plane under way, in planes.
_SAMPLER_PLANES, _DRAWN_PLANES = 8, 8
# Blocks of planes under way: one drawn, one being written.
_OPEN_BLOCKS = 2
# Tissue is brighter than the gel by this share of the display's range.
_LEAST_TISSUE = 0.1
# Seams are compared in this many windows at most.
_MOST_WINDOWS = 12
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
    sunk_planes : float
        How far the slice's face lies below the first of them [its own planes].
    """

    store: SliceStore
    lateral: LateralMap
    span: DepthSpan
    planes: list[tuple[int, NDArray[np.float32]]]
    sunk_planes: float = 0.0

    def settled(self, source: Window, *, recorded: bool) -> NDArray[np.float32]:
        """Read a window (z, y, x) with the face where the volume has it."""
        return self.store.settled(*source.slices, recorded=recorded, sunk_planes=self.sunk_planes)

    def mixed(self, data: NDArray[np.float32], number: int) -> NDArray[np.float32]:
        """Average the slice's own planes (z, y, x) into one canvas plane below its face."""
        first, weights = self.planes[number]
        if len(weights) == 1:
            single: NDArray[np.float32] = data[first]
            return single
        part = data[first : first + len(weights)]
        mixed: NDArray[np.float32] = np.tensordot(weights, part, axes=1)
        return mixed


@dataclass(frozen=True, slots=True)
class Light:
    """How bright the slices are drawn.

    Parameters
    ----------
    tones : sequence of PlaneTone
        One per slice.
    display : Display
        What becomes 0 and 1 in the end.
    starts : tuple of float
        Gain of each slice that is in its tone already.
    recorded : bool
        Whether the slices' values are taken as they were before `normalize`.
    """

    tones: Sequence[PlaneTone]
    display: Display
    starts: tuple[float, ...]
    recorded: bool = False

    @classmethod
    def as_stored(cls, plans: Sequence[SlicePlan]) -> Light:
        """Leave all values as the slices hold them."""
        tones = [PlaneTone.plain(plan.span.depth) for plan in plans]
        return cls(tones, Display(), (1.0,) * len(tones))


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
    depth = min(depth, alignment.n_planes - one.first_plane)
    weights = plane_weights(n_z, store.pitch_um[0], depth, canvas_um[0])
    usable = store.level.attrs.get("usable_planes", n_z) * store.pitch_um[0] / canvas_um[0]
    span = DepthSpan(store.slice_id, one.first_plane, depth, max(1, math.floor(usable + 0.5)))
    sunk = one.sunk_planes * canvas_um[0] / store.pitch_um[0]
    return SlicePlan(store, LateralMap(matrix, offset, (n_y, n_x)), span, weights, sunk)


def measure_seams(
    plans: Sequence[SlicePlan],
    seams: Sequence[Seam],
    light: Light,
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
    light : Light
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
    light: Light,
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
    return SeamLevel(index - 1, index, ratio, correlation(upper, lower, tissue.astype(np.float32)))


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
    drawn: tuple[SlicePlan, Light, int], around: tuple[Seam | None, Seam | None], target: Window
) -> _SeamPatch:
    plan, light, index = drawn
    empty = np.zeros(target.shape, np.float32)
    source = plan.lateral.source(target)
    if source is None:
        return _SeamPatch(empty, empty)
    data = plan.settled(source, recorded=light.recorded)
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


def draw_volume(
    plans: Sequence[SlicePlan],
    seams: Sequence[Seam],
    light: Light,
    writer: OmeZarrWriter,
    *,
    threads: int = 1,
) -> PlaneLevels:
    """Sample every slice once and write the volume.

    Parameters
    ----------
    plans, seams : sequence
        Slices in depth order, and the seams between them.
    light : Light
        How bright they are drawn.
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
    levels = PlaneLevels.empty(n_planes)
    block = writer.shards or writer.chunks
    side = _part_px(_open_planes(plans), block[0])
    parts = itertools.product(_parts(n_y, block[1], side), _parts(n_x, block[2], side))
    with ThreadPoolExecutor(1) as pool:
        for part in parts:
            target = Window(*part)
            column = _Column(plans, seams, light, target)
            pending: Future[None] | None = None
            for start in range(0, n_planes, block[0]):
                stop = min(start + block[0], n_planes)
                region = (slice(start, stop), *target.slices)
                if writer.holds(region):
                    levels.count_block(start, writer[region])
                    continue
                data = column.draw(start, stop, levels)
                if pending is not None:
                    pending.result()
                pending = pool.submit(writer.__setitem__, region, data)
                if threads <= 1:
                    pending.result()
            if pending is not None:
                pending.result()
    return levels


def _open_planes(plans: Sequence[SlicePlan]) -> int:
    """Count what may have to be open at once, at the worst depth, in planes of float32.

    The planes of all slices there and how they are sampled; the planes of one slice once more, as
    there are two copies while one of another type is read; and the plane that is drawn.
    """
    spans = [plan.span for plan in plans]
    needs = [plan.store.shape[0] + _SAMPLER_PLANES for plan in plans]
    together = max(
        sum(
            need
            for span, need in zip(spans, needs, strict=True)
            if span.first <= one.first < span.stop
        )
        for one in spans
    )
    return together + max(needs) + _DRAWN_PLANES


def _part_px(n_planes: int, block_planes: int) -> int:
    """Choose the side of a part of the canvas that fits into memory [px]."""
    planes = n_planes + _OPEN_BLOCKS * block_planes
    return math.isqrt(_PART_BYTES // (4 * planes))


def _parts(length: int, block: int, longest: int) -> list[tuple[int, int]]:
    """Cut an axis into equal parts of whole blocks, none longer than needed for memory."""
    count = math.ceil(length / max(longest, block))
    size = math.ceil(length / count / block) * block
    return [(start, min(start + size, length)) for start in range(0, length, size)]


class _Column:
    """A part of the canvas, drawn from the top plane to the deepest."""

    def __init__(
        self,
        plans: Sequence[SlicePlan],
        seams: Sequence[Seam],
        light: Light,
        target: Window,
    ) -> None:
        self._plans, self._seams, self._light, self._target = plans, seams, light, target
        self._spans = [plan.span for plan in plans]
        self._open: dict[int, SampledSlice | None] = {}

    def draw(self, start: int, stop: int, levels: PlaneLevels) -> NDArray[np.float32]:
        """Draw the planes [start, stop) and count them; slices that ended are forgotten."""
        shape = self._target.shape
        block = np.empty((stop - start, *shape), np.float32)
        for plane in range(start, stop):
            for index in [i for i in self._open if self._spans[i].stop <= plane]:
                del self._open[index]
            layers = layers_of(plane, self._spans, self._seams)
            drawn = compose_plane(layers, self._slice, shape[0] * shape[1])
            levels.count(plane, self._light.display.apply(drawn))
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
        data = plan.settled(source, recorded=self._light.recorded)
        sampler = Sampler(plan.lateral, self._target, source, np.asarray(data.any(axis=0)))
        return SampledSlice(sampler, partial(plan.mixed, data), self._light.tones[index])
