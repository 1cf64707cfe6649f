"""One slice and where it goes in the volume."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.alignment.plausible import check_extent
from mosaicflow.errors import InputError
from mosaicflow.stacking.plan import DepthSpan
from mosaicflow.stacking.sampling import LateralMap, Window, plane_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mosaicflow.alignment.solution import AlignedSlice, Alignment
    from mosaicflow.slices.islands import Islands
    from mosaicflow.slices.stored import SliceStore

__all__ = ["SlicePlan", "plan_slices"]


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
    thickness : float
        Of the slice's own planes [canvas planes].
    """

    store: SliceStore
    lateral: LateralMap
    span: DepthSpan
    planes: list[tuple[int, NDArray[np.float32]]]
    sunk_planes: float = 0.0
    thickness: float = 1.0

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


def plan_slices(stores: Sequence[SliceStore], alignment: Alignment) -> list[SlicePlan]:
    """Match the slices on disk with the alignment.

    Raises
    ------
    InputError
        When one has no counterpart, or its pitch is not the one it was aligned with.
    FormatError
        When the volume could not be that of these slices.
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
    extents_um = {i: np.multiply(one.shape, one.pitch_um).tolist() for i, one in by_id.items()}
    check_extent(alignment, extents_um, "alignment.json")
    plans = [_plan(by_id[i], one, alignment) for i, one in sorted(aligned.items())]
    return sorted(plans, key=lambda plan: (plan.span.first, plan.span.slice_id))


def _islands(store: SliceStore, one: AlignedSlice) -> tuple[Islands | None, NDArray[np.float64]]:
    """Give the islands of a slice that move, and how far [px of the slice]."""
    moves = np.array(one.island_moves_yx, np.float64).reshape(-1, 2)
    if not len(moves):
        return None, np.zeros((1, 2))
    found = 0 if store.islands is None else store.islands.count
    if found != len(moves):
        raise InputError(
            f"slice {store.slice_id} has {found} islands of tiles, but alignment.json moves "
            f"{len(moves)}",
            remedy="solve the alignment again with these slices",
        )
    return store.islands, moves / np.array(one.scale_yx)


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
    usable = store.usable_planes * store.pitch_um[0] / canvas_um[0]
    span = DepthSpan(store.slice_id, one.first_plane, depth, max(1, math.floor(usable + 0.5)))
    sunk = one.sunk_planes * canvas_um[0] / store.pitch_um[0]
    islands, moves = _islands(store, one)
    lateral = LateralMap(matrix, offset, (n_y, n_x), islands, moves)
    thickness = store.pitch_um[0] / canvas_um[0]
    return SlicePlan(store, lateral, span, weights, sunk, thickness)
