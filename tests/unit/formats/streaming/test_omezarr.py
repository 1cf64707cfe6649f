"""Stores of both flavours, wherever they lie, and places that do not answer."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
import zipfile

import numpy as np
import pytest
import zarr

from mosaicflow.errors import FormatError, StoreError
from mosaicflow.formats import open_omezarr
from mosaicflow.formats.streaming import omezarr
from mosaicflow.formats.streaming.omezarr import open_pyramid
from mosaicflow.io.zarr import AnalysisOmeZarrWriter, save_omezarr

pytest.importorskip("vtk", reason="needs VTK: pip install 'mosaicflow[view]'")

DATA = np.random.default_rng(0).integers(1, 60000, (9, 70, 83)).astype(np.uint16)
PITCH_MM = (0.0035, 0.010, 0.011)


def save(path, flavour="0.5", shards=2, n_levels=2):
    save_omezarr(
        DATA,
        path,
        PITCH_MM,
        chunks=(4, 32, 32) if flavour == "0.4" else (4, 16, 16),
        n_levels=n_levels,
        ngff_version=flavour,
        sharding_factor=shards if flavour == "0.5" else 1,
    )
    return path


def whole(source, level):
    z, y, x = source.pyramid.level_shape(level)
    return source.pyramid.read_region(level, 0, x - 1, 0, y - 1, 0, z - 1, dtype=None)


def check(url, truth):
    source, info = open_omezarr(url)
    with source.pyramid:
        assert source.level == source.num_levels - 1 == 2
        assert [level["path"] for level in info["levels"]] == ["0", "1", "2"]
        assert [level["shape"] for level in info["levels"]] == [v.shape for v in truth]
        np.testing.assert_allclose(info["levels"][0]["spacing"], (3.5, 10, 11))
        assert source.level_spacings == [level["spacing"] for level in info["levels"]]
        assert [axis["name"] for axis in info["axes"]] == ["z", "y", "x"]
        assert info["unit"] == "micrometer"
        for number, values in enumerate(truth):
            np.testing.assert_array_equal(whole(source, number), values)


@pytest.fixture(params=[("0.4", 1), ("0.5", 1), ("0.5", 2)], ids=["0.4", "0.5", "sharded"])
def store(request, tmp_path):
    """A store and the truth of its levels, as zarr itself reads them."""
    path = save(tmp_path / "volume.ome.zarr", *request.param)
    group = zarr.open_group(path, mode="r")
    return path, [np.asarray(group[str(number)]) for number in range(3)]


def test_a_folder_as_path_text_and_file_url(store):
    path, truth = store
    for url in (path, str(path), f"file://{path}"):
        check(url, truth)


def test_a_zip_archive(store, tmp_path):
    path, truth = store
    archive = tmp_path / "volume.ome.zarr.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as out:
        for file in sorted(p for p in path.rglob("*") if p.is_file()):
            out.write(file, str(file.relative_to(path)))
    check(archive, truth)


def test_a_web_server(store, web):
    check(f"{web[0]}/volume.ome.zarr", store[1])


@pytest.fixture
def bucket(monkeypatch):
    """An object store that needs no credentials, as public data sets do not."""
    pytest.importorskip("s3fs", reason="needs s3fs: pip install 'mosaicflow[cloud]'")
    server_module = pytest.importorskip(
        "moto.server", reason="needs moto: pip install moto[server]"
    )
    import boto3
    import fsspec

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{port}")
    client = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id="a",
        aws_secret_access_key="b",
        region_name="us-east-1",
    )
    client.create_bucket(Bucket="stores", ACL="public-read")
    yield client
    server.stop()
    fsspec.filesystem("s3").clear_instance_cache()


def test_a_public_bucket_without_credentials(store, bucket):
    path, truth = store
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        key = f"data/{path.name}/{file.relative_to(path).as_posix()}"
        bucket.put_object(Bucket="stores", Key=key, Body=file.read_bytes(), ACL="public-read")
    check(f"s3://stores/data/{path.name}", truth)


def test_a_web_server_sends_only_the_chunks_that_a_region_touches(tmp_path, web):
    save(tmp_path / "volume.ome.zarr", "0.5", 2, n_levels=0)
    url, asked = web
    pyramid, _ = open_pyramid(f"{url}/volume.ome.zarr")
    asked.clear()
    pyramid.read_region(0, 17, 40, 3, 5, 2, 2)  # chunks 1 and 2 along x, in shards 0 and 1
    ranges = [(path.split("/c/")[1], part) for path, part in asked if "/c/" in path]
    assert {shard for shard, _ in ranges} == {"0/0/0", "0/0/1"}
    suffixes = [part for _, part in ranges if part.startswith("bytes=-")]
    assert len(suffixes) == 2  # the index of each shard, once
    assert len(ranges) == 4  # and one chunk of each
    assert len(asked) == len(ranges)
    pyramid.read_region(0, 16, 16, 16, 16, 2, 2)  # another chunk of the first shard
    assert len(asked) == 5
    assert not asked[-1][1].startswith("bytes=-")
    pyramid.read_region(0, 20, 30, 0, 20, 0, 3)
    assert len(asked) == 5
    pyramid.close()


def test_chunks_that_are_not_stored_are_zero(tmp_path, web):
    data = np.zeros((4, 32, 32), np.float32)
    data[:, :16, :16] = 2.5
    save_omezarr(data, tmp_path / "a.ome.zarr", 0.01, chunks=(4, 16, 16), ngff_version="0.5")
    source, _ = open_omezarr(f"{web[0]}/a.ome.zarr")
    np.testing.assert_array_equal(whole(source, 0), data)
    source.pyramid.close()


def test_translations_become_the_origins_of_the_levels(tmp_path):
    writer = AnalysisOmeZarrWriter(tmp_path / "v.ome.zarr", (40, 40, 40), 16)
    writer[:] = np.ones((40, 40, 40), np.float32)
    writer.finalize(0.01)
    source, info = open_omezarr(tmp_path / "v.ome.zarr")
    assert [level["spacing"][0] for level in info["levels"]] == [10, 25, 50, 100]
    assert source.pyramid.level_translation(2) == (20, 20, 20)


def write_v2(path, arrays, multiscale=None, kind="<u2"):
    """Write a Zarr v2 store with zarr alone, as other software does."""
    group = zarr.open_group(path, mode="w", zarr_format=2)
    for name, values in arrays.items():
        group.create_array(name, data=values, chunks=tuple(min(8, n) for n in values.shape))
    if multiscale is not None:
        (path / ".zattrs").write_text(json.dumps({"multiscales": [multiscale]}))


def transforms(scale, translation=None):
    found = [{"type": "scale", "scale": list(scale)}]
    if translation is not None:
        found.append({"type": "translation", "translation": list(translation)})
    return found


def axes(names, unit="micrometer"):
    kinds = {"t": "time", "c": "channel"}
    return [
        {"name": n, "type": kinds.get(n, "space")} | ({"unit": unit} if n in "zyx" and unit else {})
        for n in names
    ]


@pytest.mark.parametrize("flavour", ["0.4", "0.5"])
def test_time_and_channel_axes_are_shown_at_index_0(tmp_path, flavour):
    values = np.arange(2 * 3 * 4 * 5 * 6, dtype=np.uint16).reshape(2, 3, 4, 5, 6)
    path = tmp_path / "tc.zarr"
    image = {
        "axes": axes("tczyx"),
        "datasets": [
            {
                "path": "full",
                "coordinateTransformations": transforms((9, 1, 2, 3, 4), (0, 0, 5, 6, 7)),
            }
        ],
    }
    if flavour == "0.4":
        write_v2(path, {"full": values}, {**image, "version": "0.4"})
    else:
        group = zarr.open_group(path, mode="w", zarr_format=3)
        group.create_array("full", data=values, chunks=(1, 1, 2, 3, 4))
        group.attrs["ome"] = {"version": "0.5", "multiscales": [image]}
    source, info = open_omezarr(path)
    assert info["levels"] == [{"path": "full", "shape": (4, 5, 6), "spacing": (2, 3, 4)}]
    assert [axis["name"] for axis in info["axes"]] == list("tczyx")
    np.testing.assert_array_equal(whole(source, 0), values[0, 0])
    assert source.pyramid.level_translation(0) == (5, 6, 7)


def test_the_scale_of_the_multiscale_multiplies_that_of_the_dataset(tmp_path):
    path = tmp_path / "m.zarr"
    values = np.ones((4, 4, 4), np.uint8)
    write_v2(
        path,
        {"0": values, "1": values[::2, ::2, ::2]},
        {
            "version": "0.4",
            "axes": axes("zyx", "nanometer"),
            "datasets": [
                {"path": "0", "coordinateTransformations": transforms((1, 2, 3))},
                {"path": "1", "coordinateTransformations": transforms((2, 4, 6), (1, 1, 1))},
            ],
            "coordinateTransformations": transforms((10, 10, 0.5)),
        },
    )
    source, info = open_omezarr(path)
    assert [level["spacing"] for level in info["levels"]] == [(10, 20, 1.5), (20, 40, 3)]
    assert info["unit"] == "nanometer"  # numbers and unit as stored
    assert source.pyramid.level_translation(1) == (10, 10, 0.5)


def test_lengths_are_not_rounded_on_the_way(tmp_path):
    path = tmp_path / "m.zarr"
    scale = (4.123456789012e-9, 1e-10, 1e-10)
    write_v2(
        path,
        {"0": np.ones((4, 4, 4), np.uint8)},
        {
            "version": "0.4",
            "axes": axes("zyx", "meter"),
            "datasets": [{"path": "0", "coordinateTransformations": transforms(scale)}],
        },
    )
    assert open_omezarr(path)[1]["levels"][0]["spacing"] == scale


@pytest.mark.parametrize(
    ("units", "unit", "spacing"),
    [
        (("", "", ""), None, (2, 3, 4)),
        (("nanometer", "micrometer", "micrometer"), "micrometer", (0.002, 3, 4)),
        (("", "micrometer", "micrometer"), None, (2, 3, 4)),
    ],
)
def test_units_that_are_absent_or_differ(tmp_path, units, unit, spacing):
    path = tmp_path / "u.zarr"
    described = [
        {"name": n, "type": "space", **({"unit": u} if u else {})}
        for n, u in zip("zyx", units, strict=True)
    ]
    write_v2(
        path,
        {"0": np.ones((2, 2, 2), np.uint8)},
        {
            "version": "0.4",
            "axes": described,
            "datasets": [{"path": "0", "coordinateTransformations": transforms((2, 3, 4))}],
        },
    )
    _, info = open_omezarr(path)
    assert info["unit"] == unit
    assert info["axes"] == described
    assert info["levels"][0]["spacing"] == pytest.approx(spacing)


def test_a_plane_is_a_volume_one_voxel_deep(tmp_path):
    path = tmp_path / "plane.zarr"
    values = np.arange(30, dtype=np.uint8).reshape(5, 6)
    image = {
        "version": "0.4",
        "axes": axes("yx"),
        "datasets": [{"path": "0", "coordinateTransformations": transforms((3, 4))}],
    }
    write_v2(path, {"0": values}, image)
    source, info = open_omezarr(path)
    assert info["levels"] == [{"path": "0", "shape": (1, 5, 6), "spacing": (1, 3, 4)}]
    np.testing.assert_array_equal(whole(source, 0), values[np.newaxis])


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_without_multiscales_all_arrays_are_taken_by_name_with_spacing_1(tmp_path, zarr_format):
    path = tmp_path / "plain.zarr"
    group = zarr.open_group(path, mode="w", zarr_format=zarr_format)
    for name, side in (("10", 2), ("2", 4), ("0", 8)):
        group.create_array(name, data=np.full((side,) * 3, side, np.uint8), chunks=(2, 2, 2))
    group.create_array("times", data=np.arange(4.0))
    group.create_group("other")
    source, info = open_omezarr(path)
    assert [(level["path"], level["shape"][0]) for level in info["levels"]] == [
        ("0", 8),
        ("2", 4),
        ("10", 2),
    ]
    assert source.level_spacings == [(1, 1, 1)] * 3
    assert (info["axes"], info["unit"]) == ([], None)
    assert (whole(source, 1) == 4).all()


def test_a_bare_array_is_one_level(tmp_path):
    values = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    zarr.create_array(tmp_path / "bare.zarr", data=values, chunks=(2, 2, 2))
    source, info = open_omezarr(tmp_path / "bare.zarr")
    assert info["levels"] == [{"path": "", "shape": (3, 4, 5), "spacing": (1, 1, 1)}]
    np.testing.assert_array_equal(whole(source, 0), values)


def test_no_array_is_a_value_error(tmp_path):
    zarr.open_group(tmp_path / "empty.zarr", mode="w")
    with pytest.raises(ValueError, match=r"empty\.zarr: no array"):
        open_omezarr(tmp_path / "empty.zarr")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match="not a Zarr store but a folder"):
        open_omezarr(tmp_path / "folder")
    with pytest.raises(FileNotFoundError, match="nothing"):
        open_omezarr(tmp_path / "nothing.zarr")


def test_a_level_without_voxels_is_named(tmp_path):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    group.create_array("0", shape=(0, 4, 4), chunks=(1, 4, 4), dtype="u1")
    with pytest.raises(FormatError, match=r"a\.zarr: array '0' has no voxels"):
        open_pyramid(tmp_path / "a.zarr")


def test_a_store_that_is_not_on_the_server_is_named(web):
    with pytest.raises(StoreError, match=r"absent\.zarr: no such store"):
        open_omezarr(f"{web[0]}/absent.zarr")


@contextlib.contextmanager
def listening(answer):
    """Run a server that treats each connection as `answer` does; yields its port."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)

        def serve():
            while not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    connection, _ = server.accept()
                    threading.Thread(target=handle, args=(connection,), daemon=True).start()

        def handle(connection):
            with connection, contextlib.suppress(OSError):
                connection.recv(4096)
                answer(connection, stop)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        stop.set()
        thread.join()


