"""What people see who type something wrong, or have no network, disk or window."""

from __future__ import annotations

import functools
import http.server
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest

from mosaicflow.cli.convert import convert
from mosaicflow.cli.info import info
from mosaicflow.cli.screenshot import screenshot
from mosaicflow.cli.view import view
from mosaicflow.errors import FormatError, MissingExtraError, StoreError
from mosaicflow.io.viewing import viewers
from mosaicflow.io.viewing.server import StoreServer
from mosaicflow.io.zarr import OmeZarrWriter, open_level, read_omezarr, save_omezarr

from .conftest import noise

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def test_a_file_is_no_store(tmp_path):
    path = tmp_path / "notes.zarr"
    path.write_text("hello")
    for command in (info, lambda p: screenshot(p, tmp_path / "a.png")):
        with pytest.raises(StoreError, match=r"notes\.zarr: not a Zarr store but a file"):
            command(str(path))
    with pytest.raises(StoreError, match="not a Zarr store but a file"):
        convert(str(path), str(tmp_path / "b.ome.zarr"))


def test_an_output_that_cannot_be_written_is_named(tmp_path, store):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"file/a\.png.*check the path"):
        screenshot(str(store), tmp_path / "file" / "a.png")
    for name in ("a.ome.zarr", "a.nii", "a.ome.tif", "planes", "a.ome.zarr.zip"):
        with pytest.raises(StoreError, match="check the path"):
            convert(str(store), str(tmp_path / "file" / name))
    screenshot(str(store), tmp_path / "new" / "folder" / "a.png")
    assert (tmp_path / "new" / "folder" / "a.png").is_file()


def test_malformed_array_metadata_is_found(tmp_path):
    save_omezarr(noise((4, 8, 8)), tmp_path / "a.ome.zarr", 0.01)
    (tmp_path / "a.ome.zarr" / "0" / ".zarray").write_text('{"zarr_format": 2}')
    with pytest.raises(FormatError, match=r"a\.ome\.zarr: metadata of array '0' is malformed"):
        info(str(tmp_path / "a.ome.zarr"))


def test_a_failed_conversion_leaves_nothing(tmp_path, store, flavour):
    folder = store / "0" / ("0/0" if flavour == "0.4" else "c/0/0")
    (folder / "1").write_bytes(b"broken")
    before = sorted(tmp_path.iterdir())
    for output, options in (("b.ome.zarr", {}), ("c.ome.zarr", {"n_levels": 2}), ("d.nii", {})):
        with pytest.raises(StoreError, match="cannot decode chunk"):
            convert(str(store), str(tmp_path / output), **options)
    assert sorted(tmp_path.iterdir()) == before


@pytest.fixture
def many(tmp_path, flavour) -> Path:
    """A store of two times and three channels, as others write them."""
    import zarr

    path = tmp_path / "many.ome.zarr"
    data = noise((2, 3, 4, 20, 30), "uint8")
    axes = [{"name": n, "type": t} for n, t in (("t", "time"), ("c", "channel"))]
    axes += [{"name": n, "type": "space", "unit": "micrometer"} for n in "zyx"]
    scale = {"type": "scale", "scale": [1, 1, 1.5, 10, 10]}
    image = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": [scale]}]}
    zarr_format = 2 if flavour == "0.4" else 3
    group = zarr.create_group(path, zarr_format=zarr_format)
    group.create_array("0", data=data, chunks=(1, 1, 4, 20, 30))
    if flavour == "0.4":
        group.attrs["multiscales"] = [{"version": "0.4", **image}]
    else:
        group.attrs["ome"] = {"version": "0.5", "multiscales": [image]}
    return path


def test_channel_and_time_are_chosen_on_the_command_line(tmp_path, many):
    data = noise((2, 3, 4, 20, 30), "uint8")
    for command in (
        lambda: convert(str(many), str(tmp_path / "b.ome.zarr")),
        lambda: screenshot(str(many), tmp_path / "a.png"),
    ):
        with pytest.raises(FormatError, match=r"axis 't' has 2 entries.*channel= or time="):
            command()
    convert(str(many), str(tmp_path / "b.ome.zarr"), channel=2, time=1)
    np.testing.assert_array_equal(open_level(tmp_path / "b.ome.zarr")[...], data[1, 2])
    screenshot(str(many), tmp_path / "a.png", channel=2, time=1)
    assert (tmp_path / "a.png").is_file()
    layer = viewers.napari_layer(many, viewers.StoreChoice(channel=2, time=1))
    np.testing.assert_array_equal(np.asarray(layer["data"][0]), data[1, 2])


@pytest.fixture
def plain_server(tmp_path) -> Iterator[str]:
    """A web server that sends whole files only."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            """Stay silent."""

    handler = functools.partial(Handler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_shards_on_the_web_need_byte_ranges(tmp_path, plain_server):
    pytest.importorskip("aiohttp")
    path = tmp_path / "a.ome.zarr"
    save_omezarr(noise((6, 40, 50)), path, 0.01, chunks=(6, 20, 20), ngff_version="0.5")
    with pytest.raises(StoreError, match="does not honour byte ranges"):
        read_omezarr(f"{plain_server}/a.ome.zarr")
    with StoreServer(path) as server:
        image, _ = read_omezarr(server.url)
        np.testing.assert_array_equal(image.compute(), noise((6, 40, 50)))


def test_what_cannot_be_reached_is_named(tmp_path):
    pytest.importorskip("aiohttp")
    with pytest.raises(StoreError, match=r"127\.0\.0\.1:1/a\.ome\.zarr: cannot be reached"):
        read_omezarr("http://127.0.0.1:1/a.ome.zarr")
    with pytest.raises(StoreError, match="a web server is read only"):
        OmeZarrWriter("http://127.0.0.1:1/a.ome.zarr", (4, 8, 8))


def test_napari_needs_a_window(store, monkeypatch):
    for name in viewers._DISPLAYS:
        monkeypatch.delenv(name, raising=False)
    assert sys.platform != "linux" or not viewers.has_napari()
    monkeypatch.setattr(viewers, "has_napari", lambda: False)
    with pytest.raises(MissingExtraError, match="--viewer neuroglancer"):
        view(str(store), viewer="napari")


def test_warnings_are_one_line(many):
    path = many / ("zarr.json" if (many / "zarr.json").exists() else ".zattrs")
    path.write_text(path.read_text().replace("micrometer", "furlong"))
    code = "from mosaicflow.cli.main import main; main()"
    command = [sys.executable, "-c", code, "screenshot", str(many), str(many) + ".png"]
    run = subprocess.run(
        [*command, "--channel", "0", "--time", "0"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONWARNINGS": "default::UserWarning"},
    )
    assert run.stderr.startswith("warning: ")
    assert "no known length unit" in run.stderr
    assert "info.py" not in run.stderr
