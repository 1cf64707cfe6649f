"""Tiles as the readers find them, before they are checked against each other."""

from __future__ import annotations

import errno
import stat
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from mosaicflow.acquisition.tiles import Geometry, Positions, RawFile, TileStatus
from mosaicflow.errors import StoreError, shortage_behind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from mosaicflow.acquisition.problems import ProblemLog

__all__ = ["Draft", "by_slice", "raw_file", "with_retries"]

Result = TypeVar("Result")
# Waits before a file is read again [s], by judgement: network file systems answer late. Doubled, a
# folder of broken files takes twice as long to say so.
_BACK_OFF_S = (0.05, 0.2)


@dataclass(slots=True)
class Draft:
    """One tile while the inspection is working on it.

    Parameters
    ----------
    slice_id : int
        Slice the tile belongs to.
    path : str
        Folder or file, relative to the root.
    layout : str
        Where it was found.
    index : tuple of int or None
        Lattice index (y, x) as the acquisition counts.
    files, geometry, centre_mm, z_mm, status, problem
        As in `Tile`.
    pitch_z_um : float or None
        Depth spacing where the file knows it.
    positions : {'stage', 'file', 'nominal'}
        Where the position comes from; nominal means computed.
    z_offset, item : int, str
        As in `Tile`.
    z_start : float or None
        Plane of the mosaic that its first one is, where a list of tiles says so.
    channels : tuple of str
        Names of the channels of an image; empty where that does not apply.
    notes : tuple of str
        What its file says that is not so, or what was decided about it.
    """

    slice_id: int
    path: str
    layout: str
    index: tuple[int, int] | None = None
    files: tuple[RawFile, ...] = ()
    geometry: Geometry | None = None
    centre_mm: tuple[float, float] | None = None
    z_mm: float | None = None
    status: TileStatus = "ok"
    problem: str = ""
    pitch_z_um: float | None = None
    positions: Positions = "nominal"
    z_offset: int = 0
    item: str = ""
    z_start: float | None = None
    channels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_used(self) -> bool:
        """Whether it is still a candidate for the grid."""
        return self.status in ("ok", "repaired")

    @property
    def bytes(self) -> int:
        """Size of all data files."""
        return sum(file.bytes for file in self.files)

    def skip(self, log: ProblemLog, code: str, message: str, remedy: str = "") -> None:
        """Give the tile up: it counts as missing."""
        self.status, self.problem = "skipped", message
        self._add(log, code, "skip", message, remedy)

    def repair(self, log: ProblemLog, code: str, message: str) -> None:
        """Use the tile after a documented change."""
        self.status = "repaired"
        self.problem = f"{self.problem}; {message}" if self.problem else message
        self._add(log, code, "repair", message)

    def note(self, log: ProblemLog, code: str, message: str) -> None:
        """Report something that changes nothing."""
        self._add(log, code, "keep", message)

    def stop(self, log: ProblemLog, code: str, message: str, remedy: str = "") -> None:
        """Forbid the run because of this tile."""
        self._add(log, code, "stop", message, remedy)

    def unplace(self, log: ProblemLog, message: str, remedy: str = "") -> None:
        """List the tile as one without a place."""
        self.index, self.centre_mm = None, None
        self.status, self.problem = "unplaced", message
        self._add(log, "unplaced_tile", "keep", message, remedy)

    def _add(self, log: ProblemLog, code: str, action: str, message: str, remedy: str = "") -> None:
        log.add(
            code,
            action,  # type: ignore[arg-type]  # only the methods above call this
            message,
            slice_id=self.slice_id,
            tile=self.index,
            path=self.path,
            remedy=remedy,
        )


def by_slice(drafts: Iterable[Draft]) -> list[tuple[int, list[Draft]]]:
    """Group tiles by their slice, in the order of the numbers."""
    found: dict[int, list[Draft]] = defaultdict(list)
    for draft in drafts:
        found[draft.slice_id].append(draft)
    return sorted(found.items())


def with_retries(call: Callable[[], Result]) -> Result:
    """Run a file operation, twice again after a short wait when the file system fails.

    Raises
    ------
    StoreError
        The machine has not enough memory or descriptors: no fault of the file.
    """
    for wait_s in _BACK_OFF_S:
        try:
            return call()
        except FileNotFoundError:
            raise
        except OSError:
            time.sleep(wait_s)
    try:
        return call()
    except OSError as error:
        if shortage_behind(error) is None:
            raise
        # Otherwise the file would be left out, and another run would find it.
        raise StoreError(
            f"{error.filename}: cannot be read ({error.strerror})",
            remedy="this machine is short of it, the file is not at fault: run again, with fewer"
            " --threads or higher limits (ulimit -n)",
        ) from error


def raw_file(path: Path) -> RawFile:
    """Describe a file as the file system has it now.

    Raises
    ------
    OSError
        When there is none, or it is a folder, pipe or device: reading that may never end.
    """
    status = with_retries(path.stat)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a file", str(path))
    return RawFile(path.name, status.st_size, status.st_mtime_ns)
