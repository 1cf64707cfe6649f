"""A web server for one store on this machine, as Neuroglancer needs it, and for nothing else.

Any page that is open in a browser, and any user of the machine, can talk to a local port. So the
address holds a secret, the name of the machine in the request must be this one, only the viewer's
own page may read the answers, and a file is served only if it lies inside the store.
"""

from __future__ import annotations

import hmac
import http.server
import io
import os
import re
import secrets
import threading
import time
from http import HTTPStatus
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType
    from typing import Self

__all__ = ["FolderHandler", "LoopbackServer", "ServerThread", "StoreServer", "secret"]

# Digits of a byte position: 2**63 has 19, and a number of thousands of digits takes long to read.
_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")
# Connections at a time. A browser opens 6 to one server; each costs a thread.
_MOST_CONNECTIONS = 64
# Seconds for a request to arrive, or for a browser to take in the next piece of an answer. Long
# enough for a browser that keeps a connection for later; doubled, an attacker holds one as long.
_PATIENCE_S = 20.0
# Bytes sent at once: the memory of one answer.
_PIECE_BYTES = 1 << 20


def secret() -> str:
    """Make the part of an address that nobody can guess."""
    return secrets.token_urlsafe(16)


class ServerThread:
    """Let a server answer in a thread of its own until closed.

    Parameters
    ----------
    server : LoopbackServer
        Not started yet.
    """

    def __init__(self, server: LoopbackServer) -> None:
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, daemon=True)
        self._thread.start()

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


class StoreServer(ServerThread):
    """Serve one folder to one page of a browser of this machine until closed.

    Answers honour byte ranges, by which viewers read single chunks out of shards. Programs that
    send no ``Origin`` need the address only.

    Parameters
    ----------
    folder : Path
        The store.
    port : int, optional
        0 takes any free port.
    """

    def __init__(self, folder: Path, port: int = 0) -> None:
        super().__init__(LoopbackServer(folder, f"/{secret()}/{folder.name}", port))

    @property
    def url(self) -> str:
        """Address of the store; whoever knows it can read the store."""
        return f"{self._server.own_origin}{self._server.path}"

    def allow_page(self, address: str) -> None:
        """Let the page at an address, and every page of the same origin, read the store."""
        parts = urlsplit(address)
        self._server.origin = f"{parts.scheme}://{parts.netloc}"


class LoopbackServer(http.server.ThreadingHTTPServer):
    """Accept a bounded number of connections from this machine.

    Parameters
    ----------
    folder : Path
        What is served.
    path : str
        Path of the folder in the address, with the secret.
    port : int
        0 takes any free port.
    handler : type of FolderHandler, optional
        How requests are answered; as files of the folder without one.
    """

    def __init__(
        self, folder: Path, path: str, port: int, handler: type[FolderHandler] | None = None
    ) -> None:
        self.root = os.path.realpath(folder)
        self.path = path
        self.origin = ""
        self._free = threading.BoundedSemaphore(_MOST_CONNECTIONS)
        super().__init__(("127.0.0.1", port), handler or FolderHandler)

    @property
    def own_origin(self) -> str:
        """Origin of what this server itself hands out."""
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def hosts(self) -> tuple[str, ...]:
        """What a request may call this machine; another name was made to point here."""
        return tuple(f"{name}:{self.server_port}" for name in ("127.0.0.1", "localhost"))

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401  # as socketserver has it
        """Answer in a thread, or hang up where too many are answered already."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401  # as socketserver has it
        """Answer, and make room for the next."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401  # as socketserver has it
        """Stay silent: a browser drops connections at any time."""


