"""Recording what tasks published once it is on the disk, while other tasks go on."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from mosaicflow.engine.publish import record

if TYPE_CHECKING:
    from concurrent.futures import Future
    from types import TracebackType
    from typing import Self

    from mosaicflow.engine.layout import RunFolder
    from mosaicflow.engine.task import Published

__all__ = ["Recorder"]

# Between two turns of the disk [s]: each holds up all who make files meanwhile (on a run of 36 s,
# one at the end of each of 90 tasks cost 3 %). So much is done again after a power cut, no more.
_PAUSE_S = 2.0


class Recorder:
    """Waits for the disk in place of the workers, for all that came meanwhile at once.

    Waiting at the end of each task cost 6 % of a run's time. Records keep the order in which tasks
    ended, so that none is there without those of what it was made from.

    Parameters
    ----------
    folder : RunFolder
        Of the run.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._waiting: list[Published] = []
        self._pool = ThreadPoolExecutor(1)
        self._under_way: list[Future[None]] = []
        self._is_awaited = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_awaited.set()
        self._pool.shutdown()  # also of a run that is broken off: what was published counts

    def take(self, published: Published | None) -> None:
        """Have something recorded soon.

        Raises
        ------
        OSError
            Something taken before could not be.
        """
        if published is None:
            return
        with self._lock:
            self._waiting.append(published)
            for ended in [one for one in self._under_way if one.done()]:
                ended.result()
                self._under_way.remove(ended)
            self._under_way.append(self._pool.submit(self._record))

    def settle(self) -> None:
        """Wait until all that was taken is recorded.

        Raises
        ------
        OSError
            It could not be.
        """
        self._is_awaited.set()
        for one in list(self._under_way):
            one.result()
        self._is_awaited.clear()

    def _record(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, []
        if waiting:
            record(self._folder, waiting)
            self._is_awaited.wait(_PAUSE_S)
