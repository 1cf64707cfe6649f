"""Read the tiles of a slice, judge them, and hand them on one by one."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.acquisition.problems import Problem, ProblemLog
from mosaicflow.acquisition.read.camera import Marker, find_marker
from mosaicflow.acquisition.read.content import (
    MAX_BAD_FRACTION,
    TileContent,
    clean_tile,
    is_implausible,
)
from mosaicflow.acquisition.read.raw_check import is_staged_copy, seal_tile, tile_states
from mosaicflow.acquisition.read.reading import read_tile, sample_bscans, tile_here
from mosaicflow.errors import InputError, shortage_behind

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from mosaicflow.acquisition.tiles import SliceTiles, Tile

__all__ = ["GridBuild", "check_sample_type", "marker_finder", "tile_marker"]

Index = tuple[int, int]
# Tiles that are looked at for a misread type: one may be water. Doubled, twice the reading.
_CHECKED_TILES = 3
# B-scans of each of them: wrong bytes show in one. Doubled, twice the reading.
_CHECKED_BSCANS = 2
# B-scans that are looked at for the camera's marker, by judgement. Doubled, twice the reading.
_MARKER_BSCANS = 16


@dataclass
class GridBuild:
    """Reads tiles from several threads and remembers what was found.

    Parameters
    ----------
    root : Path
        The raw folder.
    tiles : SliceTiles
        The slice.
    aline_shift : int
        Galvo correction.
    fix_camera_shift : bool
        Undo the rotation of the camera's buffer where a marker shows it.
    strict : bool
        A tile that would be repaired or skipped fails the slice.
    channel : int
        Channel of image tiles that is read.
    change : callable, optional
        Makes other values of a tile in place, for what is no brightness.
    """

    root: Path
    tiles: SliceTiles
    aline_shift: int = 0
    fix_camera_shift: bool = False
    strict: bool = False
    channel: int = 0
    change: Callable[[NDArray[np.float32]], None] | None = None
    contents: dict[Index, TileContent] = field(default_factory=dict)
    raw_files: dict[Index, list[dict[str, Any]]] = field(default_factory=dict)
    _problems: dict[Index, list[Problem]] = field(default_factory=dict)
    _lost: set[Index] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _buffers: threading.local = field(default_factory=threading.local)

    def read_tile(self, index: Index) -> NDArray[np.float32] | None:
        """Read one tile.

        Returns
        -------
        ndarray or None, shape (z, y, x), float32
            None when the tile cannot be used. The array belongs to the calling thread and is
            overwritten by its next call: fresh memory for every tile costs as much as the copy.
        """
        own = self._buffers
        if getattr(own, "index", None) != index:
            if not hasattr(own, "tile"):
                own.tile = np.empty(self.tiles.tile_shape, np.float32)
            own.index, own.is_good = None, self._read_into(index, own.tile)
            own.index = index
        tile: NDArray[np.float32] | None = own.tile if own.is_good else None
        return tile

    def read_part(self, region: tuple[slice, ...]) -> NDArray[np.float32]:
        """Read the part of the grid that one chunk holds.

        Parameters
        ----------
        region : tuple of slice
            (z, y, x) in the grid, inside one tile.

        Returns
        -------
        ndarray, float32
            Valid until the thread's next call; 0 where there is no tile.
        """
        depth, *lateral = region
        shape = self.tiles.tile_shape[1:]
        iy, ix = (part.start // n for part, n in zip(lateral, shape, strict=True))
        tile = self.read_tile((iy, ix)) if (iy, ix) in self.tiles.used else None
        if tile is None:
            size = tuple(part.stop - part.start for part in region)
            return np.broadcast_to(np.float32(0), size)
        corner = (iy * shape[0], ix * shape[1])
        rows, columns = (
            slice(p.start - c, p.stop - c) for p, c in zip(lateral, corner, strict=True)
        )
        return tile[depth, rows, columns]

    def _read_into(self, index: Index, out: NDArray[np.float32]) -> bool:
        tile = self.tiles.used[index]
        log = ProblemLog()
        content = self._content(tile, out, log)
        with self._lock:
            if content is None or content.is_zero:
                self._lost.add(index)
            if content is not None:
                self.contents[index] = content
            if log.problems:
                self._problems[index] = log.problems
        return content is not None and not content.is_zero

    def _content(self, tile: Tile, out: NDArray[np.float32], log: ProblemLog) -> TileContent | None:
        place = {"slice_id": self.tiles.slice_id, "tile": tile.index, "path": tile.path}
        try:
            before = tile_states(self.root, tile, staged=self._staged)
            marker = tile_marker(self.root, self.tiles, tile) if self.fix_camera_shift else None
            with tile_here(self.root, tile) as here:
                read_tile(
                    here, self.tiles, tile, out,
                    aline_shift=self.aline_shift, marker=marker, channel=self.channel,
                )  # fmt: skip
                sealed = seal_tile(self.root, tile, before, staged=self._staged, read=here)
        except (OSError, InputError) as error:
            if shortage_behind(error) is not None:
                raise
            text = getattr(error, "strerror", None) or str(error)
            log.add("unreadable_tile", "skip", f"cannot be read ({text})", **place)  # type: ignore[arg-type]
            return None
        if tile.index is not None:
            self.raw_files[tile.index] = sealed
        if marker is not None:
            text = f"the camera's marker is at A-line {marker.aline}; the tile is rolled back"
            log.add("camera_shift", "repair", text, **place)  # type: ignore[arg-type]
        if self.change is not None:
            self.change(out)
        content = clean_tile(out)
        found = f"{content.n_bad} of {out.size} samples are not finite"
        if content.bad_fraction > MAX_BAD_FRACTION:
            log.add("not_finite", "skip", found, **place)  # type: ignore[arg-type]
            return None
        if content.n_bad:
            log.add("not_finite", "repair", f"{found}; they are set to 0", **place)  # type: ignore[arg-type]
        if self.change is not None:
            return content
        if content.is_blank:
            text = f"all samples are {float(out.flat[0]):.4g}: no fit uses the tile"
            log.add("blank_tile", "keep", text, **place)  # type: ignore[arg-type]
        if content.is_saturated:
            text = "more than 1 % of the samples have the largest value: no flat-field fit uses it"
            log.add("saturated_tile", "keep", text, **place)  # type: ignore[arg-type]
        return content

    @cached_property
    def _staged(self) -> bool:
        return is_staged_copy(self.root, self.tiles)

    @property
    def problems(self) -> list[Problem]:
        """What was found while reading, in lattice order."""
        return [problem for index in sorted(self._problems) for problem in self._problems[index]]

    @property
    def dropped(self) -> dict[str, list[Index]]:
        """Tiles without data on disk, blank ones and saturated ones."""
        return {
            "missing": sorted(self._lost),
            "blank": sorted(i for i, c in self.contents.items() if c.is_blank and not c.is_zero),
            "saturated": sorted(i for i, c in self.contents.items() if c.is_saturated),
        }

    @property
    def samples(self) -> NDArray[np.float32]:
        """Some values of every tile, in lattice order."""
        parts = [self.contents[index].samples for index in sorted(self.contents)]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def check_missing(self, max_missing_fraction: float) -> None:
        """Raise an `InputError` when too few tiles could be used, or with `strict` any less."""
        skipped = [p for p in self.problems if p.action == "skip"]
        changed = [p for p in self.problems if p.action in ("skip", "repair")]
        if self.strict and changed:
            raise InputError(f"{changed[0].path}: {changed[0].message} (strict)")
        before = sum(tile.status == "skipped" for tile in self.tiles.tiles)
        share = (before + len(skipped)) / len(self.tiles.tiles)
        if skipped and share > max_missing_fraction:
            raise InputError(
                f"{skipped[0].path}: {skipped[0].message}; {before + len(skipped)} of "
                f"{len(self.tiles.tiles)} tiles of slice {self.tiles.slice_id} cannot be used",
                remedy="raise --max_missing_fraction",
            )


def tile_marker(root: Path, tiles: SliceTiles, tile: Tile) -> Marker | None:
    """Look for a camera marker in a tile; images have none."""
    if tiles.reader.format != "oct":
        return None
    scans = sample_bscans(root, tiles, tile, _MARKER_BSCANS)
    return find_marker(scans.mean(axis=2)) if len(scans) else None


def marker_finder(root: Path, tiles: SliceTiles) -> Callable[[Tile], Marker | None]:
    """Give the function that finds the camera marker of a tile of this slice."""
    return lambda tile: tile_marker(root, tiles, tile)


def check_sample_type(root: Path, tiles: SliceTiles) -> None:
    """Look into a few tiles for signs of another sample type.

    Parameters
    ----------
    root : Path
        The raw folder.
    tiles : SliceTiles
        The slice.

    Raises
    ------
    InputError
        When all of them hold numbers that no detector gives.
    """
    if tiles.reader.format != "oct" or not tiles.reader.dtype.endswith(("f4", "f8")):
        return
    used = list(tiles.used.values())
    chosen = used[:: max(1, len(used) // _CHECKED_TILES)][:_CHECKED_TILES]
    verdicts = [_is_odd(root, tiles, tile) for tile in chosen]
    if verdicts and all(verdicts):
        raise InputError(
            f"{chosen[0].path}: the samples do not look like {tiles.reader.dtype} intensities "
            "(NaN, above 1e20 or vanishingly small)",
            remedy="name their type with --raw_dtype, for example int16 or '>f4'",
        )


def _is_odd(root: Path, tiles: SliceTiles, tile: Tile) -> bool:
    try:
        return is_implausible(sample_bscans(root, tiles, tile, _CHECKED_BSCANS))
    except OSError as error:
        if shortage_behind(error) is not None:
            raise
        # Reading the tile later reports it, with the reason.
        return False
