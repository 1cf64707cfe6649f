"""A bucket on this machine, behind a proxy that fails when a test wants it to."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Handed on as they are, but for what belongs to one connection.
_OWN = {"connection", "transfer-encoding", "content-length", "date", "server"}


@dataclass
class Bucket:
    """An empty bucket: its address, what was asked of it, and what goes wrong."""

    address: str
    endpoint: str
    client: object
    asked: list[str] = field(default_factory=list)
    # Kinds of faults for the next requests: drop, cut, 503, slow.
    faults: list[str] = field(default_factory=list)
    # Only requests whose line ("GET /bucket/key range") contains this meet a fault.
    where: str = ""

    def put_tree(self, folder: Path, prefix: str) -> str:
        """Copy a folder of this machine into the bucket; give its address."""
        name = self.address.partition("://")[2]
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            key = f"{prefix}/{path.relative_to(folder).as_posix()}"
            self.client.put_object(Bucket=name, Key=key, Body=path.read_bytes())
        return f"{self.address}/{prefix}"

    def keys(self, prefix: str = "") -> dict[str, bytes]:
        """Read everything below a prefix, without faults."""
        faults, self.faults = self.faults, []
        name = self.address.partition("://")[2]
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=name, Prefix=prefix)
        keys = [one["Key"] for page in pages for one in page.get("Contents", ())]
        found = {k: self.client.get_object(Bucket=name, Key=k)["Body"].read() for k in keys}
        self.faults = faults
        return found


class _Proxy(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    bucket: Bucket
    behind: int

    def log_message(self, *_):
        """Stay silent."""

    def handle_one_request(self):
        with contextlib.suppress(ConnectionError):
            super().handle_one_request()

    def _pass_on(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        line = f"{self.command} {self.path} {self.headers.get('Range', '')}".strip()
        self.bucket.asked.append(line)
        is_meant = self.bucket.where in line
        fault = self.bucket.faults.pop(0) if is_meant and self.bucket.faults else ""
        if fault == "drop":
            self.close_connection = True
            self.connection.close()
            return
        if fault == "503":
            self._answer(503, {"Content-Type": "application/xml"}, _SLOW_DOWN, fault)
            return
        behind = http.client.HTTPConnection("127.0.0.1", self.behind)
        behind.request(self.command, self.path, body, dict(self.headers))
        found = behind.getresponse()
        content = found.read()
        kept = {k: v for k, v in found.getheaders() if k.lower() not in _OWN}
        if self.command == "HEAD":
            kept["Content-Length"] = found.getheader("Content-Length") or "0"
        self._answer(found.status, kept, content, fault)
        behind.close()

    def _answer(self, status, headers, content, fault):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault not in ("cut", "slow"):
            self.wfile.write(content)
            return
        half = len(content) // 2
        self.wfile.write(content[:half])
        self.wfile.flush()
        for n in range(half, len(content) if fault == "slow" else half):
            time.sleep(0.3)  # keeps every limit on silence
            self.wfile.write(content[n : n + 1])
            self.wfile.flush()
        self.close_connection = True
        self.connection.close()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass_on


_SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"


def environment(endpoint: str) -> dict[str, str]:
    """What a process needs to reach the bucket."""
    return {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ENDPOINT_URL_S3": endpoint,
    }


@contextlib.contextmanager
def faulty_bucket(name: str = "stores") -> Iterator[Bucket]:
    """Start a store with one empty bucket, and the proxy before it."""
    pytest.importorskip("s3fs", reason="needs the extra: pip install 'mosaicflow[cloud]'")
    needs = "needs moto: pip install moto[server]"
    server_module = pytest.importorskip("moto.server", reason=needs)
    import boto3
    import fsspec

    behind = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    behind.start()
    _, port = behind.get_host_and_port()
    handler = type("Proxy", (_Proxy,), {"behind": port})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as proxy:
        proxy.daemon_threads = True
        endpoint = f"http://127.0.0.1:{proxy.server_port}"
        client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}", **_KEYS)
        client.create_bucket(Bucket=name)
        handler.bucket = Bucket(f"s3://{name}", endpoint, client)
        thread = threading.Thread(target=proxy.serve_forever, daemon=True)
        thread.start()
        try:
            yield handler.bucket
        finally:
            proxy.shutdown()
            thread.join()
            behind.stop()
            fsspec.filesystem("s3").clear_instance_cache()


_KEYS = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
