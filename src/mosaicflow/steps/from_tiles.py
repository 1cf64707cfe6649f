"""How far the stage moved the mosaic from one slice to the next."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from mosaicflow.steps.table import StageStep

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mosaicflow.acquisition.tiles import SliceTiles

__all__ = ["steps_of"]


def steps_of(slices: Sequence[SliceTiles], *, max_shift_mm: float = 0.5) -> list[StageStep]:
    """Give the displacement of each slice's mosaic origin from that of the slice before it.

    The value is ``origin(fixed) - origin(moving)`` in stage coordinates, so that the canvas place
    of a slice is minus the stage sign times the sum of the steps up to it.

    Parameters
    ----------
    slices : sequence of SliceTiles
        Sorted by id.
    max_shift_mm : float
        A longer step is not trusted.

    Returns
    -------
    list of StageStep
        One per consecutive pair. Pixels are those of the raw tiles of the moving slice;
        millimetres decide. Without stage positions the step is 0, marked as not reliable.
    """
    return [_step(fixed, moving, max_shift_mm) for fixed, moving in itertools.pairwise(slices)]


def _step(fixed: SliceTiles, moving: SliceTiles, max_shift_mm: float) -> StageStep:
    known = "nominal" not in (fixed.positions, moving.positions)
    y_mm, x_mm = (
        (round(a - b, 9) if known else 0.0)
        for a, b in zip(fixed.stage.origin_mm, moving.stage.origin_mm, strict=True)
    )
    # A list of positions has a zero of its own per slice, unlike a stage.
    measured = known and fixed.positions == moving.positions == "stage"
    signs = [axis.sign for tiles in (fixed, moving) for axis in (tiles.stage.y, tiles.stage.x)]
    is_sane = all(signs) and (x_mm**2 + y_mm**2) ** 0.5 <= max_shift_mm
    pitch_y, pitch_x = moving.pitch_um[1:]
    return StageStep(
        fixed.slice_id,
        moving.slice_id,
        (y_mm, x_mm),
        measured and is_sane,
        "stage" if known else "zero",
        (_pixels(y_mm, pitch_y), _pixels(x_mm, pitch_x)),
    )


def _pixels(shift_mm: float, pitch_um: float) -> float:
    return round(shift_mm * 1000 / pitch_um, 4) if pitch_um else 0.0
