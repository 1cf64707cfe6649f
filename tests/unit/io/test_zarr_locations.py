"""Stores in memory, in a zip archive, on a web server and in a bucket."""

from __future__ import annotations

import functools
import http.server
import threading
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest

from mosaicflow.errors import ParameterError, StoreError
from mosaicflow.io.zarr import (
    AnalysisOmeZarrWriter,
    OmeZarrWriter,
    is_finished,
    open_level,
    read_omezarr,
    read_omezarr_info,
    save_omezarr,
    validate_omezarr,
)

from .conftest import RESOLUTION_MM, noise

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DATA = noise((6, 40, 50))


def check_reading(address) -> None:
    image, resolution = read_omezarr(address)
    assert resolution == RESOLUTION_MM
    np.testing.assert_array_equal(image.compute(), DATA)
    np.testing.assert_array_equal(open_level(address)[2, 3:9], DATA[2, 3:9])
    assert read_omezarr_info(address).shapes[1] == (6, 20, 25)
    assert validate_omezarr(address, chunks=True) == []
    assert is_finished(address)


def check_writing(address, flavour) -> None:
    options = {"chunks": (6, 20, 20), "n_levels": 1, "ngff_version": flavour}
    save_omezarr(DATA[:, :8, :8], address, 0.01, n_levels=2, ngff_version=flavour)
    save_omezarr(DATA, address, RESOLUTION_MM, **options)
    check_reading(address)
    assert len(read_omezarr_info(address).levels) == 2
    with pytest.raises(FileExistsError):
        OmeZarrWriter(address, DATA.shape, overwrite=False)
    image, resolution = read_omezarr(address)
    with pytest.raises(StoreError, match="is also the input"):
        save_omezarr(image, address, resolution)
    writer = OmeZarrWriter(address, DATA.shape, ngff_version=flavour)
    writer[:] = DATA
    assert not is_finished(address)
    with pytest.raises(StoreError, match="unfinished"):
        read_omezarr(address)
    writer.discard()
    assert not is_finished(address)
    with pytest.raises(StoreError, match="no such store"):
        read_omezarr(address)
    analysis = AnalysisOmeZarrWriter(address, DATA.shape, 16, ngff_version=flavour)
    analysis[:] = DATA
    analysis.finalize(0.01)
    np.testing.assert_array_equal(open_level(address)[...], DATA)
    assert [s[0] for s in read_omezarr_info(address).scales_um] == [10.0, 25.0, 50.0, 100.0]


def test_memory(flavour):
    import fsspec

    check_writing(f"memory://bucket/{flavour}/a.ome.zarr", flavour)
    kept = fsspec.filesystem("memory").ls(f"/bucket/{flavour}", detail=False)
    assert kept == [f"/bucket/{flavour}/a.ome.zarr"]


@pytest.mark.parametrize("layout", ["root", "folder"])
def test_zip_archives_of_both_layouts(tmp_path, store, layout):
    path = tmp_path / "slice_z00.ome.zarr.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        base = store if layout == "root" else store.parent
        for file in sorted(p for p in store.rglob("*") if p.is_file()):
            archive.write(file, str(file.relative_to(base)))
    check_reading(path)
    with pytest.raises(StoreError, match="read only"):
        OmeZarrWriter(path, (6, 8, 8))


class _Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Stay silent."""


@pytest.fixture
def web(store: Path) -> Iterator[str]:
    handler = functools.partial(_Handler, directory=str(store.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/{store.name}"
        server.shutdown()
        thread.join()


def test_a_web_server(web):
    pytest.importorskip("aiohttp")
    check_reading(web)
    with pytest.raises(StoreError, match="no such store"):
        read_omezarr(web + "x")


@pytest.fixture
def bucket(monkeypatch) -> Iterator[str]:
    pytest.importorskip("s3fs")
    server_module = pytest.importorskip("moto.server")
    import boto3
    import fsspec

    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    endpoint = f"http://127.0.0.1:{port}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
    boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket="stores")
    yield "s3://stores"
    server.stop()
    fsspec.filesystem("s3").clear_instance_cache()


def test_a_bucket(bucket, flavour):
    check_writing(f"{bucket}/a.ome.zarr", flavour)


@pytest.fixture
def google_bucket(monkeypatch) -> Iterator[str]:
    # Asks Google for the type of the bucket, by another protocol than the emulator's.
    monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    gcsfs = pytest.importorskip("gcsfs")
    reason = "needs the emulator: pip install gcp-storage-emulator"
    emulator = pytest.importorskip("gcp_storage_emulator.server", reason=reason)
    limits = gcsfs.GCSFileSystem._process_limits

    async def counted_from_the_start(self, path, start, end):
        if start is not None and start < 0:
            start += (await self._info(path))["size"]
        return await limits(self, path, start, end)

    # Google knows ranges that count from the end, the emulator does not.
    monkeypatch.setattr(gcsfs.GCSFileSystem, "_process_limits", counted_from_the_start)
    with emulator.create_server("127.0.0.1", 0, in_memory=True, default_bucket="stores") as server:
        port = server._api._httpd.server_port
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
        yield "gs://stores"
    gcsfs.GCSFileSystem.clear_instance_cache()


def test_a_google_bucket(google_bucket, flavour):
    check_writing(f"{google_bucket}/a.ome.zarr", flavour)


def test_an_unknown_protocol_is_wrong_usage():
    with pytest.raises(ParameterError, match=r"use a path, s3://"):
        read_omezarr("nosuch://x/a.ome.zarr")


def test_file_urls_are_paths(store):
    check_reading(f"file://{store}")
