"""The readers of image tiles, by the suffix of the file: the built-in ones and those of others."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Protocol

from mosaicflow.errors import FormatError, InputError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from mosaicflow.acquisition.image_header import ImageHeader

__all__ = [
    "ENTRY_POINTS",
    "SourceTile",
    "TileSource",
    "check_reads_remotely",
    "has_source",
    "is_folder_tile",
    "refused_kinds",
    "source_of",
    "tile_rank",
]

ENTRY_POINTS = "mosaicflow.tile_sources"


@dataclass(frozen=True, slots=True)
class SourceTile:
    """One tile inside a file.

    Parameters
    ----------
    header : ImageHeader
        Size, spacing and channels.
    item : str
        What tells it from the other tiles of the file; empty where the file is one tile.
    centre_um : tuple of float or None
        Stage position (y, x) of the middle of the tile, where the file knows it.
    """

    header: ImageHeader
    item: str = ""
    centre_um: tuple[float, float] | None = None


class TileSource(Protocol):
    """What a reader of tiles offers; an object or a module with these two functions.

    A package adds one with an entry point of the group ``mosaicflow.tile_sources``, whose name is
    the suffix of its files without the dot.
    """

    def list_tiles(self, path: Path) -> Sequence[SourceTile]:
        """Describe the tiles of a file (or of a folder with that suffix) without reading pixels.

        Raise `FormatError` when the file is not of the format, OSError when it cannot be read.
        """

    def read_planes(self, path: Path, item: str, channel: int = 0, /) -> NDArray[Any]:
        """Read one tile as (n_z, n_y, n_x) numbers; `item` is empty for the only one.

        A source whose headers name one channel, or none, is never asked for another than the
        first, and need not take a third argument.
        """


# Suffix: module; the first kinds that a folder holds are its tiles (`tile_rank`).
_BUILT_IN = {
    ".tif": "tiff_files", ".tiff": "tiff_files",
    ".czi": "czi_files", ".nd2": "nd2_files", ".lif": "lif_files",
    ".nii": "nifti_files", ".nii.gz": "nifti_files", ".mat": "mat_files", ".zarr": "zarr_tiles",
    ".png": "picture_files", ".jpg": "picture_files", ".jpeg": "picture_files",
    ".bmp": "picture_files",
}  # fmt: skip


# Kinds that people ask for, and what to do with them; none could be proved on a real file.
_REFUSED = {
    ".oct": "Thorlabs .oct files are not read: export the volumes as TIFF stacks",
    ".ve-mif": "ATLAS mosaics are not read: list the images in a tile_table, with their places",
    ".a5proj": "ATLAS projects are not read: list the images in a tile_table, with their places",
}


def refused_kinds(names: Iterable[str]) -> str:
    """Say what to do with files of a known kind that is not read; empty where there are none."""
    known = sorted({_suffix(name) for name in names} & (_REFUSED.keys() - _added().keys()))
    return "; ".join(_REFUSED[suffix] for suffix in known)


def has_source(name: str) -> bool:
    """Whether a file of this name may be a tile."""
    suffix = _suffix(name)
    return suffix in _BUILT_IN or suffix in _added()


def source_of(name: str) -> TileSource:
    """Return the reader of a file.

    Parameters
    ----------
    name : str
        File name for which `has_source` holds.

    Raises
    ------
    MissingExtraError
        When the reader, or what it needs, cannot be imported.
    FormatError
        When no reader knows files of this name.
    """
    suffix = _suffix(name)
    if suffix in _BUILT_IN:
        source: TileSource = importlib.import_module(
            f"mosaicflow.acquisition.find.{_BUILT_IN[suffix]}"
        )
        return source
    if suffix not in _added():
        raise FormatError(f"{name}: is of a kind that is not read", remedy=refused_kinds([name]))
    point = _added()[suffix]
    try:
        loaded: TileSource = point.load()
    except ImportError as error:
        raise MissingExtraError(
            f"{name}: the reader {point.value} cannot be loaded ({error})",
            remedy="install what it needs",
        ) from error
    return loaded


def is_folder_tile(path: Path) -> bool:
    """Whether a folder is a tile as a whole, as a store is: not one that holds images.

    A folder may be called like the images in it.
    """
    module = _BUILT_IN.get(_suffix(path.name), "")
    is_image = module in ("tiff_files", "picture_files")
    return has_source(path.name) and not is_image and path.is_dir()


def check_reads_remotely(path: Path) -> None:
    """Raise unless tiles of this kind are read where they lie behind an address.

    Their readers open a file or a store of this machine; those of TIFF and pictures take any file.
    """
    module = _BUILT_IN.get(_suffix(path.name), "")
    if has_source(path.name) and module not in ("tiff_files", "picture_files"):
        raise InputError(
            f"{path}: {_suffix(path.name)} files are read from a disk only; behind an address OCT"
            " folders, TIFF and pictures are",
            remedy="copy the acquisition to a disk of this machine first",
        )


def tile_rank(name: str) -> int:
    """Tell what counts as tiles where files of several kinds lie side by side: the lowest rank.

    Results, masks and previews are saved beside tiles: as pictures above all, then as NIfTI, MAT
    or OME-Zarr.
    """
    module = _BUILT_IN.get(_suffix(name), "")
    return {"picture_files": 2, "nifti_files": 1, "mat_files": 1, "zarr_tiles": 1}.get(module, 0)


def _suffix(name: str) -> str:
    lower = name.lower()
    if lower.endswith(".nii.gz"):
        return ".nii.gz"
    return f".{lower.rpartition('.')[2]}" if "." in name else ""


@cache
def _added() -> dict[str, Any]:
    return {f".{point.name.lower()}": point for point in entry_points(group=ENTRY_POINTS)}