def hang(connection, stop):
    stop.wait(60)


def drip(connection, stop):
    """Send a byte now and then: no single silence is long."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while not stop.wait(0.1):
        connection.sendall(b"{")


def fail(connection, stop):
    connection.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")


def cut(connection, stop):
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")


@pytest.mark.parametrize("answer", [hang, drip, fail, cut])
@pytest.mark.parametrize("protocol", ["http", "s3"])
def test_a_dead_store_is_an_error_in_bounded_time(monkeypatch, answer, protocol):
    monkeypatch.setattr(omezarr, "_PATIENCE_S", 1.0)
    with listening(answer) as port:
        if protocol == "s3":
            pytest.importorskip("s3fs")
            for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
                monkeypatch.delenv(name, raising=False)
            monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
            monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{port}")
        url = f"http://127.0.0.1:{port}" if protocol == "http" else "s3://bucket"
        began = time.monotonic()
        with pytest.raises(StoreError, match=r"a\.zarr: (no answer in time|cannot be reached)"):
            open_pyramid(f"{url}/a.zarr")
        assert time.monotonic() - began < 10
    if protocol == "s3":
        import fsspec

        fsspec.filesystem("s3").clear_instance_cache()


def test_a_refused_connection_is_an_error_at_once():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(StoreError, match="cannot be reached"):
        open_pyramid(f"http://127.0.0.1:{port}/a.zarr")


def test_a_store_that_dies_while_it_is_looked_at(tmp_path, monkeypatch, web, gate):
    """Opened well; then its server hangs: an error in bounded time, and coarse data meanwhile."""
    monkeypatch.setattr(omezarr, "_PATIENCE_S", 0.5)
    save(tmp_path / "volume.ome.zarr", n_levels=1)
    pyramid, _ = open_pyramid(f"{web[0]}/volume.ome.zarr")
    z, y, x = pyramid.level_shape(1)
    pyramid.read_region(1, 0, x - 1, 0, y - 1, 0, z - 1)
    gate.clear()
    began = time.monotonic()
    with pytest.raises(StoreError, match="no answer in time"):
        pyramid.read_region(0, 0, 3, 0, 3, 0, 3)
    pyramid.set_on_chunk_ready(lambda: None)
    assert pyramid.read_region(0, 0, 3, 0, 3, 0, 3).all()
    assert time.monotonic() - began < 5
    assert all(isinstance(error, StoreError) for error in pyramid.errors.values())
    gate.set()
    pyramid.close()


@pytest.mark.parametrize("way", ["drip", "cut"])
def test_bytes_of_a_chunk_that_come_too_slowly_or_end_early(tmp_path, monkeypatch, web, pace, way):
    """Opened well; then every silence is short, and the chunk never comes."""
    monkeypatch.setattr(omezarr, "_PATIENCE_S", 0.5)
    save(tmp_path / "volume.ome.zarr", n_levels=0)
    pyramid, _ = open_pyramid(f"{web[0]}/volume.ome.zarr")
    pace.add(way)
    began = time.monotonic()
    with pytest.raises(StoreError, match=r"no answer in time|cannot be reached"):
        pyramid.read_region(0, 0, 3, 0, 3, 0, 3)
    assert time.monotonic() - began < 10
    pace.clear()
    # Nothing of what came is kept: the next reader gets all.
    found = pyramid.read_region(0, 0, 3, 0, 3, 0, 3, dtype=None)
    np.testing.assert_array_equal(found, DATA[:4, :4, :4])
    pyramid.close()


READ = """
import sys
import numpy as np
from mosaicflow.formats.streaming.omezarr import open_pyramid
with open_pyramid(sys.argv[1])[0] as pyramid:
    np.save(sys.argv[2], pyramid.read_region(0, 5, 60, 3, 50, 1, 7, dtype=None))
"""


def test_a_web_server_with_a_certificate(tmp_path, secure_web):
    """By https, if who vouches for the server is trusted; otherwise an error that says so."""
    url, authority = secure_web
    save(tmp_path / "volume.ome.zarr", n_levels=0)
    with pytest.raises(StoreError, match=r"cannot be reached.*[Cc]ertificate"):
        open_pyramid(f"{url}/volume.ome.zarr")
    # What is trusted is read when a process starts.
    command = [sys.executable, "-c", READ, f"{url}/volume.ome.zarr", str(tmp_path / "found.npy")]
    subprocess.run(command, check=True, env=os.environ | {"SSL_CERT_FILE": str(authority)})
    np.testing.assert_array_equal(np.load(tmp_path / "found.npy"), DATA[1:8, 3:51, 5:61])
