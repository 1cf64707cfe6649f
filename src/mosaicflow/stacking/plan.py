"""Which slice shows in which plane of the volume, and how neighbours fade into each other."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["DepthSpan", "Layer", "Seam", "layers_of", "plan_seams"]


@dataclass(frozen=True, slots=True)
class DepthSpan:
    """Planes of the volume that one slice covers.

    Parameters
    ----------
    slice_id : int
        The slice.
    first : int
        Plane of its block face.
    depth : int
        Number of planes.
    usable : int or None
        Planes that every column fills; None when all are.
    """

    slice_id: int
    first: int
    depth: int
    usable: int | None = None

    @property
    def stop(self) -> int:
        """First plane below it."""
        return self.first + self.depth

    @property
    def usable_stop(self) -> int:
        """First plane that some column does not fill."""
        return self.stop if self.usable is None else self.first + min(self.usable, self.depth)


@dataclass(frozen=True, slots=True)
class Seam:
    """Where one slice takes over from the one above.

    Parameters
    ----------
    fixed, moving : DepthSpan
        The upper and the lower slice.
    overlap : int
        Planes both fill; negative for a gap.
    blend : int
        Planes over which they fade, from the lower slice's face down.
    """

    fixed: DepthSpan
    moving: DepthSpan
    overlap: int
    blend: int


@dataclass(frozen=True, slots=True)
class Layer:
    """One slice's part in one plane of the volume.

    Parameters
    ----------
    index : int
        Number of the slice in the list of spans.
    plane : int
        Plane counted from the slice's face.
    share : float
        How far it covers what lies above it: 1 hides it.
    """

    index: int
    plane: int
    share: float


def plan_seams(spans: Sequence[DepthSpan], blend_planes: int) -> list[Seam]:
    """Describe the seams between consecutive slices.

    The lower slice takes over near its own face: it is seen through less tissue there than the
    deep planes of the slice above.

    Parameters
    ----------
    spans : sequence of DepthSpan
        Sorted by their first plane.
    blend_planes : int
        Largest number of planes to fade over; 0 cuts hard.

    Returns
    -------
    list of Seam
        One per pair of neighbours.
    """
    seams = []
    for fixed, moving in itertools.pairwise(spans):
        # Below its usable planes a slice is partly zero: fading into that would print a dark band.
        overlap = fixed.usable_stop - moving.first
        blend = max(0, min(blend_planes, overlap, moving.depth))
        seams.append(Seam(fixed, moving, overlap, blend))
    return seams


def layers_of(plane: int, spans: Sequence[DepthSpan], seams: Sequence[Seam]) -> list[Layer]:
    """List the slices that show in one plane of the volume.

    Parameters
    ----------
    plane : int
        Plane of the volume.
    spans, seams : sequence
        All slices, and the seams between them.

    Returns
    -------
    list of Layer
        The lowest slice first. Slices behind one of full share matter only where it has no data.
    """
    layers = []
    for index in range(len(spans) - 1, -1, -1):
        span = spans[index]
        depth = plane - span.first
        if not 0 <= depth < span.depth:
            continue
        blend = seams[index - 1].blend if index else 0
        share = 1.0
        if depth < blend:
            share = 0.5 * (1 - math.cos(math.pi * (depth + 0.5) / blend))
        layers.append(Layer(index, depth, share))
    return layers
