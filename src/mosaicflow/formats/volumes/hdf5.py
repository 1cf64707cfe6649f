"""Volumes in HDF5: datasets data, sampling_rate and origin."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.formats.ground.errors import FormatError, library
from mosaicflow.formats.ground.source import plain_copy, read_head
from mosaicflow.formats.volumes.volume import Volume, require_plausible_size

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mosaicflow.formats.ground.source import FilePath
    from mosaicflow.formats.volumes.density import Density

__all__ = ["open_hdf5", "write_hdf5"]

_MAGIC = b"\x89HDF\r\n\x1a\n"
_MOST_LISTED = 20  # names in a message, which must stay readable
# A chunk is decompressed whole.
_LARGEST_CHUNK_BYTES = 512 << 20


@contextlib.contextmanager
def open_hdf5(path: FilePath) -> Iterator[Volume]:
    """Open the volume of an HDF5 file for as long as the block runs.

    Parameters
    ----------
    path : str or path-like
        Plain or compressed. The dataset ``data``, else the only 3-D dataset, is indexed [x, y, z].

    Yields
    ------
    Volume

    Raises
    ------
    FormatError
        If there is no such dataset, or the file is damaged.
    """
    h5py = library("h5py")
    # A user block of 512 bytes or more may stand before the magic bytes.
    head = read_head(path, 4096)
    if not any(head[at : at + 8] == _MAGIC for at in (0, 512, 1024, 2048)):
        raise FormatError(path, "no HDF5 file: the magic bytes are missing")
    try:
        with plain_copy(path) as plain, h5py.File(plain, "r", locking=False) as file:
            dataset = _find_volume(path, file, h5py)
            require_plausible_size(path, dataset.size, plain.stat().st_size)
            sampling = _sampling(path, file, h5py)
            yield Volume(path, dataset, sampling, slow_axis=0)
    except FormatError:
        raise
    # h5py turns the C library's errors into whichever built-in error seems to fit.
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError) as error:
        raise FormatError(path, f"damaged HDF5 ({error!r:.200})") from error


def _find_volume(path: FilePath, file: Any, h5py: Any) -> Any:  # noqa: ANN401  h5py has no types
    datasets: dict[str, Any] = {}

    def note(name: str, node: object) -> bool | None:
        if isinstance(node, h5py.Dataset):
            datasets[name] = node
        # A hostile file may hold millions of nodes; anything but None ends the walk.
        return True if len(datasets) >= 1000 else None

    found = _node(path, file, "data", h5py)
    if not isinstance(found, h5py.Dataset):
        file.visititems(note)
        volumes = [name for name, dataset in datasets.items() if dataset.ndim == 3]
        if len(volumes) != 1:
            listed = [f"{n} {d.shape}" for n, d in list(datasets.items())[:_MOST_LISTED]]
            raise FormatError(
                path, f"no dataset 'data' and not one 3-D dataset, but: {', '.join(listed) or '-'}"
            )
        found = datasets[volumes[0]]
    if found.ndim != 3 or min(found.shape) < 1:
        raise FormatError(path, f"dataset '{found.name}' has shape {found.shape}, 3-D is expected")
    if found.dtype.kind not in "biufc":
        raise FormatError(path, f"dataset '{found.name}' has type {found.dtype}, not numbers")
    if found.chunks and np.prod(found.chunks, dtype=float) * found.dtype.itemsize > (
        _LARGEST_CHUNK_BYTES
    ):
        raise FormatError(path, f"chunks of {found.chunks} voxels are too large to be read")
    if found.is_virtual or found.external:
        raise FormatError(path, f"dataset '{found.name}' lies in other files, which are not opened")
    return found


def _node(path: FilePath, file: Any, name: str, h5py: Any) -> Any:  # noqa: ANN401
    """Return what has a name in this file, None if nothing has."""
    if isinstance(file.get(name, getlink=True), h5py.ExternalLink):
        raise FormatError(path, f"'{name}' links to another file, which is not opened")
    return file.get(name)


def _sampling(path: FilePath, file: Any, h5py: Any) -> tuple[float, float, float]:  # noqa: ANN401
    node = _node(path, file, "sampling_rate", h5py)
    if node is None:
        return (1.0, 1.0, 1.0)
    if not isinstance(node, h5py.Dataset) or node.size not in (1, 3):
        raise FormatError(path, f"sampling_rate is {node}, 3 values are expected")
    rate = np.broadcast_to(np.asarray(node[()], dtype=np.float64).reshape(-1), 3)
    if not np.all(np.isfinite(rate)) or rate.min() < 0:
        raise FormatError(path, f"sampling_rate is {rate.tolist()}")
    x, y, z = (value or 1.0 for value in rate.tolist())
    return (x, y, z)


def write_hdf5(path: Path, density: Density) -> None:
    """Write a volume as HDF5.

    Parameters
    ----------
    path : Path
        Target, not compressed.
    density : Density
        Written as datasets ``data`` [x, y, z], ``origin`` and ``sampling_rate``.
    """
    h5py = library("h5py")
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("data", shape=density.shape, dtype=density.dtype)
        at = 0
        for section in density.sections():
            dataset[:, :, at : at + len(section)] = section.transpose(2, 1, 0)
            at += len(section)
        file["origin"] = np.asarray(density.origin)
        file["sampling_rate"] = np.asarray(density.sampling)
