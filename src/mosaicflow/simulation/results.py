"""Find and read what a run has published, for comparison with the truth."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mosaicflow import names
from mosaicflow.errors import InputError
from mosaicflow.io.tables import parse_bool, read_csv, read_document
from mosaicflow.names import parse_slice_id

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    Tile = tuple[int, int]

__all__ = ["PublishedFiles", "RunPlacement", "SliceMap", "find_results", "read_placements"]

F64 = NDArray[np.float64]

_POSITION_COLUMNS = ("iy", "ix", "row_px", "col_px")


@dataclass(frozen=True, slots=True)
class PublishedFiles:
    """Published files of a run, by name; stores are listed and not entered.

    Parameters
    ----------
    root : Path
        The run's output folder.
    files, stores : mapping of str to Path
        Name -> path. Of two of one name the one nearer to the root counts.
    """

    root: Path
    files: Mapping[str, Path]
    stores: Mapping[str, Path]

    def of(self, kind: names.Kind) -> list[Path]:
        """List the files of a kind, by name."""
        return [path for name, path in sorted(self.files.items()) if kind.labels(name) is not None]

    def matching(self, prefix: str, suffix: str) -> list[Path]:
        """Return the files whose name starts and ends so, in order of their names."""
        return [
            path
            for name, path in sorted(self.files.items())
            if name.startswith(prefix) and name.endswith(suffix)
        ]

    def slice_stores(self, slice_id: int) -> list[Path]:
        """Return all stores of one slice."""
        return [
            path
            for name, path in sorted(self.stores.items())
            if name.startswith("slice_z") and parse_slice_id(name) == slice_id
        ]


def find_results(run: Path) -> PublishedFiles:
    """List what lies in a run's output folder.

    Raises
    ------
    InputError
        If the folder does not exist.
    """
    if not run.is_dir():
        raise InputError(f"{run} is not a folder", remedy="name the output folder of a run")
    files: dict[str, Path] = {}
    stores: dict[str, Path] = {}
    for folder, folders, here_files in os.walk(run, followlinks=True):
        here = run.__class__(folder)
        for name in sorted(folders):
            if name.endswith(".ome.zarr"):
                stores.setdefault(name, here / name)
        folders[:] = sorted(n for n in folders if not n.endswith(".zarr") and n[0] != ".")
        for name in sorted(here_files):
            files.setdefault(name, here / name)
    return PublishedFiles(run, files, stores)


@dataclass(frozen=True, slots=True)
class RunPlacement:
    """Where a run put the tiles of one slice.

    Parameters
    ----------
    slice_id : int
        The slice.
    corners_px : mapping
        Lattice index (iy, ix), counted from the slice's first row and column -> corner
        (row, column) in native px, of the tiles that were placed.
    unplaced : tuple of tuple of int
        Tiles listed as not placed.
    measured : frozenset of tuple of int
        Placed tiles whose place is said to rest on the image.
    sigma_px : mapping
        Standard error per axis that the run claims; absent where it claims none.
    island : mapping
        Tile -> number of the group of tiles that overlaps join it to; absent where none is given.
    first : (int, int)
        The slice's first row and column in the run's own count.
    """

    slice_id: int
    corners_px: Mapping[Tile, tuple[float, float]]
    unplaced: tuple[Tile, ...]
    measured: frozenset[Tile] = frozenset()
    sigma_px: Mapping[Tile, float] = field(default_factory=dict)
    island: Mapping[Tile, int] = field(default_factory=dict)
    first: Tile = (0, 0)


def read_placements(files: PublishedFiles) -> dict[int, RunPlacement]:
    """Read every ``zNN_tile_positions.csv`` of a run, by slice id."""
    placements = {}
    for path in files.of(names.POSITIONS):
        rows = read_csv(path, required=_POSITION_COLUMNS)
        placements[parse_slice_id(path)] = _placement(path, rows)
    return placements


def _placement(path: Path, rows: list[dict[str, str]]) -> RunPlacement:
    index = [(int(float(row["iy"])), int(float(row["ix"]))) for row in rows]
    first = (min((iy for iy, _ in index), default=0), min((ix for _, ix in index), default=0))
    placed: dict[Tile, dict[str, str]] = {}
    unplaced = []
    for row, (iy, ix) in zip(rows, index, strict=True):
        key = (iy - first[0], ix - first[1])
        if parse_bool(row.get("valid", "true"), f"{path}, tile {iy},{ix}") and row["row_px"]:
            placed[key] = row
        else:
            unplaced.append(key)
    return RunPlacement(
        parse_slice_id(path),
        {key: (float(row["row_px"]), float(row["col_px"])) for key, row in placed.items()},
        tuple(unplaced),
        frozenset(key for key, row in placed.items() if row.get("source") == "optimised"),
        {key: float(row["sigma_px"]) for key, row in placed.items() if row.get("sigma_px")},
        {key: int(row["island"]) for key, row in placed.items() if row.get("island")},
        first,
    )


@dataclass(frozen=True, slots=True)
class SliceMap:
    """The map from the specimen (um; y, x) to a run's canvas (px) that one slice was drawn with.

    ``canvas = matrix @ specimen + offset``; `angle_deg` is the rotation in it, `z_plane` the canvas
    plane of the slice's face.
    """

    slice_id: int
    matrix: F64
    offset: F64
    angle_deg: float
    z_plane: float

    def __call__(self, place_um: F64) -> F64:
        """Map positions, shape (n, 2)."""
        return np.asarray(place_um @ self.matrix.T + self.offset)


def read_alignment(files: PublishedFiles) -> dict[str, Any] | None:
    """Read ``alignment.json``, if the run got that far."""
    path = files.files.get(names.ALIGNMENT.of())
    if path is None:
        return None
    document = read_document(path)
    if not isinstance(document, dict) or "slices" not in document:
        raise InputError(f"{path} has no list of slices")
    return document
