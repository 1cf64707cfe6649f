"""What people see of a store: text, picture, viewer."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from urllib.parse import urlsplit

import numpy as np
import pytest

from mosaicflow.cli.info import info
from mosaicflow.cli.screenshot import screenshot
from mosaicflow.cli.view import view
from mosaicflow.errors import StoreError
from mosaicflow.io.viewing.server import StoreServer
from mosaicflow.io.viewing.viewers import napari_layer
from mosaicflow.io.zarr import (
    OmeZarrWriter,
    is_finished,
    save_omezarr,
    validate_omezarr,
)

from .conftest import RESOLUTION_MM, noise


def test_info_tells_everything_about_a_grid(tmp_path, capsys, flavour):
    path = tmp_path / "mosaic_grid_3d_z03.ome.zarr"
    writer = OmeZarrWriter(
        path,
        (6, 60, 80),
        (6, 20, 20),
        np.uint16,
        ngff_version=flavour,
        attrs={
            "kind": "mosaic_grid",
            "tile_shape": [6, 20, 20],
            "grid_shape": [3, 4],
            "missing_tiles": [[0, 2], [2, 3]],
        },
    )
    writer[:] = 1
    writer.finalize(RESOLUTION_MM, n_levels=1)
    assert info(str(path), check=True) == 0
    text = capsys.readouterr().out
    for part in (
        "mosaic_grid_3d_z03",
        f"NGFF {flavour}",
        "6 x 60 x 80 uint16",
        "(1.5, 10, 10) um",
        "chunks 6 x 20 x 20",
        "blosc-lz4",
        "3 x 4 tiles (y x) of 6 x 20 x 20 px",
        "2 of 12 missing: (0, 2), (2, 3)",
        "kind       mosaic_grid",
        "(1.5, 20, 20) um",
        "valid      yes (metadata and chunks checked)",
    ):
        assert part in text
    assert ("shards 6 x 80 x 80" in text) == (flavour == "0.5")


def test_info_lists_every_damaged_chunk_and_fails(store, capsys, flavour):
    folder = store / "0" / ("0/0" if flavour == "0.4" else "c/0/0")
    for file in folder.iterdir():
        file.write_bytes(b"broken")
    assert info(str(store)) == 0
    assert info(str(store), check=True) == 1
    text = capsys.readouterr().out
    assert text.count("cannot decode") == 3
    assert "valid      no" in text


@pytest.mark.parametrize(
    ("chunks", "lattice", "severity"),
    [((6, 20, 20), [3, 4], None), ((6, 32, 32), [3, 4], "warning"), ((6, 20, 20), [3, 5], "error")],
)
def test_a_lattice_that_is_not_that_of_the_array_is_found(tmp_path, chunks, lattice, severity):
    block = {"kind": "mosaic_grid", "tile_shape": [6, 20, 20], "grid_shape": lattice}
    save_omezarr(noise((6, 60, 80)), tmp_path / "a.ome.zarr", 0.01, chunks, attrs=block)
    found = [problem.severity for problem in validate_omezarr(tmp_path / "a.ome.zarr")]
    assert found == ([severity] if severity else [])
    assert info(str(tmp_path / "a.ome.zarr")) == (severity == "error")


def test_info_shows_an_unfinished_store(tmp_path, capsys):
    OmeZarrWriter(tmp_path / "a.ome.zarr", (6, 8, 8))[:] = 1
    (tmp_path / ".a.ome.zarr.tmp").rename(tmp_path / "b.ome.zarr")
    info(str(tmp_path / "b.ome.zarr"))
    text = capsys.readouterr().out
    assert "NGFF none" in text
    assert "unfinished or foreign" in text
    with pytest.raises(StoreError, match="no such store"):
        info(str(tmp_path / "nothing.ome.zarr"))


def test_info_guesses_units(tmp_path, capsys):
    with pytest.warns(UserWarning, match="units look wrong"):
        save_omezarr(np.ones((2, 4, 4)), tmp_path / "a.ome.zarr", (1.5e-6, 1e-5, 1e-5))
    info(str(tmp_path / "a.ome.zarr"), guess_units=True)
    text = capsys.readouterr().out
    assert "if it was meant in mm (z 1.5, y 10, x 10) um" in text
    assert "look like millimetre" in text


def test_a_screenshot_shows_three_planes(tmp_path, flavour):
    from PIL import Image

    data = np.full((20, 60, 80), 10, np.float32)
    data[10, :, :] = 20
    data[:, 30, :] = 30
    data[:, :, 40] = 40
    data += noise(data.shape) * 0.01
    save_omezarr(data, tmp_path / "a.ome.zarr", 0.01, ngff_version=flavour)
    output = tmp_path / "a.png"
    screenshot(str(tmp_path / "a.ome.zarr"), output, percentiles=(0, 100))
    picture = np.asarray(Image.open(output))
    assert picture.shape == (60 + 8 + 20, 80 + 8 + 20)
    lateral, front, side = picture[:60, :80], picture[68:, :80], picture[:60, 88:]
    assert lateral[30, 40] > lateral[30, 5] > lateral[5, 5]
    assert (front[:, 40] > 240).all()
    assert (side > 240).all()
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_planes_have_the_physical_aspect(tmp_path):
    from PIL import Image

    save_omezarr(noise((100, 60, 80)), tmp_path / "a.ome.zarr", (0.0015, 0.01, 0.01))
    screenshot(str(tmp_path / "a.ome.zarr"), tmp_path / "a.png")
    height, width = np.asarray(Image.open(tmp_path / "a.png")).shape
    scale = 100 / 0.8  # the longest side in voxels over the largest extent in mm
    assert height == pytest.approx(scale * (0.6 + 0.15) + 8, abs=2)
    assert width == pytest.approx(scale * (0.8 + 0.15) + 8, abs=2)


def test_a_projection_has_one_plane(tmp_path):
    from PIL import Image

    save_omezarr(noise((60, 80), "uint16"), tmp_path / "a.ome.zarr", 0.01)
    screenshot(str(tmp_path / "a.ome.zarr"), tmp_path / "a.png", level=0)
    assert np.asarray(Image.open(tmp_path / "a.png")).shape == (60, 80)
    with pytest.raises(ValueError, match="percentiles"):
        screenshot(str(tmp_path / "a.ome.zarr"), tmp_path / "a.png", percentiles=(50, 10))
    with pytest.raises(ValueError, match=r"ends in \.png"):
        screenshot(str(tmp_path / "a.ome.zarr"), tmp_path / "a.jpg")


def ask(url: str, method: str = "GET", **headers: str):
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
    connection.request(method, parts.path, headers=headers)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, dict(response.headers), body


def test_the_server_lets_the_viewers_page_in_and_sends_ranges(store, flavour):
    name = ".zattrs" if flavour == "0.4" else "zarr.json"
    content = (store / name).read_bytes()
    with StoreServer(store) as server:
        server.allow_page("http://127.0.0.1:4711/v/abc/")
        status, headers, body = ask(f"{server.url}/{name}", Origin="http://127.0.0.1:4711")
        assert (status, body) == (200, content)
        assert headers["Access-Control-Allow-Origin"] == "http://127.0.0.1:4711"
        status, headers, body = ask(f"{server.url}/{name}", Range="bytes=3-9")
        assert (status, body) == (206, content[3:10])
        assert headers["Content-Range"] == f"bytes 3-9/{len(content)}"
        assert ask(f"{server.url}/{name}", Range="bytes=-5")[2] == content[-5:]
        assert ask(f"{server.url}/{name}", Range="bytes=5-")[2] == content[5:]
        assert ask(f"{server.url}/{name}", Range="bytes=99999-")[0] == 416
        page = {"Origin": "http://127.0.0.1:4711"}
        status, headers, _ = ask(f"{server.url}/{name}", "OPTIONS", **page)
        assert (status, headers["Access-Control-Allow-Headers"]) == (204, "Range")
        assert ask(f"{server.url}/0/9/9/9")[0] == 404
        assert ask(f"{server.url}/0")[0] in {301, 404}
        assert ask(f"{server.url}/../../../etc/passwd")[0] == 404


def test_a_server_need_not_list_folders(store, capsys):
    pytest.importorskip("aiohttp")
    with StoreServer(store) as server:
        assert is_finished(server.url)
        assert not is_finished(server.url + "x")
        assert info(server.url) == 0
        assert "unknown stored" in capsys.readouterr().out
        with pytest.raises(StoreError, match=r"no such store|local disk only"):
            info(server.url + ".zip")


def test_a_served_store_is_read_by_another_program(store):
    pytest.importorskip("tensorstore")
    driver = "zarr" if (store / ".zattrs").exists() else "zarr3"
    with StoreServer(store) as server:
        code = (
            "import tensorstore as ts, sys;"
            f"a = ts.open({{'driver': '{driver}', 'kvstore': '{server.url}/0/'}}).result();"
            "print(float(a.read().result().sum(dtype='f8')))"
        )
        run = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
        )
    assert float(run.stdout) == pytest.approx(noise((6, 40, 50)).sum(dtype="f8"))


def test_napari_gets_all_levels_with_scale_and_contrast(store):
    layer = napari_layer(store)
    assert [image.shape for image in layer["data"]] == [(6, 40, 50), (6, 20, 25)]
    assert layer["scale"] == (1.5, 10.0, 10.0)
    low, high = layer["contrast_limits"]
    assert 0 < low < high < noise((6, 40, 50)).max()


def test_napari_gets_the_place_of_the_first_voxel(tmp_path):
    save_omezarr(noise((4, 8, 8)), tmp_path / "a.ome.zarr", 0.01)
    metadata = tmp_path / "a.ome.zarr" / ".zattrs"
    document = json.loads(metadata.read_text())
    transforms = document["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    transforms.append({"type": "translation", "translation": [5.0, 20.0, 30.0]})
    metadata.write_text(json.dumps(document))
    assert napari_layer(tmp_path / "a.ome.zarr")["translate"] == (5.0, 20.0, 30.0)


@pytest.mark.filterwarnings("ignore")  # of tornado and neuroglancer
def test_neuroglancer_gets_source_and_contrast(store):
    pytest.importorskip("neuroglancer")
    from mosaicflow.io.viewing.viewers import neuroglancer_viewer

    viewer = neuroglancer_viewer(store, "http://127.0.0.1:1/x.ome.zarr")
    layer = viewer.state.to_json()["layers"][0]
    assert layer["name"] == "slice_z00"
    assert layer["source"][0]["url"] == "zarr://http://127.0.0.1:1/x.ome.zarr"
    low, high = layer["shaderControls"]["normalized"]["range"]
    assert 0 < low < high


def test_an_archive_cannot_be_viewed_in_a_browser(tmp_path, store):
    from mosaicflow.io.zarr.transcode import zip_store

    zip_store(store, tmp_path / "a.ome.zarr.zip")
    with pytest.raises(StoreError, match="cannot look into a zip"):
        view(str(tmp_path / "a.ome.zarr.zip"), viewer="neuroglancer")


@pytest.mark.filterwarnings("ignore")  # of tornado and neuroglancer
@pytest.mark.parametrize(
    ("dtype", "options"),
    [("float64", {}), ("complex64", {}), ("uint8", {"compressor": "lz4"})],
)
def test_what_neuroglancer_cannot_show_is_said(tmp_path, dtype, options):
    pytest.importorskip("neuroglancer")
    save_omezarr(noise((4, 8, 8), dtype), tmp_path / "a.ome.zarr", 0.01, **options)
    with pytest.raises(StoreError, match=r"Neuroglancer cannot show .* voxels in"):
        view(str(tmp_path / "a.ome.zarr"), viewer="neuroglancer", browser=False)


@pytest.mark.filterwarnings("ignore")  # of tornado and neuroglancer
def test_neuroglancer_shows_the_lateral_plane_first_and_whole(store):
    pytest.importorskip("neuroglancer")
    from mosaicflow.io.viewing.viewers import neuroglancer_viewer

    state = neuroglancer_viewer(store, "http://127.0.0.1:1/x.ome.zarr").state
    assert state.dimensions.names == ("x", "y", "z")
    np.testing.assert_allclose(state.dimensions.scales, (1e-5, 1e-5, 1.5e-6))
    panel_um = 450 * state.cross_section_scale * 1.5  # zoom counts the finest voxels
    assert panel_um == pytest.approx(500)
