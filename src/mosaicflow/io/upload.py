"""Results behind an address (s3://, gs://): each file whole, and a store finished last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mosaicflow.errors import StoreError
from mosaicflow.io.checksums import list_files
from mosaicflow.io.remote_requests import tried
from mosaicflow.threads import map_threads

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["ADDRESS_SUFFIX", "address_file", "put", "put_all"]

ADDRESS_SUFFIX = ".address"
# What makes a store count: of either flavour, at its root.
_LAST = (".zattrs", "zarr.json")
# Files sent at the same time: each waits for an answer most of its time. Doubled, services begin to
# ask for a slower rate (SlowDown).
_AT_ONCE = 8


def address_file(output: Path, address: str) -> None:
    """Write where a store was put instead of `output`, beside which the file lies."""
    from mosaicflow.io.tables import write_text

    write_text(output.with_name(output.name + ADDRESS_SUFFIX), address + "\n")


def put(path: Path, address: str) -> None:
    """Copy a file, or a store as a whole, behind an address, in place of what is there.

    Parameters
    ----------
    path : Path
        File, or folder of a store.
    address : str
        What it is called there.

    Raises
    ------
    StoreError
        When the address cannot be reached, several times; a store is then not finished there.
    """
    if path.is_file():
        tried(lambda: _send(path, address))
        return
    from mosaicflow.io.zarr.location import locate

    tried(locate(address).remove)
    names = list(list_files(path))
    data = [name for name in names if name not in _LAST]
    map_threads(lambda name: tried(lambda: _send(path / name, f"{address}/{name}")), data, _AT_ONCE)
    for name in (one for one in _LAST if one in names):
        tried(lambda name=name: _send(path / name, f"{address}/{name}"))  # type: ignore[misc]


def put_all(files: Sequence[tuple[Path, str]], root: str) -> None:
    """Copy outputs to their places below an address, the last one when all others are there."""
    *others, (last, place) = files
    for path, name in (one for one in others if not one[0].is_file()):
        put(path, f"{root}/{name}")
    small = [one for one in others if one[0].is_file()]
    map_threads(lambda one: put(one[0], f"{root}/{one[1]}"), small, _AT_ONCE)
    put(last, f"{root}/{place}")


def _send(path: Path, address: str) -> None:
    from mosaicflow.io.zarr.errors import reaching
    from mosaicflow.io.zarr.remote import filesystem_of

    filesystem, name = filesystem_of(address)
    with reaching(address):
        filesystem.put_file(str(path), name)
        found = int(filesystem.info(name, refresh=True)["size"])
    if found != path.stat().st_size:
        raise StoreError(f"{address}: holds {found} bytes, {path.stat().st_size} were sent")
