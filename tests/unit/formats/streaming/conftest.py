"""Small pyramids with known voxels, and a web server that notes what is asked of it."""

from __future__ import annotations

import contextlib
import datetime
import functools
import ipaddress
import ssl
import threading
import time
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

    def __init__(self, asked, gate, pace, *arguments, **options):
        self.asked, self.gate, self.pace = asked, gate, pace
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
        if "cut" in self.pace:
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
        elif "drip" in self.pace:
            self._drip(body)
        else:
            self.wfile.write(body)

    def _drip(self, body):
        """Send a byte now and then: no single silence is long."""
        for byte in body:
            self.wfile.write(bytes([byte]))
            time.sleep(0.02)
            if "drip" not in self.pace:
                break

    def handle(self):
        with contextlib.suppress(ConnectionError):  # the reader had enough
            super().handle()

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
def pace():
    """How the web server sends what was asked for: at once, or with "cut" or "drip" in it."""
    return set()


@contextlib.contextmanager
def serving(handler, context=None):
    """Run a server; yields its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
            server.handle_error = lambda *_: None  # a client that trusts nobody hangs up
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture
def web(tmp_path, gate, pace):
    """Serve `tmp_path`; yields the address and the list of (path, range) asked for."""
    asked = []
    handler = functools.partial(RangeHandler, asked, gate, pace, directory=str(tmp_path))
    with serving(handler) as port:
        yield f"http://127.0.0.1:{port}", asked
        gate.set()
        pace.clear()


@pytest.fixture
def secure_web(tmp_path, tmp_path_factory, gate, pace):
    """Serve `tmp_path` by https; yields the address and the certificate of who vouches for it."""
    folder = tmp_path_factory.mktemp("certificates")
    authority, chain = certificates(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    handler = functools.partial(RangeHandler, [], gate, pace, directory=str(tmp_path))
    with serving(handler, context) as port:
        yield f"https://127.0.0.1:{port}", authority


def certificates(folder):
    """Make an authority, and the key and certificate of 127.0.0.1 that it signs."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    today = datetime.datetime.now(datetime.UTC)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("test", "server")
    ]
    made = []
    for key, name, is_authority in zip(keys, names, (True, False), strict=True):
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(names[0])
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(today - datetime.timedelta(days=1))
            .not_valid_after(today + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            # Python 3.13 asks for the identifiers, and for the use of the key.
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(keys[0].public_key()), False
            )
        )
        if is_authority:
            signs = dict.fromkeys(
                (
                    "digital_signature",
                    "content_commitment",
                    "key_encipherment",
                    "data_encipherment",
                    "key_agreement",
                    "crl_sign",
                    "encipher_only",
                    "decipher_only",
                ),
                False,
            )
            usage = x509.KeyUsage(key_cert_sign=True, **signs)
            builder = builder.add_extension(usage, critical=True)
        else:
            address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
            builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
        made.append(builder.sign(keys[0], hashes.SHA256()))
    authority, chain = folder / "authority.pem", folder / "server.pem"
    pem = serialization.Encoding.PEM
    authority.write_bytes(made[0].public_bytes(pem))
    plain = serialization.NoEncryption()
    private = keys[1].private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    chain.write_bytes(private + made[1].public_bytes(pem))
    return authority, chain
