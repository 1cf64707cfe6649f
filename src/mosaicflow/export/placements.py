"""Where the tiles and the slices of a run lie in its volume, for other stitchers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow import names
from mosaicflow.alignment.solution import AlignedSlice
from mosaicflow.errors import FormatError, InputError
from mosaicflow.formats.placements import TilePosition, bdv_xml, tile_configuration
from mosaicflow.io.blocks import VolumeBlock
from mosaicflow.io.tables import parse_bool, read_csv, read_document, write_text
from mosaicflow.names import parse_slice_id
from mosaicflow.reasons import Concern
from mosaicflow.slices.stored import SliceStore, open_slice

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from mosaicflow.io.exports import ExportedLevel
    from mosaicflow.io.report import StageReport

__all__ = ["RunTables", "placement_names", "write_placements"]

YX = tuple[float, float]
# Pitches that differ by a smaller share misplace a tile of 10 000 px by a hundredth of one.
_SAME = 1e-6


@dataclass(frozen=True, slots=True)
class RunTables:
    """Files of a run that tell where its tiles lie within their slices.

    Parameters
    ----------
    positions, stages : sequence of Path
        zNN_tile_positions.csv and zNN_tile_stage.json.
    slices : sequence of Path
        The slices that were stacked (slice_zNN_normalize.ome.zarr).
    """

    positions: Sequence[Path] = ()
    stages: Sequence[Path] = ()
    slices: Sequence[Path] = ()


@dataclass(frozen=True, slots=True)
class _Drawn:
    """One slice, where the volume has it, and what counts as a pixel and a plane there [um]."""

    place: AlignedSlice
    store: SliceStore
    plane_um: float
    pixel_um: float

    def lateral_um(self, points_um: YX) -> YX:
        """Map (y, x) from the outer corner of the slice's array to the volume's first pixel."""
        pixels = np.array(points_um) / self.pixel_um - 0.5
        y, x = (self.place.transform.apply(pixels) * self.pixel_um).tolist()
        return y, x

    def depth_um(self, below_face_um: float) -> float:
        """Map a distance below the upper side of plane 0 to the centre of the first plane."""
        face = self.place.z_plane * self.plane_um
        if self.store.shape[0] == 1:  # lies in the middle of its plane, however thick that is
            return face
        return face - self.plane_um / 2 + below_face_um

    def face_um(self, points_um: YX) -> float:
        """Tell how far below the top of the tiles plane 0 begins at (y, x) in the array."""
        if self.store.face is None:
            return 0.0
        spans = []
        for at, n, pitch in zip(
            points_um, self.store.shape[1:], self.store.pitch_um[1:], strict=True
        ):
            nearest = min(max(int(at // pitch), 0), n - 1)
            spans.append(slice(nearest, nearest + 1))
        return float(self.store.face.depth(spans[0], spans[1])[0, 0]) * self.store.pitch_um[0]


def placement_names(stem: str) -> list[str]:
    """List the files that `write_placements` makes."""
    return [
        f"{stem}_{what}{suffix}"
        for what in ("tiles", "slices")
        for suffix in ("_TileConfiguration.txt", ".xml")
    ]


def write_placements(
    level: ExportedLevel, tables: RunTables, folder: Path, stem: str, report: StageReport
) -> None:
    """Write where the volume has each tile and each slice, for Fiji and BigStitcher.

    Parameters
    ----------
    level : ExportedLevel
        Any level of a volume that `stack` wrote.
    tables : RunTables
        The rest of the run.
    folder : Path
        Where the files go.
    stem : str
        What their names begin with.
    report : StageReport
        Gets the counts.

    Raises
    ------
    InputError
        When the volume or a slice of it does not tell its place.
    """
    drawn = _drawn_slices(level, tables.slices)
    tables_of = {parse_slice_id(path): path for path in tables.positions}
    stages_of = {parse_slice_id(path): path for path in tables.stages}
    tiles: list[TilePosition] = []
    nameless = 0
    for slice_id, one in drawn.items():
        for kind, found in ((names.POSITIONS, tables_of), (names.STAGE, stages_of)):
            if slice_id not in found:
                raise _absent(f"a table of slice {slice_id} ({kind.of('z..')})", level)
        here, without = _tiles_of(one, tables_of[slice_id], stages_of[slice_id])
        tiles, nameless = [*tiles, *here], nameless + without
    if nameless:
        report.warn(
            f"{nameless} tiles have no file in their table and are not among the positions",
            Concern.NOT_WRITTEN,
        )
    slices = [_slice_position(one) for one in drawn.values()]
    report.metric("tiles_placed", len(tiles))
    report.metric("slices_placed", len(slices))
    for what, listed in (("tiles", tiles), ("slices", slices)):
        if listed:
            _write_pair(folder / f"{stem}_{what}", listed, report)


def _absent(what: str, level: ExportedLevel) -> InputError:
    return InputError(
        f"{level.reader.location}: {what} is not there, from which positions are taken",
        remedy="export the volume in the output folder of its run, with all that the run wrote",
    )


def _drawn_slices(level: ExportedLevel, paths: Sequence[Path]) -> dict[int, _Drawn]:
    """Return the slices of the volume, in order of their numbers."""
    where = str(level.reader.location)
    try:
        block = VolumeBlock.from_attrs(level.reader.attrs, where)
        places = [AlignedSlice.from_json(entry, where) for entry in block.slices]
        plane_um, pixel_um = block.pitches_um(where)
    except FormatError as error:
        raise InputError(
            f"{where}: does not tell where its slices lie ({error})",
            remedy="stack the slices again: volumes of other software or of earlier versions do"
            " not hold it",
        ) from error
    stores = {parse_slice_id(path): path for path in paths}
    if missing := sorted({one.slice_id for one in places} - stores.keys()):
        raise _absent(f"slice {missing[0]} ({names.NORMALIZED.of('z..')})", level)
    return {
        one.slice_id: _Drawn(one, open_slice(stores[one.slice_id]), plane_um, pixel_um)
        for one in sorted(places, key=lambda one: one.slice_id)
    }


def _tiles_of(drawn: _Drawn, table: Path, stage: Path) -> tuple[list[TilePosition], int]:
    """Return the tiles of a slice that have a place and a file, and how many lack the file."""
    rows = read_csv(table, ["iy", "ix", "row_px", "col_px", "file"])
    known = read_document(stage)
    try:
        shape, pitch = tuple(map(int, known["tile_shape"])), tuple(map(float, known["pitch_um"]))
        placed = [row for row in rows if _is_placed(row, table)]
        tiles = [_tile_position(drawn, row, (shape, pitch)) for row in placed if row["file"]]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{table.name}, {stage.name}: found {error!r}, expected a number for each tile"
        ) from error
    return tiles, len(placed) - len(tiles)


def _is_placed(row: Mapping[str, str], table: Path) -> bool:
    return bool(row["row_px"]) and parse_bool(row.get("valid") or "true", table.name)


def _tile_position(
    drawn: _Drawn, row: Mapping[str, str], geometry: tuple[tuple[Any, ...], tuple[Any, ...]]
) -> TilePosition:
    (n_z, n_y, n_x), (pitch_z, pitch_y, pitch_x) = geometry
    # Outer corner of the tile from the outer corner of the slice's array.
    origin_y, origin_x = (1000 * value for value in drawn.store.origin_mm)
    y = float(row["row_px"]) * pitch_y - origin_y
    x = float(row["col_px"]) * pitch_x - origin_x
    face = drawn.face_um((y + n_y * pitch_y / 2, x + n_x * pitch_x / 2))
    at_y, at_x = drawn.lateral_um((y + pitch_y / 2, x + pitch_x / 2))
    at_z = drawn.depth_um(pitch_z / 2 - face)
    return TilePosition(
        row["file"],
        (at_z / pitch_z, at_y / pitch_y, at_x / pitch_x),
        (n_z, n_y, n_x),
        drawn.place.transform.angle_deg,
        (pitch_z, pitch_y, pitch_x),
    )


def _slice_position(drawn: _Drawn) -> TilePosition:
    pitch_z, pitch_y, pitch_x = drawn.store.pitch_um
    at_y, at_x = drawn.lateral_um((pitch_y / 2, pitch_x / 2))
    at_z = drawn.depth_um(pitch_z / 2)
    name = str(drawn.store.level.location).rpartition("/")[2]
    return TilePosition(
        name,
        (at_z / pitch_z, at_y / pitch_y, at_x / pitch_x),
        drawn.store.shape,
        drawn.place.transform.angle_deg,
        drawn.store.pitch_um,
    )


def _write_pair(start: Path, listed: Sequence[TilePosition], report: StageReport) -> None:
    """Write both files; a name that one of them cannot hold costs that one alone."""
    unit = listed[0].pitch_um or (1.0, 1.0, 1.0)
    common = [_counted_in(unit, one) for one in listed]
    turned = max(abs(one.turn_deg) for one in listed)
    notes = [
        f"px of {' x '.join(f'{p:.9g}' for p in reversed(unit))} um (x, y, z), from the centre of"
        " the volume's first voxel",
        f"Not in here: turns of up to {turned:.3g} degrees, which the BigStitcher project holds",
    ]
    if common != list(listed):
        notes.append("Not in here: pitches that differ, which the BigStitcher project holds")
    makers: dict[str, Callable[[], str]] = {
        "_TileConfiguration.txt": lambda: tile_configuration(common, notes),
        ".xml": lambda: bdv_xml(listed, unit),
    }
    for suffix, make in makers.items():
        path = start.with_name(start.name + suffix)
        try:
            write_text(path, make())
        except FormatError as error:
            report.warn(f"{path.name} was not written: {error}", Concern.NOT_WRITTEN)


def _counted_in(unit_um: tuple[float, ...], one: TilePosition) -> TilePosition:
    """Count a position in pixels of another pitch; near pitches are the same."""
    own = one.pitch_um or unit_um
    if all(abs(a / b - 1) <= _SAME for a, b in zip(own, unit_um, strict=True)):
        return one
    z, y, x = (c * p / u for c, p, u in zip(one.corner_px, own, unit_um, strict=True))
    return replace(one, corner_px=(z, y, x))
