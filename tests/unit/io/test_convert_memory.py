"""Conversions read and write boxes, and hold a few of them at a time."""

from __future__ import annotations

import gzip
import tracemalloc
from importlib.util import find_spec

import numpy as np
import pytest
import tifffile
from PIL import Image

from mosaicflow.cli.convert import convert
from mosaicflow.errors import FormatError
from mosaicflow.io.zarr import copying, open_level, save_omezarr

from .conftest import noise

WIDE = (20, 600, 800)  # 19 MB of uint16
STEP = 2**19


@pytest.fixture
def small_steps(monkeypatch):
    monkeypatch.setattr(copying, "_STEP_BYTES", STEP)
    monkeypatch.setenv("MOSAICFLOW_THREADS", "2")


def peak_of(source, output, **options) -> int:
    """Most bytes that were held at a time, without what the libraries themselves need."""
    convert(str(source), str(output), overwrite=True, **options)
    tracemalloc.start()
    try:
        convert(str(source), str(output), overwrite=True, **options)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def write_source(path, data):
    if path.name.endswith((".nii", ".nii.gz")):
        nibabel = pytest.importorskip("nibabel")
        image = nibabel.Nifti1Image(data.T, np.diag([0.01, 0.01, 0.01, 1]))
        image.header.set_xyzt_units("mm")
        nibabel.save(image, path)
    elif path.name == "planes":
        path.mkdir()
        for number, plane in enumerate(data):
            tifffile.imwrite(path / f"p{number}.tif", plane, compression="zlib", rowsperstrip=100)
    else:
        how = {
            "plain.tif": {},
            "swapped.tif": {"byteorder": ">"},
            "tiled.tif": {"tile": (128, 128), "compression": "zlib"},
            "strips.tif": {"rowsperstrip": 100, "compression": "zlib"},
        }[path.name]
        tifffile.imwrite(path, data, metadata={"axes": "ZYX"}, **how)


@pytest.mark.parametrize(
    "name",
    ["a.nii", "a.nii.gz", "plain.tif", "swapped.tif", "tiled.tif", "strips.tif", "planes"],
)
def test_wide_files_become_stores(tmp_path, small_steps, name):
    data = noise(WIDE, "uint16")
    write_source(tmp_path / name, data)
    output = tmp_path / "a.ome.zarr"
    peak = peak_of(tmp_path / name, output, resolution=(10,), chunks=(20, 128, 128))
    assert peak < 10 * STEP < data.nbytes / 3
    np.testing.assert_array_equal(open_level(output)[...], data)
    assert {p.name for p in tmp_path.iterdir()} == {name, "a.ome.zarr"}


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.ome.tif"])
def test_wide_stores_become_files(tmp_path, small_steps, name):
    data = noise(WIDE, "uint16")
    save_omezarr(data, tmp_path / "a.ome.zarr", 0.01, chunks=(20, 128, 128))
    assert peak_of(tmp_path / "a.ome.zarr", tmp_path / name) < 10 * STEP < data.nbytes / 3
    if name.endswith(".tif"):
        np.testing.assert_array_equal(tifffile.imread(tmp_path / name), data)
    else:
        raw = (tmp_path / name).read_bytes()
        raw = gzip.decompress(raw) if name.endswith(".gz") else raw
        np.testing.assert_array_equal(np.frombuffer(raw[352:], "<u2").reshape(WIDE), data)
    assert {p.name for p in tmp_path.iterdir()} == {name, "a.ome.zarr"}


def test_chunks_are_decoded_once_for_a_series_of_planes(tmp_path, monkeypatch):
    from mosaicflow.io.zarr import LevelReader

    save_omezarr(noise((20, 90, 100)), tmp_path / "a.ome.zarr", 0.01, chunks=(20, 30, 50))
    monkeypatch.setattr(copying, "_STEP_BYTES", 200_000)
    reads = []
    read = LevelReader.__getitem__
    monkeypatch.setattr(
        LevelReader, "__getitem__", lambda self, key: (reads.append(key), read(self, key))[1]
    )
    convert(str(tmp_path / "a.ome.zarr"), str(tmp_path / "planes"))
    assert len(reads) == 6
    planes = [tifffile.imread(tmp_path / "planes" / f"plane_{n:04d}.tif") for n in range(20)]
    np.testing.assert_array_equal(planes, noise((20, 90, 100)))


def test_damaged_and_foreign_pictures_are_named(tmp_path):
    path = tmp_path / "strips.tif"
    write_source(path, noise((2, 200, 90), "uint16"))
    content = bytearray(path.read_bytes())
    content[-300:-200] = bytes(100)
    path.write_bytes(content)
    with pytest.raises(FormatError, match=r"strips\.tif: cannot decode"):
        convert(str(path), str(tmp_path / "a.ome.zarr"), resolution=(10,))
    tifffile.imwrite(tmp_path / "rgb.tif", np.zeros((20, 30, 3), np.uint8), photometric="rgb")
    with pytest.raises(FormatError, match="found axes YXS"):
        convert(str(tmp_path / "rgb.tif"), str(tmp_path / "a.ome.zarr"))
    assert not (tmp_path / "a.ome.zarr").exists()


def test_axes_of_one_entry_are_left_out(tmp_path):
    data = noise((1, 3, 1, 20, 30), "uint8")
    tifffile.imwrite(tmp_path / "a.ome.tif", data, metadata={"axes": "TZCYX"})
    convert(str(tmp_path / "a.ome.tif"), str(tmp_path / "a.ome.zarr"), resolution=(10,))
    np.testing.assert_array_equal(open_level(tmp_path / "a.ome.zarr")[...], data[0, :, 0])


@pytest.mark.skipif(find_spec("imagecodecs") is not None, reason="imagecodecs decodes it")
def test_a_codec_that_is_not_installed_is_named_with_its_extra(tmp_path):
    Image.fromarray(noise((40, 50), "uint16")).save(tmp_path / "a.tif", compression="tiff_lzw")
    with pytest.raises(FormatError, match=r"a\.tif: .*LZW.*pip install.*\[images\]"):
        convert(str(tmp_path / "a.tif"), str(tmp_path / "a.ome.zarr"))
