"""Small pyramids with known voxels, and a web server that notes what is asked of it."""

from __future__ import annotations

import functools
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest


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


class RangeHandler(SimpleHTTPRequestHandler):
    """Sends files and byte ranges of them, notes what is asked for, and hangs on request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __init__(self, asked, gate, *arguments, **options):
        self.asked, self.gate = asked, gate
        super().__init__(*arguments, **options)

    def do_GET(self):
        part = self.headers.get("Range")
        self.asked.append((self.path.lstrip("/"), part))
        self.gate.wait(20)
        try:
            with open(self.translate_path(self.path), "rb") as file:
                content = file.read()
        except OSError:
            self.send_error(404)
            return
        start, stop = 0, len(content)
        if part:
            first, last = part.removeprefix("bytes=").split("-")
            start = int(first) if first else stop - int(last)
            stop = int(last) + 1 if first and last else stop
        body = content[start:stop]
        self.send_response(206 if part else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Range", f"bytes {start}-{start + len(body) - 1}/{len(content)}")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Stay silent."""


@pytest.fixture
def gate():
    """Lets the web server answer; cleared, it hangs."""
    event = threading.Event()
    event.set()
    yield event
    event.set()


@pytest.fixture
def web(tmp_path, gate):
    """Serve `tmp_path`; yields the address and the list of (path, range) asked for."""
    asked = []
    handler = functools.partial(RangeHandler, asked, gate, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        gate.set()
        server.shutdown()
        thread.join()
