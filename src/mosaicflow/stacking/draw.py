"""Drawing the volume: reading each slice once per part of the canvas, plane by plane."""

from __future__ import annotations

import itertools
import math
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.stacking.compose import SampledSlice, compose_plane
from mosaicflow.stacking.levels import PlaneLevels
from mosaicflow.stacking.plan import Seam, layers_of
from mosaicflow.stacking.sampling import Sampler, Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mosaicflow.io.zarr import OmeZarrWriter
    from mosaicflow.stacking.light import SliceLight
    from mosaicflow.stacking.slice_plan import SlicePlan

__all__ = ["draw_volume"]

# A part of the canvas is drawn at once; this many bytes bound its side, whatever the canvas.
_PART_BYTES = 1_000_000_000
# Memory of a sampler (four weights and indices per pixel), and of a plane under way, in planes.
_SAMPLER_PLANES, _DRAWN_PLANES = 8, 8
# Blocks of planes under way: one drawn, one being written.
_OPEN_BLOCKS = 2


def draw_volume(
    plans: Sequence[SlicePlan],
    seams: Sequence[Seam],
    light: SliceLight,
    writer: OmeZarrWriter,
    *,
    threads: int = 1,
) -> PlaneLevels:
    """Sample every slice once and write the volume.

    Parameters
    ----------
    plans, seams : sequence
        Slices in depth order, and the seams between them.
    light : SliceLight
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
        light: SliceLight,
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
        data = self._light.read(plan, index, source)
        sampler = Sampler(plan.lateral, self._target, source, np.asarray(data.any(axis=0)))
        return SampledSlice(sampler, partial(plan.mixed, data), self._light.tones[index])
