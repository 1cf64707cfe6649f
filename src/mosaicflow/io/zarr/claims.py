"""Which regions of an array are being written, so that no two threads write one file."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from mosaicflow.io.zarr import grid
from mosaicflow.io.zarr.errors import RegionError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Claims"]


class Claims:
    """Regions under way, of one writer in one process; a copy sent elsewhere begins with none.

    Parameters
    ----------
    where : str
        The store, for messages.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self._busy: list[grid.Region] = []
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[Claims], tuple[str]]:
        return Claims, (self._where,)

    @contextlib.contextmanager
    def on(self, region: grid.Region) -> Iterator[None]:
        """Hold a region while it is written.

        Raises
        ------
        RegionError
            When a part of it is held already.
        """
        with self._lock:
            for other in self._busy:
                if grid.overlap(region, other):
                    raise RegionError(
                        f"{self._where}: two threads write {grid.show(region)} and"
                        f" {grid.show(other)} at the same time",
                        remedy="give every writer regions of its own",
                    )
            self._busy.append(region)
        try:
            yield
        finally:
            with self._lock:
                self._busy.remove(region)
