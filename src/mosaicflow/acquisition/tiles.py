"""The sparse tile table: what every input format is turned into."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from mosaicflow.acquisition.list_checks import check_list
from mosaicflow.acquisition.orientation import Orientation
from mosaicflow.acquisition.problems import Problem
from mosaicflow.acquisition.stage import StageModel
from mosaicflow.errors import FormatError
from mosaicflow.io.tables import read_document
from mosaicflow.io.tiff_pages import separate_channels

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "Geometry",
    "Positions",
    "RawFile",
    "Reader",
    "SliceTiles",
    "Tile",
    "TileStatus",
    "read_slice_tiles",
]

Positions = Literal["stage", "file", "nominal"]
TileStatus = Literal["ok", "repaired", "skipped", "unplaced"]


@dataclass(frozen=True, slots=True)
class RawFile:
    """A file of a tile: name inside the tile's folder, size and time as the file system has them.

    Name, size and time together are how an engine sees that a raw file changed without reading it;
    `crc32c`, of its content, is there where somebody asked for it.
    """

    name: str
    bytes: int
    mtime_ns: int
    crc32c: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Give the JSON form."""
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, slots=True)
class Geometry:
    """Size of one tile as stored.

    Parameters
    ----------
    n_z, n_alines, n_bscans : int
        Samples along depth, fast and slow axis. For images: planes, columns and rows.
    n_extra : int
        Return A-lines per B-scan, stored but not kept.
    n_repeat : int
        Times each B-scan is stored; the mean is used.
    pitch_fast_um, pitch_slow_um : float
        Lateral sample spacing.
    top_z : int
        First stored depth sample.
    """

    n_z: int
    n_alines: int
    n_bscans: int
    n_extra: int
    n_repeat: int
    pitch_fast_um: float
    pitch_slow_um: float
    top_z: int = 0

    def bscan_bytes(self, itemsize: int) -> int:
        """Count the bytes of one stored B-scan."""
        return itemsize * self.n_z * (self.n_alines + self.n_extra)

    def expected_bytes(self, itemsize: int) -> int:
        """Count the bytes of the whole stored tile."""
        return self.bscan_bytes(itemsize) * self.n_bscans * self.n_repeat


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile found, used or not.

    Parameters
    ----------
    path : str
        Folder (OCT) or file (images), relative to the raw root.
    files : tuple of RawFile
        Data files in reading order.
    geometry : Geometry or None
        None when nothing could be learnt about it.
    index : tuple of int or None
        Lattice index (iy, ix), counted from 0; None when unplaced.
    centre_mm : tuple of float or None
        Centre of the field of view (y, x) in stage coordinates.
    z_mm : float or None
        Stage height.
    z_offset : int
        Planes by which the data is moved down, for a tile stored from another depth.
    status : {'ok', 'repaired', 'skipped', 'unplaced'}
        Only the first two reach the grid.
    problem : str
        Why not, or what was repaired.
    position_source : {'stage', 'file', 'nominal'}
        Where `centre_mm` comes from.
    item : str
        Which tile of its file it is, where a file holds several.
    """

    path: str
    files: tuple[RawFile, ...]
    geometry: Geometry | None
    index: tuple[int, int] | None
    centre_mm: tuple[float, float] | None
    z_mm: float | None = None
    z_offset: int = 0
    status: TileStatus = "ok"
    problem: str = ""
    position_source: Positions = "nominal"
    item: str = ""

    @property
    def is_used(self) -> bool:
        """Whether its data goes into the grid."""
        return self.status in ("ok", "repaired")

    def to_dict(self, *, with_files: bool) -> dict[str, Any]:
        """Give the JSON form, with or without the files behind it."""
        iy, ix = self.index or (None, None)
        y_mm, x_mm = self.centre_mm or (None, None)
        geometry = asdict(self.geometry) if self.geometry else {}
        row: dict[str, Any] = {"iy": iy, "ix": ix, "path": self.path, "item": self.item}
        row |= {"nz": geometry.pop("n_z", None), **geometry}
        row |= {"bytes": sum(file.bytes for file in self.files)}
        row |= {"y_mm": y_mm, "x_mm": x_mm, "z_mm": self.z_mm, "z_offset": self.z_offset}
        row |= {"positions": self.position_source if self.centre_mm else None}
        row |= {"status": self.status, "problem": self.problem}
        if with_files:
            row["files"] = [file.to_dict() for file in self.files]
        return row

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> Tile:
        """Read the JSON form with files."""
        geometry = None
        if row["nz"] is not None:
            names = Geometry.__slots__[1:]
            geometry = Geometry(n_z=row["nz"], **{name: row[name] for name in names})
        return cls(
            path=row["path"],
            files=tuple(RawFile(**file) for file in row["files"]),
            geometry=geometry,
            index=None if row["iy"] is None else (row["iy"], row["ix"]),
            centre_mm=None if row["y_mm"] is None else (row["y_mm"], row["x_mm"]),
            z_mm=row["z_mm"],
            z_offset=row["z_offset"],
            status=row["status"],
            problem=row["problem"],
            position_source=row["positions"] or "nominal",
            item=row.get("item", ""),
        )


@dataclass(frozen=True, slots=True)
class Reader:
    """How the data files of a slice are read.

    Parameters
    ----------
    format : {'oct', 'tiff'}
        Headerless A-line streams, or TIFF images.
    dtype : str
        Type of one stored sample (numpy spelling), for streams.
    orientation : Orientation
        From scan axes to mosaic axes.
    """

    format: Literal["oct", "tiff"]
    dtype: str
    orientation: Orientation


@dataclass(frozen=True, slots=True)
class SliceTiles:
    """Everything known about one slice: the input of ``create_mosaic_grid``.

    Parameters
    ----------
    slice_id : int
        Number of the cut.
    layout : str
        Folder layout or table the tiles came from.
    root_name : str
        Name of the raw folder.
    reader : Reader
        How to read the files.
    grid_shape : tuple of int
        Lattice size (n_iy, n_ix), holes included.
    index_origin : tuple of int
        Smallest (y, x) index as the acquisition counts.
    tile_shape : tuple of int
        (z, y, x) of every tile in the grid.
    pitch_um : tuple of float
        Sample spacing (z, y, x).
    positions : {'stage', 'file', 'nominal'}
        Where tile positions come from: measured by the stage, read from a list that may be a
        perfect grid, or computed from the lattice index.
    overlap_fraction : float
        Share of a tile that its neighbour sees too.
    stage : StageModel
        Position of the mosaic.
    tiles : tuple of Tile
        All tiles found, sorted.
    problems : tuple of Problem
        Those of this slice.
    failure : str
        Why the slice cannot be built; empty when it can.
    remedy : str
        What to do about it.
    channels : tuple of str
        Names of the channels of image tiles; empty for other tiles.
    depth_spacing : str
        Where the spacing along z comes from, for people.
    """

    slice_id: int
    layout: str
    root_name: str
    reader: Reader
    grid_shape: tuple[int, int]
    index_origin: tuple[int, int]
    tile_shape: tuple[int, int, int]
    pitch_um: tuple[float, float, float]
    positions: Positions
    overlap_fraction: float
    stage: StageModel
    tiles: tuple[Tile, ...]
    problems: tuple[Problem, ...] = ()
    failure: str = ""
    remedy: str = ""
    channels: tuple[str, ...] = ()
    depth_spacing: str = ""

    @property
    def n_channels(self) -> int:
        """Channels that are read one by one; colours are one."""
        return separate_channels(self.channels)

    @property
    def used(self) -> dict[tuple[int, int], Tile]:
        """The tiles that go into the grid, by lattice index."""
        return {tile.index: tile for tile in self.tiles if tile.is_used and tile.index is not None}

    @property
    def fov_mm(self) -> tuple[float, float]:
        """Field of view (y, x) of one tile."""
        return (
            self.tile_shape[1] * self.pitch_um[1] / 1000,
            self.tile_shape[2] * self.pitch_um[2] / 1000,
        )

    def to_dict(self, *, with_files: bool = True) -> dict[str, Any]:
        """Give the JSON form; without files it is the entry in ``acquisition.json``."""
        value: dict[str, Any] = {
            "slice_id": self.slice_id,
            "status": "failed" if self.failure else "ok",
            "reason": self.failure,
            "remedy": self.remedy,
            "source": {"root": self.root_name, "layout": self.layout},
            "reader": {
                "format": self.reader.format,
                "dtype": self.reader.dtype,
                "orientation": str(self.reader.orientation),
            },
            "lattice": {"shape": list(self.grid_shape), "index_origin": list(self.index_origin)},
            "tile_shape": list(self.tile_shape),
            "pitch_um": list(self.pitch_um),
            "depth_spacing": self.depth_spacing,
            "channels": list(self.channels),
            "n_channels": self.n_channels,
            "positions": self.positions,
            "overlap_fraction": self.overlap_fraction,
            "stage": asdict(self.stage),
            "tiles": [tile.to_dict(with_files=with_files) for tile in self.tiles],
        }
        if with_files:
            value = {"kind": "slice_tiles"} | value
            value["problems"] = [problem.to_dict() for problem in self.problems]
        return value

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> SliceTiles:
        """Read the JSON form with files."""
        lattice, reader = value["lattice"], value["reader"]
        return cls(
            slice_id=value["slice_id"],
            layout=value["source"]["layout"],
            root_name=value["source"]["root"],
            reader=Reader(
                reader["format"], reader["dtype"], Orientation.parse(reader["orientation"])
            ),
            grid_shape=(lattice["shape"][0], lattice["shape"][1]),
            index_origin=(lattice["index_origin"][0], lattice["index_origin"][1]),
            tile_shape=(value["tile_shape"][0], value["tile_shape"][1], value["tile_shape"][2]),
            pitch_um=(value["pitch_um"][0], value["pitch_um"][1], value["pitch_um"][2]),
            positions=value["positions"],
            overlap_fraction=value["overlap_fraction"],
            stage=StageModel.from_dict(value["stage"]),
            tiles=tuple(Tile.from_dict(row) for row in value["tiles"]),
            problems=tuple(Problem.from_dict(row) for row in value["problems"]),
            failure=value["reason"],
            remedy=value["remedy"],
            channels=tuple(value.get("channels", ())),
            depth_spacing=value.get("depth_spacing", ""),
        )


def read_slice_tiles(path: Path) -> SliceTiles:
    """Read a ``zNN_tiles.json`` written by ``inspect_acquisition``.

    Raises
    ------
    FormatError
        When the file is not such a list.
    """
    value = read_document(path)
    if value.get("kind") != "slice_tiles":
        raise FormatError(
            f"{path}: not a tile list", remedy="give a zNN_tiles.json of inspect_acquisition"
        )
    try:
        check_list(value)
        return SliceTiles.from_dict(value)
    except (KeyError, TypeError, IndexError, ValueError, AttributeError) as error:
        raise FormatError(
            f"{path}: the tile list lacks or misspells {error}",
            remedy="run inspect_acquisition again",
        ) from error
