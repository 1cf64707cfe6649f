"""Worker processes that run tasks, and that never outlive the run."""

from __future__ import annotations

import atexit
import contextlib
import gc
import multiprocessing
import multiprocessing.connection
import os
import shutil
import signal
import tempfile
import threading
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing import forkserver, resource_tracker
from typing import TYPE_CHECKING

from mosaicflow.engine.memory import forget_peak, peak_bytes
from mosaicflow.engine.tasks import perform
from mosaicflow.errors import MosaicflowError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

    from mosaicflow.engine.task import Outcome, Task

__all__ = ["Workers"]

# Imported once and shared by all workers: a second of start-up each would add up. What one stage
# alone needs (the plots of the report) is left to the worker that gets it.
_PRELOADED = ["mosaicflow.engine.workers", "numpy", "scipy.ndimage", "scipy.fft", "zarr"]
# With linalg, optimize, sparse: of tiles, pairs and alignment.
_PRELOADED += ["scipy.interpolate", "scipy.sparse.csgraph"]


class Workers:
    """A pool of processes, one task at a time each.

    Parameters
    ----------
    count : int
        Number of processes.
    threads : int
        Size of the thread pools inside each.
    """

    def __init__(self, count: int, threads: int) -> None:
        from mosaicflow.threads import limit_threads

        limit_threads(threads)  # inherited by the workers, before they import numpy
        # Tiles come and go in buffers of 100 MB: in pages of 4 KB half of the time of a stage
        # would be spent on asking the kernel for them.
        os.environ.setdefault("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(_PRELOADED)
        _shorten_folder()
        try:
            _start_server()
        except KeyboardInterrupt:
            _kill_server()  # nobody will ask it for anything
            raise
        self._pool = ProcessPoolExecutor(count, context, _start)
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="mosaicflow-start")
        self._started: Future[object] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            for process in list(self._pool._processes.values()):
                process.kill()  # unfinished work lies in private folders only
            if not isinstance(error, MosaicflowError):
                _kill_server()  # it may be about to start one; another run would need it again
        self._starter.shutdown(wait=True)
        self._pool.shutdown(wait=True, cancel_futures=True)

    def warm_up(self) -> None:
        """Start the first process in the background; if it fails, so does the first task."""
        # The server answers once it has loaded the libraries, which takes a second. A task that did
        # not wait for the first process would get a second one, with modules yet to be loaded.
        self._started = self._starter.submit(lambda: self._pool.submit(os.getpid).result())

    def run(self, task: Task) -> Outcome:
        """Run one task in a worker and wait for it; what it published is still to be recorded.

        Raises
        ------
        MosaicflowError
            When the task fails, or its worker is killed.
        """
        with _alive(f"'{task.name}' or a task beside it ran"):
            if self._started is not None:
                self._started.result()
            return self._pool.submit(_measured, task).result()


@contextlib.contextmanager
def _alive(while_: str) -> Iterator[None]:
    """Say in one line that a process was killed: a worker, or the server that starts them."""
    try:
        yield
    except (BrokenProcessPool, EOFError, ConnectionError) as error:  # of the server: the last two
        raise MosaicflowError(
            f"a worker process was killed while {while_}",
            remedy="the machine may be out of memory: run with fewer --threads",
        ) from error


def _measured(task: Task) -> Outcome:
    """Run a task in this process, and say how much memory that took at most."""
    is_known = forget_peak()
    outcome = perform(task)
    has_run = is_known and outcome.state in ("done", "failed")
    return replace(outcome, peak_bytes=peak_bytes()) if has_run else outcome


# A socket's path has 107 characters at most; the library adds up to 40 to the folder's.
_LONGEST_FOLDER = 60


def _shorten_folder() -> None:
    """Let the sockets of workers lie in a short folder where TMPDIR is a long one."""
    if len(os.fsencode(tempfile.gettempdir())) <= _LONGEST_FOLDER:
        return
    folder = tempfile.mkdtemp(prefix="mosaicflow-", dir="/tmp")  # mode 0700
    multiprocessing.current_process()._config["tempdir"] = folder  # type: ignore[attr-defined]  # has no other name
    atexit.register(shutil.rmtree, folder, ignore_errors=True)


def _start_server() -> None:
    """Start the process that workers are forked from, deaf to signals: the parent answers them."""
    signals = {signal.SIGINT, signal.SIGTERM}
    resource_tracker.ensure_running()  # first, because its start lets signals through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _kill_server() -> None:
    """End the server too: what it still has to start would find nothing of this process."""
    pid = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]  # has no other name
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _start() -> None:
    """Prepare a worker: the parent handles Ctrl-C, and a dead parent ends the worker."""
    gc.freeze()  # what the server has loaded stays: a search for garbage there copies its pages
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The pool ends its workers by SIGTERM where one of them was killed.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    threading.Thread(target=_end_with_parent, name="parent watch", daemon=True).start()


def _end_with_parent() -> None:
    # The fork server is no help here: it lives as long as any worker does.
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)  # at once: unfinished work lies in private folders only