class _Timely(io.RawIOBase):
    """Bytes of a connection, until a deadline: a request that trickles in is given up."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.deadline = 0.0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401  # any writable buffer
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        n_bytes = self._connection.recv_into(buffer)
        self._connection.settimeout(_PATIENCE_S)
        return n_bytes


class FolderHandler(http.server.BaseHTTPRequestHandler):
    """Answer with files of one folder, to those who know its secret and name this machine."""

    protocol_version = "HTTP/1.1"
    timeout = _PATIENCE_S
    server: LoopbackServer

    def setup(self) -> None:
        """Read requests until their time is over."""
        super().setup()
        self._timely = _Timely(self.connection)
        self.rfile = io.BufferedReader(self._timely)

    def handle_one_request(self) -> None:
        """Give each request its time."""
        self._timely.deadline = time.monotonic() + _PATIENCE_S
        super().handle_one_request()

    def end_headers(self) -> None:
        """Name the one page that may read the answer."""
        if hasattr(self, "headers") and self._is_from_page():  # absent from a broken request
            self.send_header("Access-Control-Allow-Origin", self.server.origin)
            self.send_header("Access-Control-Allow-Headers", "Range")
            self.send_header("Access-Control-Expose-Headers", "Content-Range, Content-Length")
        self.send_header("Vary", "Origin")
        super().end_headers()

    def do_OPTIONS(self) -> None:  # the name that http.server asks for
        """Say whether a request would be answered."""
        self._answer(HTTPStatus.NO_CONTENT if self._is_known() else HTTPStatus.FORBIDDEN)

    def do_HEAD(self) -> None:  # the name that http.server asks for
        """Answer without the file."""
        self._serve(lambda _file, _n_bytes: None)

    def do_GET(self) -> None:  # the name that http.server asks for
        """Answer with a file, or a part of it."""
        self._serve(self._send)

    def content_type(self) -> str:
        """Say what kind of file is asked for; of a store all are bytes."""
        return "application/octet-stream"

    def _is_from_page(self) -> bool:
        return bool(self.server.origin) and self.headers.get("Origin") == self.server.origin

    def _is_known(self) -> bool:
        """Whether the request names this machine and comes from the page, or from no page."""
        host = self.headers.get("Host", "").lower()
        return host in self.server.hosts and ("Origin" not in self.headers or self._is_from_page())

    def _serve(self, send: Callable[[IO[bytes], int], None]) -> None:
        if not self._is_known():
            self._answer(HTTPStatus.FORBIDDEN)
            return
        path = self._file()
        try:
            file = None if path is None else open(path, "rb")  # noqa: SIM115  # closed below
        except OSError:
            file = None
        if file is None:
            self._answer(HTTPStatus.NOT_FOUND)
            return
        with file:
            self._send_part(file, send)

    def _file(self) -> str | None:
        """Find the file that is asked for; None for all that is no plain file in the store."""
        asked = unquote(urlsplit(self.path).path)
        start = f"{self.server.path}/"
        given = asked[: len(start)].encode("utf-8", "surrogatepass")
        if not hmac.compare_digest(given, start.encode()) or "\0" in asked:
            return None
        path = os.path.realpath(os.path.join(self.server.root, asked[len(start) :].lstrip("/")))
        inside = path.startswith(self.server.root + os.sep)
        return path if inside and os.path.isfile(path) else None

    def _send_part(self, file: IO[bytes], send: Callable[[IO[bytes], int], None]) -> None:
        size = os.fstat(file.fileno()).st_size
        wanted = self.headers.get("Range")
        part = (0, size) if wanted is None else _part(wanted, size)
        if part is None:
            self._answer(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, f"bytes */{size}")
            return
        start, stop = part
        status = HTTPStatus.OK if wanted is None else HTTPStatus.PARTIAL_CONTENT
        extent = "" if wanted is None else f"bytes {start}-{stop - 1}/{size}"
        self._answer(status, extent, n_bytes=stop - start)
        file.seek(start)
        send(file, stop - start)

    def _answer(self, status: HTTPStatus, extent: str = "", *, n_bytes: int = 0) -> None:
        self.send_response(status)
        self.send_header("Content-Type", self.content_type())
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Accept-Ranges", "bytes")
        if extent:
            self.send_header("Content-Range", extent)
        self.send_header("Content-Length", str(n_bytes))
        self.end_headers()

    def _send(self, file: IO[bytes], n_bytes: int) -> None:
        while n_bytes > 0 and (piece := file.read(min(n_bytes, _PIECE_BYTES))):
            self.wfile.write(piece)
            n_bytes -= len(piece)

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent: a viewer asks for thousands of chunks, many of them absent."""


def _part(wanted: str, size: int) -> tuple[int, int] | None:
    """Read a byte range as start and stop; None where it is none, or outside of the file."""
    match = _RANGE.fullmatch(wanted.strip())
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    start = int(first) if first else max(0, size - int(last))
    stop = min(int(last) + 1, size) if first and last else size
    return (start, stop) if start < stop else None
