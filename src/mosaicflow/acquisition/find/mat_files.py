"""Read MATLAB tiles: rows are Y, columns X, pages planes of depth."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.acquisition.image_header import ImageHeader
from mosaicflow.acquisition.image_sources import SourceTile
from mosaicflow.errors import FormatError
from mosaicflow.formats.ground.errors import library

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["list_tiles", "read_planes"]

# The first bytes of a file of version 7.3, which is HDF5 behind a note of 512 bytes.
_NOTE_OF_73 = b"MATLAB 7.3"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_NUMBERS = {"double", "single", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64",
            "uint64", "logical"}  # fmt: skip


def list_tiles(path: Path) -> tuple[SourceTile]:
    """Describe the largest array of a file; see `TileSource`."""
    _, (n_y, n_x, n_z), others = _chosen(path)
    notes = (f"the largest of {others + 1} arrays is read",) if others else ()
    return (SourceTile(ImageHeader(n_z, n_y, n_x, (None, None, None), notes=notes)),)


def read_planes(path: Path, item: str) -> NDArray[Any]:
    """Read the largest array of a file; see `TileSource`."""
    name, size, _ = _chosen(path)
    if _is_hdf5(path):
        with _opened_hdf5(path) as file:
            rows = np.asarray(file[name][()]).T  # it is stored with its axes turned round
    else:
        import scipy.io

        with _explained():
            rows = scipy.io.loadmat(path, variable_names=[name])[name]
    if not isinstance(rows, np.ndarray) or rows.dtype.kind not in "biuf":
        raise FormatError(f"{name} is complex or sparse, expected an array of real numbers")
    return rows.reshape(size).transpose(2, 0, 1)


def _chosen(path: Path) -> tuple[str, tuple[int, int, int], int]:
    """Return name and size (rows, columns, pages) of the largest array, and how many others."""
    shapes = _arrays(path)
    images = {
        name: (shape[0], shape[1], shape[2] if len(shape) == 3 else 1)
        for name, shape in shapes.items()
        if len(shape) in (2, 3) and min(shape[:2]) > 1
    }
    if not images:
        raise FormatError(f"holds no array of two or three axes, but {dict(shapes) or 'nothing'}")
    sizes = {name: math.prod(shape) for name, shape in images.items()}
    largest = [name for name in images if sizes[name] == max(sizes.values())]
    if len(largest) > 1:
        raise FormatError(
            f"holds several arrays of the same size: {', '.join(largest)}",
            remedy="save the one that is meant in a file of its own",
        )
    return largest[0], images[largest[0]], len(images) - 1


def _arrays(path: Path) -> Mapping[str, tuple[int, ...]]:
    if _is_hdf5(path):
        with _opened_hdf5(path) as file:
            return {
                name: tuple(int(n) for n in one.shape[::-1])
                for name, one in file.items()
                if hasattr(one, "shape") and one.dtype.kind in "biuf"
            }
    import scipy.io

    with _explained():
        return {name: shape for name, shape, kind in scipy.io.whosmat(path) if kind in _NUMBERS}


def _is_hdf5(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(520)
    return head.startswith((_NOTE_OF_73, _HDF5)) or head[512:] == _HDF5


@contextmanager
def _opened_hdf5(path: Path) -> Iterator[Any]:
    h5py = library("h5py", file=path.name)
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError, KeyError) as error:
        raise FormatError(f"is not a usable MAT file of version 7.3 ({error})") from error


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except Exception as error:  # scipy has many; a file may break any of them
        raise FormatError(f"is not a usable MAT file ({error})") from error
