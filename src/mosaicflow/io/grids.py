"""Reading mosaic grids tile by tile."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from mosaicflow.errors import FormatError, QualityError
from mosaicflow.io.blocks import GridBlock
from mosaicflow.io.images import StoredImage
from mosaicflow.io.zarr import write_regions
from mosaicflow.threads import map_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from numpy.typing import NDArray

    from mosaicflow.io.zarr import OmeZarrWriter

__all__ = ["LATTICE_KEYS", "BoundedCache", "MosaicGrid", "TileIndex", "write_tiles"]

TileIndex = tuple[int, int]
# What the mosaicflow block says of tiles only; an image without this lattice drops it.
LATTICE_KEYS = (
    "tile_shape",
    "grid_shape",
    "index_origin",
    "missing_tiles",
    "tile_positions_mm",
    "overlap_fraction",
    "native_pitch_um",
)
_Value = TypeVar("_Value")


@dataclass(frozen=True)
class MosaicGrid(StoredImage):
    """A finished mosaic grid: tiles laid edge to edge, overlap and all.

    Parameters
    ----------
    path : Path
        The store.
    """

    block: GridBlock = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        block = GridBlock.from_attrs(self.attrs, str(self.path))
        object.__setattr__(self, "block", block)
        lateral = tuple(
            count * size for count, size in zip(self.grid_shape, self.tile_shape[1:], strict=True)
        )
        if self.shape != (self.tile_shape[0], *lateral):
            raise FormatError(
                f"{self.path}: array shape {self.shape} is not {self.grid_shape} "
                f"tiles of {self.tile_shape}",
                remedy="write the grid again with create_mosaic_grid",
            )

    @property
    def slice_id(self) -> int:
        """Number of the slice."""
        number = self.block.slice_id
        if number is None:
            raise FormatError(
                f"{self.path}: the mosaicflow block has no 'slice_id'",
                remedy="write the grid with create_mosaic_grid",
            )
        return number

    @property
    def tile_shape(self) -> tuple[int, int, int]:
        """Shape of one tile, (z, y, x)."""
        return self.block.tile_shape

    @property
    def grid_shape(self) -> tuple[int, int]:
        """Number of tiles along y and x, missing ones included."""
        return self.block.grid_shape

    @property
    def native_pitch_um(self) -> tuple[float, float, float]:
        """Voxel pitch (z, y, x) of the raw tiles in um; tile positions are in px of it."""
        z, y, x = (pitch * 1000 for pitch in self.pitch_mm)
        return self.block.native_pitch_um or (z, y, x)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the array."""
        return self._level.dtype

    def require_tiles(self) -> None:
        """Refuse a grid that holds no tile at all.

        Raises
        ------
        QualityError
            When every tile is missing or blank.
        """
        if not self.tiles:
            raise QualityError(
                f"{self.path.name}: none of its {self.grid_shape[0]} x {self.grid_shape[1]} tiles "
                "holds an image, expected at least one",
                remedy="look at the raw tiles; set use=false for the slice in slice_config.csv",
            )

    @property
    def tiles(self) -> list[TileIndex]:
        """Indices (iy, ix) of the tiles that hold data, row by row."""
        missing = set(self.block.missing_tiles)
        n_iy, n_ix = self.grid_shape
        return [(iy, ix) for iy in range(n_iy) for ix in range(n_ix) if (iy, ix) not in missing]

    def region(self, tile: TileIndex) -> tuple[slice, slice, slice]:
        """Give the part of the array that a tile occupies."""
        (iy, ix), (n_z, n_y, n_x) = tile, self.tile_shape
        return (
            slice(0, n_z),
            slice(iy * n_y, (iy + 1) * n_y),
            slice(ix * n_x, (ix + 1) * n_x),
        )

    def read(self, tile: TileIndex) -> NDArray[np.float32]:
        """Read one tile, (z, y, x), as float32."""
        return np.asarray(self._level[self.region(tile)], dtype=np.float32)

    def positions_px(self) -> dict[TileIndex, tuple[float, float]]:
        """Give where the stage, or the file, says that each tile lies.

        Returns
        -------
        dict
            (iy, ix) -> (y, x) in px of this grid along the array axes, up to one common offset;
            empty when the raw data had no positions.
        """
        (sign_y, sign_x), pitch = self.block.stage.known_sign_yx, self.pitch_mm[1:]
        return {
            tile: (sign_y * y_mm / pitch[0], sign_x * x_mm / pitch[1])
            for tile, (y_mm, x_mm) in self.block.tile_positions_mm.items()
        }


def write_tiles(
    writer: OmeZarrWriter,
    tiles: list[TileIndex],
    make: Callable[[TileIndex], NDArray[np.float32]],
    threads: int,
) -> None:
    """Fill the store of a mosaic grid; of a shard, only the tiles worked on are in memory.

    Parameters
    ----------
    writer : OmeZarrWriter
        Chunked by tile.
    tiles : list of (int, int)
        Tiles that hold data.
    make : callable
        Gives a tile (z, y, x) at the shape of the writer's chunks.
    threads : int
        Files worked on at the same time.
    """
    n_y, n_x = writer.chunks[1:]
    held = set(tiles)

    def tile_at(region: tuple[slice, ...]) -> TileIndex:
        return region[1].start // n_y, region[2].start // n_x

    def chunk(region: tuple[slice, ...]) -> NDArray[np.float32]:
        tile = tile_at(region)
        return make(tile) if tile in held else np.broadcast_to(np.float32(0), writer.chunks)

    if writer.shards is not None:
        for region in write_regions(writer):  # whose chunks are made in parallel
            writer.render(region, chunk)
        return
    regions = [region for region in write_regions(writer) if tile_at(region) in held]
    map_threads(lambda region: writer.render(region, chunk), regions, threads)


class BoundedCache:
    """Keeps the most recently used arrays up to a number of bytes; safe between threads.

    Parameters
    ----------
    load : callable
        Makes the value of a key; called once per key unless the value had to make room.
    budget_bytes : int
        Total size kept. A value in use is never lost, only forgotten.
    size_of : callable, optional
        Bytes of a value; the default asks for ``nbytes``.
    """

    def __init__(
        self,
        load: Callable[[Any], _Value],
        budget_bytes: int,
        size_of: Callable[[Any], int] = lambda value: int(value.nbytes),
    ) -> None:
        self._load = load
        self._budget = budget_bytes
        self._size_of = size_of
        self._values: OrderedDict[Hashable, Any] = OrderedDict()
        self._locks: dict[Hashable, threading.Lock] = {}
        self._lock = threading.Lock()
        self._used = 0

    def __getitem__(self, key: Hashable) -> Any:  # noqa: ANN401  # whatever `load` gives
        with self._lock:
            own_lock = self._locks.setdefault(key, threading.Lock())
        with own_lock:  # two threads that want the same tile decode it once
            with self._lock:
                if key in self._values:
                    self._values.move_to_end(key)
                    return self._values[key]
            value = self._load(key)
            self._keep(key, value)
            return value

    def _keep(self, key: Hashable, value: object) -> None:
        with self._lock:
            self._values[key] = value
            self._used += self._size_of(value)
            while self._used > self._budget and len(self._values) > 1:
                _, oldest = self._values.popitem(last=False)
                self._used -= self._size_of(oldest)
