"""The page that corrects places hands in one table; nobody else reaches anything."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

import pytest

from mosaicflow.errors import InputError
from mosaicflow.io.viewing.editor import EditorServer

PAGE = "<!doctype html><p>page</p>"


def take(text):
    if "bad" in text:
        raise InputError("row 1: bad", remedy="mend it")
    return f"saved {len(text)} characters"


@pytest.fixture
def server(tmp_path):
    package = tmp_path / "package"
    (package / "pictures").mkdir(parents=True)
    (package / "pictures" / "z00_top.jpg").write_bytes(b"\xff\xd8picture")
    (tmp_path / "secret.txt").write_text("secret")
    (package / "link.jpg").symlink_to(tmp_path / "secret.txt")
    with EditorServer(package, PAGE, take) as running:
        yield running


def ask(server, name="", method="GET", body=None, *, path=None, **headers):
    parts = urlsplit(server.url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
    connection.request(method, path or parts.path + name, body, headers)
    response = connection.getresponse()
    found = response.status, response.headers, response.read()
    connection.close()
    return found


def own(server):
    parts = urlsplit(server.url)
    return f"{parts.scheme}://{parts.netloc}"


def test_the_page_comes_with_a_policy_that_lets_it_reach_nothing_else(server):
    status, headers, body = ask(server)
    assert (status, body) == (200, PAGE.encode())
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["Referrer-Policy"] == "no-referrer"


def test_pictures_are_pictures_and_links_out_are_not_followed(server):
    status, headers, body = ask(server, "pictures/z00_top.jpg")
    assert (status, headers["Content-Type"], body[:2]) == (200, "image/jpeg", b"\xff\xd8")
    assert ask(server, "link.jpg")[0] == 404
    assert ask(server, "../secret.txt")[0] == 404


def test_the_page_hands_in_its_table(server):
    status, _, said = ask(server, "overrides.csv", "PUT", "kind\n", Origin=own(server))
    assert (status, said) == (200, b"saved 5 characters")


def test_a_table_that_cannot_be_followed_is_refused_with_the_reason(server):
    status, _, said = ask(server, "overrides.csv", "PUT", "bad", Origin=own(server))
    assert status == 422
    assert said.startswith(b"not saved: row 1: bad")


@pytest.mark.parametrize(
    "headers",
    [{}, {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Host": "evil.example:80"}],
)
def test_nobody_else_hands_in_anything(server, headers):
    assert ask(server, "overrides.csv", "PUT", "kind\n", **headers)[0] == 403


def test_without_the_secret_there_is_nothing(server):
    for path in ("/", "/overrides.csv", "/pictures/z00_top.jpg"):
        assert ask(server, path=path)[0] == 404
        assert ask(server, path=path, method="PUT", body="x", Origin=own(server))[0] == 404


def test_another_name_for_this_machine_is_refused(server):
    assert ask(server, Host="evil.example")[0] == 403


def test_a_table_of_any_length_is_not_taken_in(server):
    origin = own(server)
    long = {"Origin": origin, "Content-Length": str(1 << 40)}
    assert ask(server, "overrides.csv", "PUT", **long)[0] in (411, 413)
    assert ask(server, "overrides.csv", "PUT", Origin=origin, **{"Content-Length": "-1"})[0] == 411
