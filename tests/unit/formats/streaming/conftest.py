"""Small pyramids with known voxels, and a web server that notes what is asked of it."""

from __future__ import annotations

import functools
import threading
from http.server import ThreadingHTTPServer

import numpy as np
import pytest

from mosaicflow.io.viewing.server import _StoreHandler


class CountingArray:
    """An array that notes every box read from it, and fails or waits on request."""

    def __init__(self, values, chunks, *, fail=None, gate=None):
        self.values, self.chunks = values, chunks
        self.shape, self.dtype = values.shape, values.dtype
        self.fail, self.gate = fail, gate
        self.reads = []
        self._lock = threading.Lock()

    def __getitem__(self, key):
        with self._lock:
            self.reads.append(tuple((part.start, part.stop) for part in key))
        if self.gate is not None:
            assert self.gate.wait(20)
        if self.fail is not None:
            raise self.fail
        return self.values[key]


@pytest.fixture
def counting_array():
    return CountingArray


@pytest.fixture
def halves():
    """Make levels by taking every second voxel, whose centres then lie on voxels of the level 0."""

    def make(values, chunks, spacing=(1.0, 1.0, 1.0), n_levels=2):
        levels = []
        for _ in range(n_levels):
            array = CountingArray(np.ascontiguousarray(values), chunks)
            levels.append({"array": array, "shape": values.shape, "spacing": spacing})
            values, spacing = values[::2, ::2, ::2], tuple(2 * s for s in spacing)
        return levels

    return make


@pytest.fixture
def web(tmp_path):
    """Serve `tmp_path`; yields the address and the list of (path, range) asked for."""
    asked = []

    class Handler(_StoreHandler):
        def do_GET(self):
            asked.append((self.path.lstrip("/"), self.headers.get("Range")))
            super().do_GET()

    handler = functools.partial(Handler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()
