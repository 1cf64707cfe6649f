"""Whether raw files are those that were inspected, before, while and after they are read."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mosaicflow.acquisition.drafts import with_retries
from mosaicflow.acquisition.read.reading import tile_folder, tile_here
from mosaicflow.errors import InputError
from mosaicflow.io.checksums import checksum
from mosaicflow.io.remote_files import at_address, is_remote
from mosaicflow.threads import map_threads

if TYPE_CHECKING:
    from mosaicflow.acquisition.tiles import RawFile, SliceTiles, Tile

__all__ = ["is_staged_copy", "seal_tile", "tile_states", "with_content"]

State = dict[str, Any]


def tile_states(root: Path, tile: Tile, *, staged: bool = False) -> list[State]:
    """Look at the files of a tile as the file system has them now.

    Parameters
    ----------
    root : Path
        The raw folder.
    tile : Tile
        What is to be read.
    staged : bool
        The files are copies, made for this task, whose times say nothing.

    Returns
    -------
    list of dict
        path (relative to `root`), bytes, mtime_ns, ctime_ns and inode of each file.

    Raises
    ------
    InputError
        When a file is not the one that was inspected.
    OSError
        When there is none.
    """
    folder = tile_folder(root, tile)
    return [_state(root, folder / file.name, file, staged=staged) for file in tile.files]


def _state(root: Path, path: Path, file: RawFile, *, staged: bool) -> State:
    status = with_retries(path.stat)
    changed = [f"{file.bytes} bytes then, {status.st_size} now"] * (status.st_size != file.bytes)
    if not staged and status.st_mtime_ns != file.mtime_ns:
        changed.append("another time of change")
    if changed:
        raise _changed(path, f"since its inspection ({', '.join(changed)})")
    return {
        "path": path.relative_to(root).as_posix(),
        "bytes": status.st_size,
        "mtime_ns": status.st_mtime_ns,
        "ctime_ns": status.st_ctime_ns,
        "inode": status.st_ino,
    }


def _changed(path: Path, when: str) -> InputError:
    return InputError(f"{path.name} changed {when}", remedy="start again when all data is written")


def seal_tile(
    root: Path, tile: Tile, before: list[State], *, staged: bool = False, read: Path | None = None
) -> list[State]:
    """Take the checksums of a tile's files, just read, and see that nothing changed meanwhile.

    Parameters
    ----------
    root, tile, staged
        As for `tile_states`.
    before : list of dict
        What that gave before the tile was read.
    read : Path, optional
        Raw folder of this machine that it was read from, where `root` is behind an address.

    Returns
    -------
    list of dict
        The same with ``crc32c``.

    Raises
    ------
    InputError
        When a file changed while it was read, or is not the one that was inspected by content.
    """
    sums = [checksum((read or root) / state["path"]) for state in before]
    after = tile_states(root, tile, staged=staged)
    for file, old, new, found in zip(tile.files, before, after, sums, strict=True):
        if old != new:
            raise _changed(root / new["path"], "while it was read")
        if file.crc32c not in (None, found):
            raise _changed(root / new["path"], "since its inspection (another content)")
    return [{**state, "crc32c": value} for state, value in zip(after, sums, strict=True)]


def with_content(raw: Path, tiles: SliceTiles, threads: int) -> SliceTiles:
    """Add the checksum of each raw file to a tile list, reading all of them.

    Parameters
    ----------
    raw : Path
        The raw folder, or a tile table in it.
    tiles : SliceTiles
        The slice.
    threads : int
        Tiles read at the same time.
    """
    source = at_address(raw)
    root = source.parent if source.is_file() else source

    def add(tile: Tile) -> Tile:
        with tile_here(root, tile) as here:
            folder = tile_folder(here, tile)
            files = tuple(
                replace(file, crc32c=with_retries(partial(checksum, folder / file.name)))
                for file in tile.files
            )
        return replace(tile, files=files)

    read = map_threads(lambda tile: add(tile) if tile.is_used else tile, tiles.tiles, threads)
    return replace(tiles, tiles=tuple(read))


def is_staged_copy(root: Path, tiles: SliceTiles) -> bool:
    """Whether the raw files are copies that a workflow engine put into the task's own folder.

    Their times are those of the copying. One file whose time agrees shows that they are not.
    """
    if is_remote(root) or not Path(os.path.realpath(root)).is_relative_to(os.path.realpath(".")):
        return False
    for tile in tiles.used.values():
        for file in tile.files:
            path = tile_folder(root, tile) / file.name
            if path.is_symlink() or not path.is_file() or path.stat().st_mtime_ns == file.mtime_ns:
                return False
    return True
