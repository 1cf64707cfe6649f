"""How far the stage moved the mosaic from one slice to the next."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mosaicflow.acquisition.tiles import SliceTiles

__all__ = ["shift_rows"]


def shift_rows(
    slices: Sequence[SliceTiles], *, max_shift_mm: float = 0.5
) -> list[dict[str, object]]:
    """List the displacement of each slice's mosaic origin from that of the slice before it.

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
    list of dict
        One row per consecutive pair, with the columns `io.tables.SHIFT_COLUMNS`. Pixel columns
        count pixels of the raw tiles of the moving slice; millimetres decide. Without stage
        positions the step is 0, marked as not reliable.
    """
    return [_row(fixed, moving, max_shift_mm) for fixed, moving in itertools.pairwise(slices)]


def _row(fixed: SliceTiles, moving: SliceTiles, max_shift_mm: float) -> dict[str, object]:
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
    return {
        "fixed_id": fixed.slice_id,
        "moving_id": moving.slice_id,
        "x_shift": _pixels(x_mm, pitch_x),
        "y_shift": _pixels(y_mm, pitch_y),
        "x_shift_mm": x_mm,
        "y_shift_mm": y_mm,
        "reliable": int(measured and is_sane),
        "source": "stage" if known else "zero",
    }


def _pixels(shift_mm: float, pitch_um: float) -> float:
    return round(shift_mm * 1000 / pitch_um, 4) if pitch_um else 0.0
