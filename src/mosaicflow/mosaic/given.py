"""Places of tiles that somebody knows better than their overlaps."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mosaicflow.errors import InputError
from mosaicflow.ledger.overrides import GIVEN_PX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mosaicflow.ledger.overrides import Override
    from mosaicflow.mosaic.tables import SliceLinks

__all__ = ["apply_exclusions", "native_per_working", "tile_places"]

# A position that somebody locked: far below a pixel, and still a number to invert [px].
_LOCKED_PX = 1e-3


def apply_exclusions(one: SliceLinks, rows: Sequence[Override]) -> SliceLinks:
    """Leave out what the overlaps of excluded tiles say; the stage places these tiles."""
    left_out = {row.tile for row in rows if row.exclude and _is_about(row, one)}
    kept = tuple(k for k in one.links if k.a not in left_out and k.b not in left_out)
    return replace(one, links=kept)


def _is_about(row: Override, one: SliceLinks) -> bool:
    if row.kind != "tile" or row.slice_id != one.slice_id:
        return False
    if row.tile not in one.stage_px:
        raise InputError(
            f"overrides: slice {row.slice_id} has no tile (iy, ix) = {row.tile}",
            remedy="give a tile that zNN_tile_positions.csv lists",
        )
    return True


def tile_places(
    one: SliceLinks, rows: Sequence[Override], resolution_um: float
) -> dict[tuple[int, int], tuple[float, float, float]]:
    """Give what rows say of the tiles of a slice: (y, x, standard deviation) in native px."""
    places = {}
    for row in rows:
        if row.tile is None or row.shift_px is None or row.exclude or not _is_about(row, one):
            continue
        scale = [
            native_per_working(n, um, resolution_um)
            for n, um in zip(one.tile_shape[1:], one.pitch_um[1:], strict=True)
        ]
        sigma = _LOCKED_PX if row.lock else (row.sigma_px or GIVEN_PX) * max(scale)
        places[row.tile] = (row.shift_px[0] * scale[0], row.shift_px[1] * scale[1], sigma)
    return places


def native_per_working(n: int, native_um: float, resolution_um: float) -> float:
    """Say how many native px make one of the working pitch, which divides a tile evenly.

    Parameters
    ----------
    n : int
        Native px of a tile along an axis.
    native_um, resolution_um : float
        Native pitch, and the one that was asked for; -1 is the native one.
    """
    if resolution_um <= 0:
        return 1.0
    return n / max(1, round(n * min(1.0, native_um / resolution_um)))
