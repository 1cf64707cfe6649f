"""The unfinished store: a temporary sibling that becomes the output by one rename."""

from __future__ import annotations

import contextlib
import os
import shutil
import weakref
from typing import TYPE_CHECKING, Any

from mosaicflow.errors import StoreError
from mosaicflow.io.checksums import sums_of, sums_path, write_checksums
from mosaicflow.io.disk import lock_file
from mosaicflow.io.zarr.errors import StoreExistsError
from mosaicflow.io.zarr.journal import Journal, journal_path, outlives_store
from mosaicflow.io.zarr.metadata import zarr_format_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mosaicflow.io.zarr.location import Location

__all__ = ["Workspace", "work_location"]

# Unfinished stores of this process by address.
_LIVING: weakref.WeakValueDictionary[str, Workspace] = weakref.WeakValueDictionary()


def work_location(final: Location, kind: str = "tmp") -> Location:
    """Return where a store is written before it is complete."""
    if final.is_folder:
        return final.sibling(f".{final.path.name}.{kind}")
    # An object store cannot rename: only scratch data goes elsewhere.
    name = final.address.rstrip("/").rpartition("/")[2]
    return final if kind == "tmp" else final.sibling(f".{name}.{kind}")


class Workspace:
    """Ownership of an unfinished store, from an empty group to the rename.

    Parameters
    ----------
    final : Location
        Where the finished store will be.
    ngff_version : str
        `0.4` or `0.5`.
    overwrite : bool
        Whether a store that exists at `final` is replaced.
    kind : str
        Suffix of the temporary sibling.
    checksums : bool
        Whether the checksums of a local store are written beside it.
    resume_key : str
        Digest of all that decides the content: what a killed writer with the same one finished is
        kept. Empty, or without checksums: nothing is.
    """

    def __init__(
        self,
        final: Location,
        ngff_version: str,
        *,
        overwrite: bool,
        kind: str = "tmp",
        checksums: bool = False,
        resume_key: str = "",
    ) -> None:
        self.final = final
        self.location = work_location(final, kind)
        self._ngff_version = ngff_version
        self._overwrite = overwrite
        self._lock: int | None = None
        self._superseded = False
        self.sums: dict[str, str] | None = {} if checksums and final.is_folder else None
        self.resume_key = resume_key
        self.journal: Journal | None = None
        if resume_key and self.sums is not None:
            self.journal = Journal(self.location.path, resume_key)
        self._shared = False
        self._check_output()
        try:
            self._start()
        except BaseException:
            self.release()  # whoever keeps the error would keep the lock
            raise
        _LIVING[self.location.address] = self

    def __getstate__(self) -> dict[str, Any]:
        self._shared = True
        return {**self.__dict__, "_lock": None}

    def __del__(self) -> None:
        self.release()

    def check_owned(self) -> None:
        """Raise when a later writer of this process has taken the place of this one."""
        if self._superseded:
            raise StoreError(f"{self.final}: another writer of the same path was made since")

    def _check_output(self) -> None:
        if self.final.is_zip:
            raise StoreError(
                f"{self.final}: a zip archive is read only",
                remedy="write a folder and convert it with `mosaicflow convert`",
            )
        if self.final.address.startswith("http"):
            raise StoreError(
                f"{self.final}: a web server is read only", remedy="write to a folder or a bucket"
            )
        if not self._overwrite and self.final.exists():
            raise StoreExistsError(f"{self.final}: exists, and overwrite is off")

    def _start(self) -> None:
        import zarr

        if self.location.is_folder:
            self.location.path.parent.mkdir(parents=True, exist_ok=True)
            self._own_folder()
        else:
            self.location.remove()
        zarr.create_group(
            self.location.store(read_only=False),
            path=self.location.prefix,
            zarr_format=zarr_format_of(self._ngff_version),
        )

    def _own_folder(self) -> None:
        """Take the place of an earlier writer, and what it finished if that is of use."""
        path = self.location.path
        own = _LIVING.get(self.location.address)
        if own is not None:
            # A notebook cell that is run again: the first writer is given up, and told so.
            own._superseded = True
            own.release()
        if self.journal is not None and not path.exists():
            self._reclaim_store(self.journal)
        if path.is_dir() and not path.is_symlink():
            # A living writer holds the lock; the kernel frees that of a dead one.
            self._lock = _lock_folder(self.location)
            if self._lock is not None and self.journal is not None:
                self._reclaim_arrays(self.journal)
                if self.journal.take_up():
                    return
            self.release()
        journal_path(path).unlink(missing_ok=True)
        self.location.remove()
        path.mkdir()
        self._lock = _lock_folder(self.location)
        if self.journal is not None:
            self.journal.start()

    def _reclaim_store(self, journal: Journal) -> None:
        """Take the name away again from a store that a killed writer had finished.

        Its journal would be gone if its end had been recorded.
        """
        if journal.arrays():
            self._take_name(self.location.path)

    def _take_name(self, work: Path) -> None:
        final = self.final.path
        if final.is_dir() and not final.is_symlink():
            final.rename(work)

    def _reclaim_arrays(self, journal: Journal) -> None:
        """Move arrays back that a killed writer had moved into the store that it was finishing."""
        into = work_location(self.final)
        if into == self.location:
            return
        if not into.path.exists() and journal_path(into.path).is_file():
            self._take_name(into.path)
        for name in journal.arrays():
            if (into.path / name).is_dir() and not (self.location.path / name).exists():
                (into.path / name).rename(self.location.path / name)

    def write_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Write the root attributes: the step that makes a store complete."""
        import zarr

        group = zarr.open_group(
            self.location.store(read_only=False),
            path=self.location.prefix,
            mode="r+",
            zarr_format=zarr_format_of(self._ngff_version),
            use_consolidated=False,
        )
        group.update_attributes(dict(attributes))

    def move_array(self, path: str, into: Workspace) -> None:
        """Move an array of a local store into another one."""
        (self.location.path / path).rename(into.location.path / path)
        if into.sums is not None and self.sums is not None:
            into.sums.update({n: s for n, s in self.sums.items() if n.startswith(f"{path}/")})

    def publish(self) -> None:
        """Put the store in its place. A link there is replaced, what it points to is left alone."""
        if self.location != self.final:
            self._check_output()
            if self.sums is None:
                _replace(self.location, self.final)
            else:
                self._publish_with(self.sums)
        if self.journal is not None and not outlives_store():
            self.journal.remove()
        self.release()

    def _publish_with(self, sums: dict[str, str]) -> None:
        """Rename the store, and write its checksums beside it."""
        work, final = self.location.path, self.final.path
        # Metadata, and what other processes wrote, was not seen here.
        seen = {} if self._shared else sums
        known = {f"{work.name}/{name}": value for name, value in seen.items()}
        taken = sums_of(work.parent, [work.name], known)
        target = sums_path(final)
        target.unlink(missing_ok=True)  # of a store that is about to go
        _replace(self.location, self.final)
        write_checksums(
            target, {final.name + n.removeprefix(work.name): s for n, s in taken.items()}
        )

    def release(self) -> None:
        """Give up the lock on the temporary sibling."""
        handle, self._lock = self._lock, None
        _unlock(handle)

    def retire(self) -> None:
        """Remove what is of no use any more, or leave it to whoever records what was made of it."""
        if self.journal is not None and outlives_store():
            self.release()
        else:
            self.discard()

    def discard(self) -> None:
        """Remove everything written so far."""
        if self.journal is not None:
            self.journal.remove()
        self.location.remove()
        self.release()


def _lock_folder(location: Location) -> int | None:
    """Lock a folder against other writers, or return None where the file system cannot lock."""
    handle = os.open(location.path, os.O_RDONLY)
    try:
        is_locked = lock_file(handle, wait=False)
    except BlockingIOError as error:
        os.close(handle)
        raise StoreError(
            f"{location}: another process is writing this store",
            remedy="wait for it to end, or write to another path",
        ) from error
    except OSError:  # NFS locks only what is open for writing, which a folder never is
        is_locked = False
    if not is_locked:
        os.close(handle)
        return None
    return handle


def _unlock(handle: int | None) -> None:
    if handle is not None:
        os.close(handle)


def _replace(new: Location, final: Location) -> None:
    target = final.path
    if target.is_symlink() or target.is_file():
        target.unlink()
    if not target.exists():
        new.path.rename(target)
        return
    # A folder cannot be renamed onto a full one: the old store steps aside first and comes back
    # if the new one cannot take its place.
    aside = final.sibling(f".{target.name}.old.tmp").path
    if aside.exists():
        shutil.rmtree(aside)
    target.rename(aside)
    try:
        new.path.rename(target)
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            aside.rename(target)
        raise
    shutil.rmtree(aside)
