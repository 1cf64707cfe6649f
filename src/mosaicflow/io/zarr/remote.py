"""Stores that fsspec reaches: their file systems, and the end of their network sessions."""

from __future__ import annotations

import atexit
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mosaicflow.errors import MissingExtraError, MosaicflowError, ParameterError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zarr.storage import FsspecStore

__all__ = ["check_ranges", "filesystem_of", "reaching", "remote_store"]

# Asynchronous file systems do not close their sessions, and complain when they are collected.
_OPENED: dict[int, Any] = {}


def filesystem_of(url: str) -> tuple[Any, str]:
    """Return the file system of an address and the path inside it, for blocking calls."""
    import fsspec

    try:
        filesystem, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise MissingExtraError(
            f"{url}: {error}", remedy="install the extra: pip install 'mosaicflow[cloud]'"
        ) from error
    except ValueError as error:
        raise ParameterError(
            f"{url}: {error}", remedy="use a path, s3://, gs://, http(s):// or memory://"
        ) from error
    return filesystem, str(path).rstrip("/")


def remote_store(url: str, *, read_only: bool) -> FsspecStore:
    """Open the zarr store at an address."""
    from zarr.storage import FsspecStore

    filesystem_of(url)  # explains what is missing
    store = FsspecStore.from_url(url, read_only=read_only)
    if not _OPENED:
        atexit.register(_close_sessions)
    _OPENED[id(store.fs)] = store.fs
    return store


@contextmanager
def reaching(url: str) -> Iterator[None]:
    """Say which address an error of the network, or of a service, is about."""
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, MosaicflowError):
        raise
    except Exception as error:  # every service fails in its own way
        raise StoreError(
            f"{url}: cannot be reached ({type(error).__name__}: {error})",
            remedy="check the address, the network and your credentials",
        ) from error


def check_ranges(url: str, member: str) -> None:
    """Raise unless a web server sends parts of files, without which shards cannot be read."""
    if not url.startswith("http"):
        return
    filesystem, path = filesystem_of(url)
    with reaching(url):
        part = filesystem.cat_file(f"{path}/{member}", start=0, end=1)
    if len(part) != 1:
        raise StoreError(
            f"{url}: the store has shards, and the web server does not honour byte ranges",
            remedy="use a server that does, or a store without shards (mosaicflow convert"
            " --sharding_factor 1)",
        )


def _close_sessions() -> None:
    from zarr.core.sync import loop

    for filesystem in _OPENED.values():
        session = getattr(filesystem, "_session", None) or getattr(filesystem, "_s3", None)
        if session is not None:
            filesystem.close_session(loop[0], session)
