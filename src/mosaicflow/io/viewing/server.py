"""A web server for one store on this machine, as Neuroglancer needs it."""

from __future__ import annotations

import http.server
import os
import re
import threading
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, BinaryIO, cast

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self

__all__ = ["StoreServer"]

_RANGE = re.compile(r"bytes=(\d*)-(\d*)$")


class StoreServer:
    """Serve one folder to browsers of this machine until closed.

    Answers carry the header that lets a page from another address read them, and honour byte
    ranges, by which viewers read single chunks out of shards.

    Parameters
    ----------
    folder : Path
        The store.
    port : int, optional
        0 takes any free port.
    """

    def __init__(self, folder: Path, port: int = 0) -> None:
        handler = partial(_StoreHandler, directory=str(folder.parent))
        self._name = folder.name
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Address of the store."""
        return f"http://127.0.0.1:{self._server.server_port}/{self._name}"

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _StoreHandler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def end_headers(self) -> None:
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Access-Control-Allow-Headers", "Range")
        self.send_header("Access-Control-Expose-Headers", "Content-Range, Content-Length")
        self.send_header("Accept-Ranges", "bytes")
        super().end_headers()

    def do_OPTIONS(self) -> None:  # the name that http.server asks for
        self.send_response(HTTPStatus.NO_CONTENT)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:  # the name that http.server asks for
        wanted = _RANGE.match(self.headers.get("Range", ""))
        path = self.translate_path(self.path)
        if wanted is None or not os.path.isfile(path) or wanted.groups() == ("", ""):
            super().do_GET()
            return
        with open(path, "rb") as file:
            self._send_range(file, *wanted.groups())

    def _send_range(self, file: BinaryIO, first: str, last: str) -> None:
        size = os.fstat(file.fileno()).st_size
        start = int(first) if first else max(0, size - int(last))
        stop = min(int(last) + 1, size) if first and last else size
        if start >= stop:
            self.send_response(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
            self.send_header("Content-Range", f"bytes */{size}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(HTTPStatus.PARTIAL_CONTENT)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
        self.send_header("Content-Length", str(stop - start))
        self.end_headers()
        file.seek(start)
        self.wfile.write(file.read(stop - start))

    def list_directory(self, path: str | os.PathLike[str]) -> None:
        """Answer that a folder is not there: viewers ask for files only."""
        self.send_error(HTTPStatus.NOT_FOUND, f"no file at {os.path.basename(cast(str, path))}")

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent: a viewer asks for thousands of chunks, many of them absent."""
