"""A web server for the page that corrects places, on this machine and for this page alone.

The same guards as for stores: a secret in the address, the name of this machine in the request,
no other origin. The page may ask for pictures of its package and may hand in one table.
"""

from __future__ import annotations

import hmac
import mimetypes
import threading
from http import HTTPStatus
from typing import TYPE_CHECKING

from mosaicflow.errors import MosaicflowError
from mosaicflow.io.viewing.server import FolderHandler, LoopbackServer, ServerThread, secret

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["EditorServer"]

# Bytes of a table that is taken: rows of 60,000 tiles are 4 MB.
_MOST_BYTES = 16 << 20
# The page runs its own script and shows its own pictures; it can reach nothing else.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class EditorServer(ServerThread):
    """Serve the page of a package until closed.

    Parameters
    ----------
    folder : Path
        The package; its pictures are served.
    page : str
        HTML of the page.
    take : callable
        Gets the text of the table that the page hands in, keeps it and says so in one sentence;
        a `MosaicflowError` is told to the page.
    port : int, optional
        0 takes any free port.
    """

    def __init__(self, folder: Path, page: str, take: Callable[[str], str], port: int = 0) -> None:
        server = _EditorServer(folder, f"/{secret()}", port, page, take)
        server.origin = server.own_origin
        self.url = f"{server.own_origin}{server.path}/"
        super().__init__(server)


class _EditorServer(LoopbackServer):
    def __init__(
        self, folder: Path, path: str, port: int, page: str, take: Callable[[str], str]
    ) -> None:
        self.page = page.encode()
        self.take = take
        self.taking = threading.Lock()
        super().__init__(folder, path, port, _EditorHandler)


class _EditorHandler(FolderHandler):
    server: _EditorServer

    def content_type(self) -> str:
        kind, _ = mimetypes.guess_type(self.path)
        return kind if kind is not None and kind.startswith("image/") else super().content_type()

    def do_GET(self) -> None:  # the name that http.server asks for
        if self._is_known() and self._asks_for(""):
            self._reply(HTTPStatus.OK, self.server.page, "text/html; charset=utf-8")
        else:
            super().do_GET()

    def _asks_for(self, name: str) -> bool:
        asked = self.path.encode("utf-8", "surrogatepass")
        return hmac.compare_digest(asked, f"{self.server.path}/{name}".encode())

    def do_PUT(self) -> None:  # the name that http.server asks for
        """Take the table: from the page itself, never from a request without an origin."""
        if not (self._is_known() and self._is_from_page()):
            self._reply(HTTPStatus.FORBIDDEN, b"")
        elif not self._asks_for("overrides.csv"):
            self._reply(HTTPStatus.NOT_FOUND, b"")
        else:
            self._take()

    def _take(self) -> None:
        given = self.headers.get("Content-Length", "")
        if not (given.isascii() and given.isdigit() and len(given) < 12):
            self._reply(HTTPStatus.LENGTH_REQUIRED, b"how long the table is was not said")
            return
        if int(given) > _MOST_BYTES:
            self._reply(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, b"too long for a table of overrides")
            return
        try:
            text = self.rfile.read(int(given)).decode("utf-8")
            with self.server.taking:
                said, status = self.server.take(text), HTTPStatus.OK
        except (MosaicflowError, UnicodeDecodeError, OSError) as error:
            said, status = f"not saved: {error}", HTTPStatus.UNPROCESSABLE_ENTITY
        self._reply(status, said.encode(), "text/plain; charset=utf-8")

    def _reply(self, status: HTTPStatus, content: bytes, kind: str = "text/plain") -> None:
        self.send_response(status)
        for name, value in (
            ("Content-Type", kind),
            ("X-Content-Type-Options", "nosniff"),
            ("Content-Security-Policy", _POLICY),
            ("Referrer-Policy", "no-referrer"),  # the address holds the secret
            ("Cache-Control", "no-store"),
            ("Content-Length", str(len(content))),
        ):
            self.send_header(name, value)
        if status is not HTTPStatus.OK:
            self.send_header("Connection", "close")  # what was sent with it is not read
            self.close_connection = True
        self.end_headers()
        self.wfile.write(content)
