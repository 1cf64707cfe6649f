"""Places of tiles and slices that somebody knows better than the images: ``overrides.csv``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mosaicflow.alignment.given import GivenPose
from mosaicflow.errors import InputError
from mosaicflow.io.tables import parse_bool, parse_slice_id, read_csv

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mosaicflow.stages._tile_tables import SliceLinks

__all__ = [
    "Override",
    "apply_exclusions",
    "excluded_slices",
    "read_overrides",
    "slice_poses",
    "tile_places",
]

_KINDS = ("tile", "slice")
# A position that somebody locked: far below a pixel, and still a number to invert [px].
_LOCKED_PX = 1e-3
# Standard deviation of a position that somebody gave without saying how well it is known [px].
_GIVEN_PX = 1.0


@dataclass(frozen=True, slots=True)
class Override:
    """One row of ``overrides.csv``.

    Parameters
    ----------
    kind : {'tile', 'slice'}
        What it is about.
    slice_id : int
        The slice.
    tile : (int, int) or None
        Lattice index (iy, ix) of a tile.
    shift_px : (float, float) or None
        Where it belongs minus where the stage alone puts it, (y, x) in px of the working pitch.
    angle_deg : float or None
        Turn of a slice about its centre; None when it is not said.
    sigma_px : float or None
        Standard deviation of that; None when it is not said.
    lock, exclude : bool
        Whether it is fixed; whether it is to be left out.
    """

    kind: str
    slice_id: int
    tile: tuple[int, int] | None
    shift_px: tuple[float, float] | None
    angle_deg: float | None
    sigma_px: float | None
    lock: bool
    exclude: bool


def read_overrides(path: Path) -> tuple[Override, ...]:
    """Read ``overrides.csv``.

    Raises
    ------
    InputError
        For a row that says nothing that can be done.
    """
    rows = read_csv(path, ["kind", "slice_id"])
    return tuple(_row(row, f"{path.name}, row {n}") for n, row in enumerate(rows, start=1))


def _row(row: dict[str, str], where: str) -> Override:
    kind = row["kind"].strip()
    if kind not in _KINDS:
        raise InputError(f"{where}: kind is {kind!r}", remedy="write tile or slice")

    def number(name: str) -> float | None:
        text = (row.get(name) or "").strip()
        try:
            return float(text) if text else None
        except ValueError as error:
            raise InputError(
                f"{where}: {name} is {text!r}, expected a number", remedy="correct the table"
            ) from error

    iy, ix, dy, dx, sigma = (number(n) for n in ("iy", "ix", "dy_px", "dx_px", "sigma_px"))
    tile = None if iy is None or ix is None else (int(iy), int(ix))
    if kind == "tile" and tile is None:
        raise InputError(f"{where}: a tile without iy and ix", remedy="give its lattice index")
    if sigma is not None and sigma <= 0:
        raise InputError(f"{where}: sigma_px is {sigma}, expected above 0", remedy="correct it")
    found = Override(
        kind,
        parse_slice_id(row["slice_id"]),
        tile,
        None if dy is None and dx is None else (dy or 0.0, dx or 0.0),
        number("angle_deg"),
        sigma,
        parse_bool(row.get("lock") or "false", where),
        parse_bool(row.get("exclude") or "false", where),
    )
    said = found.shift_px is not None or found.angle_deg is not None
    if kind == "slice" and not (said or found.lock or found.exclude):
        raise InputError(
            f"{where}: nothing is said about slice {found.slice_id}",
            remedy="give dy_px, dx_px or angle_deg, or set lock or exclude",
        )
    return found


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
            _native_per_working(n, um, resolution_um)
            for n, um in zip(one.tile_shape[1:], one.pitch_um[1:], strict=True)
        ]
        sigma = _LOCKED_PX if row.lock else (row.sigma_px or _GIVEN_PX) * max(scale)
        places[row.tile] = (row.shift_px[0] * scale[0], row.shift_px[1] * scale[1], sigma)
    return places


def slice_poses(rows: Sequence[Override]) -> dict[int, GivenPose]:
    """Give what rows say of slices, by slice id.

    Raises
    ------
    InputError
        When two rows are about one slice.
    """
    poses: dict[int, GivenPose] = {}
    for row in rows:
        if row.kind != "slice" or row.exclude:
            continue
        if row.slice_id in poses:
            raise InputError(
                f"overrides: two rows are about slice {row.slice_id}",
                remedy="keep the one that is right",
            )
        poses[row.slice_id] = GivenPose(
            row.slice_id, row.shift_px, row.angle_deg, row.sigma_px or _GIVEN_PX, row.lock
        )
    return poses


def excluded_slices(rows: Sequence[Override]) -> set[int]:
    """List the slices whose images rows leave out."""
    return {row.slice_id for row in rows if row.kind == "slice" and row.exclude}


def _native_per_working(n: int, native_um: float, resolution_um: float) -> float:
    """Native px per px of the working pitch, which divides a tile evenly."""
    if resolution_um <= 0:
        return 1.0
    return n / max(1, round(n * min(1.0, native_um / resolution_um)))
