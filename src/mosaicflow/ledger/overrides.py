"""Places of tiles and slices that somebody knows better than the images: ``overrides.csv``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mosaicflow.errors import InputError
from mosaicflow.io.tables import parse_bool, read_csv
from mosaicflow.names import parse_slice_id

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["GIVEN_PX", "Override", "excluded_slices", "read_overrides"]

_KINDS = ("tile", "slice")
# Standard deviation of a position that somebody gave without saying how well it is known [px].
GIVEN_PX = 1.0
# No place, angle or index is larger, and no place better known [px]: squares must not overflow.
_MOST, _LEAST_SIGMA_PX = 1e9, 1e-6


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
    note : str
        Why, in the words of whoever wrote it.
    """

    kind: str
    slice_id: int
    tile: tuple[int, int] | None
    shift_px: tuple[float, float] | None
    angle_deg: float | None
    sigma_px: float | None
    lock: bool
    exclude: bool
    note: str = ""


def read_overrides(path: Path) -> tuple[Override, ...]:
    """Read ``overrides.csv``.

    Raises
    ------
    InputError
        For a row that says nothing that can be done, or a tile that two rows are about.
    """
    rows = read_csv(path, ["kind", "slice_id"])
    found = tuple(_row(row, f"{path.name}, row {n}") for n, row in enumerate(rows, start=1))
    about: set[tuple[int, tuple[int, int] | None]] = set()
    for n, one in enumerate(found, start=1):
        if one.kind == "tile" and (one.slice_id, one.tile) in about:
            raise InputError(
                f"{path.name}, row {n}: a second row about tile {one.tile} of slice {one.slice_id}",
                remedy="keep the one that is right",
            )
        about.add((one.slice_id, one.tile if one.kind == "tile" else None))
    return found


def _row(row: dict[str, str], where: str) -> Override:
    kind = row["kind"].strip()
    if kind not in _KINDS:
        raise InputError(f"{where}: kind is {kind!r}", remedy="write tile or slice")

    def number(name: str) -> float | None:
        text = (row.get(name) or "").strip()
        try:
            found = float(text) if text else None
        except ValueError:
            found = math.nan
        whole = name in ("iy", "ix")
        if found is not None and not (abs(found) < _MOST and (not whole or found.is_integer())):
            kind = "whole number" if whole else "number"
            raise InputError(
                f"{where}: {name} is {text!r}, expected a {kind} below {_MOST:g}",
                remedy="correct the table",
            )
        return found

    iy, ix, dy, dx, sigma = (number(n) for n in ("iy", "ix", "dy_px", "dx_px", "sigma_px"))
    tile = None if iy is None or ix is None else (int(iy), int(ix))
    if kind == "tile" and tile is None:
        raise InputError(f"{where}: a tile without iy and ix", remedy="give its lattice index")
    if sigma is not None and sigma < _LEAST_SIGMA_PX:
        raise InputError(
            f"{where}: sigma_px is {sigma}, expected {_LEAST_SIGMA_PX:g} or more",
            remedy="correct it, or lock the row",
        )
    found = Override(
        kind,
        parse_slice_id(row["slice_id"]),
        tile,
        None if dy is None and dx is None else (dy or 0.0, dx or 0.0),
        number("angle_deg"),
        sigma,
        parse_bool(row.get("lock") or "false", where),
        parse_bool(row.get("exclude") or "false", where),
        (row.get("note") or "").strip(),
    )
    said = found.shift_px is not None or found.angle_deg is not None
    if kind == "slice" and not (said or found.lock or found.exclude):
        raise InputError(
            f"{where}: nothing is said about slice {found.slice_id}",
            remedy="give dy_px, dx_px or angle_deg, or set lock or exclude",
        )
    return found


def excluded_slices(rows: Sequence[Override]) -> dict[int, str]:
    """List the slices whose images rows leave out, each with its note."""
    return {row.slice_id: row.note for row in rows if row.kind == "slice" and row.exclude}
