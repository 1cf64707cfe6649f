"""Stores that fsspec reaches: their file systems, and the end of their network sessions."""

from __future__ import annotations

import atexit
from typing import TYPE_CHECKING, Any, cast

from mosaicflow.errors import MissingExtraError, ParameterError, StoreError, install_extra
from mosaicflow.io.zarr.errors import reaching

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from zarr.storage import FsspecStore

__all__ = ["SentFile", "ask", "check_ranges", "filesystem_of", "remote_store"]

# Asynchronous file systems do not close their sessions, and complain when they are collected.
_OPENED: dict[int, Any] = {}


def filesystem_of(url: str, *, anonymous: bool = False) -> tuple[Any, str]:
    """Return the file system of an address and the path inside it, for blocking calls."""
    import fsspec

    try:
        filesystem, path = fsspec.core.url_to_fs(url, **_storage_options(anonymous))
    except ImportError as error:
        raise MissingExtraError(
            f"{url}: {error}", remedy=f"install the extra: {install_extra('cloud')}"
        ) from error
    except ValueError as error:
        raise ParameterError(
            f"{url}: {error}", remedy="use a path, s3://, gs://, http(s):// or memory://"
        ) from error
    return filesystem, str(path).rstrip("/")


def ask(filesystem: Any, method: str, path: str, **options: Any) -> Any:  # noqa: ANN401  # untyped
    """Call a method of a file system; `patience_s`, if not None, limits how long it may take."""
    patience_s = options.pop("patience_s", None)
    if patience_s is None or not filesystem.async_impl:
        return getattr(filesystem, method)(path, **options)
    from fsspec.asyn import sync

    call = getattr(filesystem, f"_{method}")
    return sync(filesystem.loop, call, path, timeout=patience_s, **options)


def _storage_options(anonymous: bool) -> dict[str, Any]:
    return {"anon": True} if anonymous else {}


def remote_store(
    url: str, *, read_only: bool, patience_s: float | None = None, anonymous: bool = False
) -> FsspecStore:
    """Open the zarr store at an address.

    Parameters
    ----------
    url : str
        Address that fsspec understands.
    read_only : bool
        Whether writing is refused.
    patience_s : float, optional
        Seconds that one request may take when reading; by default as the protocol's library has it.
    anonymous : bool, optional
        Whether a bucket is asked without credentials.
    """
    filesystem_of(url, anonymous=anonymous)  # explains what is missing
    options = _storage_options(anonymous)
    if patience_s is None:
        from mosaicflow.io.zarr._patient import NamedStore

        named = NamedStore.from_url(url, storage_options=options, read_only=read_only)
        store: FsspecStore = cast("NamedStore", named).call(url)
    else:
        from mosaicflow.io.zarr._patient import PatientStore

        found = PatientStore.from_url(url, storage_options=options, read_only=read_only)
        store = cast("PatientStore", found).be_patient(url, patience_s)
    if not _OPENED:
        atexit.register(_close_sessions)
    _OPENED[id(store.fs)] = store.fs
    return store


class SentFile:
    """A file that is written behind an address: as a whole, or not at all.

    Parameters
    ----------
    url : str
        What an error says it is about.
    filesystem, path
        From `filesystem_of`.
    """

    def __init__(self, url: str, filesystem: Any, path: str) -> None:  # noqa: ANN401  # untyped
        self._url = url
        with reaching(url):
            self._file = filesystem.open(path, "wb")

    def write(self, data: bytes | memoryview) -> int:
        """Send some more."""
        with reaching(self._url):
            return int(self._file.write(data))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            with reaching(self._url):
                self._file.close()
        else:  # closing would make a file of what was sent so far
            self._file.discard()


def check_ranges(url: str, member: str, patience_s: float | None = None) -> None:
    """Raise unless a web server sends parts of files, without which shards cannot be read."""
    if not url.startswith("http"):
        return
    filesystem, path = filesystem_of(url)
    with reaching(url):
        part = ask(
            filesystem, "cat_file", f"{path}/{member}", start=0, end=1, patience_s=patience_s
        )
    if len(part) != 1:
        raise StoreError(
            f"{url}: the store has shards, and the web server does not honour byte ranges",
            remedy="use a server that does, or a store without shards (mosaicflow convert"
            " --sharding_factor 1)",
        )


def _close_sessions() -> None:
    from mosaicflow.io.zarr._compat import loop

    for filesystem in _OPENED.values():
        session = getattr(filesystem, "_session", None) or getattr(filesystem, "_s3", None)
        if session is not None:
            filesystem.close_session(loop[0], session)
