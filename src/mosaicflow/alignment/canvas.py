"""The canvas that all slices are drawn on: its pitch, its planes, and where they are empty."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.alignment.links import (
    SliceLink,
    unjoined,
)
from mosaicflow.alignment.solution import (
    AlignedSlice,
    Gap,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mosaicflow.slices.stored import SliceStore

__all__ = ["canvas_depth", "canvas_pitch", "find_gaps"]

# A pitch this near to the one asked for is what resampling whole tiles gives.
_NEAR = 0.05


def canvas_pitch(
    store: SliceStore, resolution_um: float, interval_um: float
) -> tuple[float, float, float]:
    """Choose the pitch of the canvas (z, y, x) [um].

    The pitch asked for, wherever the slices were resampled to it; an axis of another pitch keeps
    its own. Slices one plane deep lie one interval apart.
    """
    lateral = max(store.pitch_um[1:])
    if resolution_um > 0 and all(abs(p / resolution_um - 1) <= _NEAR for p in store.pitch_um[1:]):
        lateral = resolution_um
    depth = store.pitch_um[0]
    if store.shape[0] == 1:
        depth = interval_um
    elif resolution_um > 0 and abs(depth / resolution_um - 1) <= _NEAR:
        depth = resolution_um
    return depth, lateral, lateral


def canvas_depth(store: SliceStore, plane_um: float) -> int:
    """Count whole canvas planes in a slice."""
    if store.shape[0] == 1:
        return 1
    return max(1, math.floor(store.shape[0] * store.pitch_um[0] / plane_um + 0.5))


def find_gaps(
    aligned: Sequence[AlignedSlice],
    stores: Mapping[int, SliceStore],
    plane_um: float,
    sigma_px: Mapping[int, float],
    links: Sequence[SliceLink],
) -> tuple[Gap, ...]:
    """Mark where planes are empty or no tissue that two slices show alike joins the stack."""
    apart = {moving for _, moving in unjoined(links, [one.slice_id for one in aligned])}
    ordered = sorted(aligned, key=lambda one: (one.z_plane, one.slice_id))
    covered, gaps = 0, []
    for number, one in enumerate(ordered):
        store, face = stores[one.slice_id], one.first_plane
        if number and (one.slice_id in apart or face > covered):
            above, section = ordered[number - 1], one.section
            gaps.append(
                Gap(
                    min(covered, face),
                    face,
                    above.slice_id,
                    one.slice_id,
                    sigma_px.get(one.slice_id),
                    None if section is None else section.sigma_um,
                )
            )
        filled = 1.0 if store.shape[0] == 1 else float(np.median(store.filled_planes()))
        planes = filled if store.shape[0] == 1 else filled * store.pitch_um[0] / plane_um
        covered = max(covered, face + max(1, math.floor(planes + 0.5)))
    return tuple(gaps)
