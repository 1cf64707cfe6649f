"""The local server shows one store to one page, and nothing else to anybody."""

from __future__ import annotations

import http.client
import os
import socket
import time
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mosaicflow.io.viewing import server as server_module
from mosaicflow.io.viewing.server import StoreServer

PAGE = "http://127.0.0.1:4711"
SECRET = b"secret"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A store beside other people's files, with links out of it and a pipe inside."""
    home = tmp_path_factory.mktemp("home")
    (home / "id_rsa").write_bytes(SECRET)
    (home / ".ssh").mkdir()
    (home / ".ssh" / "id_rsa").write_bytes(SECRET)
    store = home / "a.ome.zarr"
    (store / "0").mkdir(parents=True)
    (store / ".zattrs").write_bytes(b"own attributes")
    (store / "0" / "0").write_bytes(b"chunk")
    (store / "file_link").symlink_to(home / "id_rsa")
    (store / "folder_link").symlink_to(home)
    (store / "inner_link").symlink_to(store / ".zattrs")
    os.mkfifo(store / "pipe")
    return home


@pytest.fixture(scope="module")
def server(home):
    with StoreServer(home / "a.ome.zarr") as running:
        running.allow_page(f"{PAGE}/v/token/")
        yield running


def ask(server, path, method="GET", *, within=True, **headers):
    """Status, headers and body; the path is sent as it is."""
    parts = urlsplit(server.url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
    connection.putrequest(
        method, parts.path + path if within else path, skip_host="Host" in headers
    )
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, response.headers, body


def test_the_stores_own_files_come_to_programs_and_to_the_viewers_page(server):
    for headers in ({}, {"Origin": PAGE}):
        status, found, body = ask(server, "/.zattrs", **headers)
        assert (status, body) == (200, b"own attributes")
        assert found["Access-Control-Allow-Origin"] == headers.get("Origin")
    assert ask(server, "/inner_link")[2] == b"own attributes"
    assert ask(server, "/0/0", "HEAD")[1]["Content-Length"] == "5"


@pytest.mark.parametrize(
    "path",
    [
        "/../id_rsa",
        "/%2e%2e/id_rsa",
        "/..%2fid_rsa",
        "/0/../../id_rsa",
        "//etc/passwd",
        "/%2fetc/passwd",
        "/file_link",
        "/folder_link/id_rsa",
        "/folder_link/.ssh/id_rsa",
        "/pipe",
        "/0",
        "/",
        "",
        "/%00",
        "/.zattrs%00",
        "/0/9",
    ],
)
def test_what_is_no_file_of_the_store_is_not_there(server, path):
    status, _, body = ask(server, path)
    assert (status, body) == (404, b"")


def test_without_the_secret_nothing_is_there(server, home):
    token = urlsplit(server.url).path.split("/")[1]
    assert len(token) >= 22  # 128 bits
    for path in (
        "/",
        "/a.ome.zarr/.zattrs",
        "/id_rsa",
        f"/{token}",
        f"/{token}/",
        f"/{token}/id_rsa",
        f"/{token[:-1]}/a.ome.zarr/.zattrs",
        f"/{'x' * len(token)}/a.ome.zarr/.zattrs",
        f"/{token}/a.ome.zarr/../id_rsa",
    ):
        assert ask(server, path, within=False)[::2] == (404, b"")
    with StoreServer(home / "a.ome.zarr") as another:
        assert urlsplit(another.url).path != urlsplit(server.url).path


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example.com"},
        {"Host": "evil.example.com:80"},
        {"Host": "127.0.0.1"},
        {"Host": ""},
        {"Origin": "https://evil.example.com"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:4712"},
        {"Origin": f"{PAGE}.evil.example.com"},
        {"Host": "evil.example.com", "Origin": PAGE},
    ],
)
def test_another_name_or_page_is_refused(server, method, headers):
    status, found, body = ask(server, "/.zattrs", method, **headers)
    assert (status, body) == (403, b"")
    assert found["Access-Control-Allow-Origin"] in {None, PAGE}


def test_before_a_page_is_named_no_page_is_let_in(home):
    with StoreServer(home / "a.ome.zarr") as closed:
        assert ask(closed, "/.zattrs", Origin="")[0] == 403
        assert ask(closed, "/.zattrs", Origin=PAGE)[0] == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE"])
def test_nothing_can_be_written(server, home, method):
    assert ask(server, "/.zattrs", method)[0] == 501
    assert (home / "a.ome.zarr" / ".zattrs").read_bytes() == b"own attributes"


@pytest.mark.parametrize(
    "wanted", ["bytes=" + "9" * 5000, "bytes=-", "bytes=a-b", "bytes=9-", "bytes=3-2", "lines=0-1"]
)
def test_a_range_that_makes_no_sense_is_answered(server, wanted):
    status, headers, body = ask(server, "/0/0", Range=wanted)
    assert (status, body) == (416, b"")
    assert headers["Content-Range"] == "bytes */5"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(first=st.integers(0, 10**20), last=st.integers(0, 10**20))
def test_every_range_gives_the_bytes_it_names(server, first, last):
    status, _, body = ask(server, "/0/0", Range=f"bytes={first}-{last}")
    expected = b"chunk"[first : last + 1]
    readable = last < 10**19 or first >= 5
    assert body == (expected if readable else b"")
    assert status == (206 if expected and readable else 416)


def connected(server):
    return socket.create_connection(("127.0.0.1", urlsplit(server.url).port), timeout=60)


def test_connections_are_bounded_and_a_slow_request_is_given_up(home, monkeypatch):
    monkeypatch.setattr(server_module, "_MOST_CONNECTIONS", 4)
    monkeypatch.setattr(server_module, "_PATIENCE_S", 1.0)
    monkeypatch.setattr(server_module.FolderHandler, "timeout", 1.0)
    with StoreServer(home / "a.ome.zarr") as busy:
        held = [connected(busy) for _ in range(4)]
        time.sleep(0.2)  # each is taken up in turn
        with connected(busy) as refused:
            refused.settimeout(60)
            assert refused.recv(1) == b""
        start = time.monotonic()
        while time.monotonic() < start + 1.5:  # a byte at a time keeps no connection
            for one in held:
                try:
                    one.send(b"G")
                except OSError:
                    break
            time.sleep(0.1)
        deadline = time.monotonic() + 60
        while (status := answered(busy)) != 200 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert status == 200
        for one in held:
            one.close()


def answered(server):
    try:
        return ask(server, "/.zattrs")[0]
    except OSError:
        return None


def test_a_broken_request_gets_an_answer_and_no_traceback(server, capfd):
    for request in (b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9\r\n\r\n", b"\xff\xfe\r\n\r\n"):
        with connected(server) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4096):
                pass
    with connected(server) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n")
        assert b" 431 " in connection.recv(4096)
    assert capfd.readouterr() == ("", "")
