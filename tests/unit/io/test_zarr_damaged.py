"""Damaged and foreign stores: read with a warning where that is safe, refused by name elsewhere."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest
import zarr

from mosaicflow.errors import FormatError, StoreError
from mosaicflow.io.convert.convert import Conversion, convert_image
from mosaicflow.io.zarr import (
    open_level,
    read_omezarr,
    read_omezarr_info,
    save_omezarr,
    validate_omezarr,
)
from mosaicflow.io.zarr.transcode import StoreFormat

from .conftest import RESOLUTION_MM, noise

if TYPE_CHECKING:
    from pathlib import Path


def metadata_file(store: Path) -> Path:
    return store / (".zattrs" if (store / ".zattrs").exists() else "zarr.json")


def edit(store: Path, change) -> None:
    """Change the multiscales entry of a store in place."""
    file = metadata_file(store)
    document = json.loads(file.read_text())
    root = document if file.name == ".zattrs" else document["attributes"]["ome"]
    change(root["multiscales"][0])
    file.write_text(json.dumps(document))


def a_chunk(store: Path, level: str = "0") -> Path:
    files = [p for p in (store / level).rglob("*") if p.is_file()]
    return sorted(p for p in files if not p.name.startswith(".") and p.name != "zarr.json")[0]


@pytest.mark.parametrize("flavour", ["0.4", "0.5"])
def test_an_image_without_a_voxel_is_named(tmp_path, flavour):
    store = tmp_path / "a.ome.zarr"
    save_omezarr(noise((6, 20, 20)), store, RESOLUTION_MM, n_levels=0, ngff_version=flavour)
    file = store / "0" / (".zarray" if flavour == "0.4" else "zarr.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | {"shape": [6, 0, 20]}))
    with pytest.raises(FormatError, match=r"a.ome.zarr: level 0 has the shape \(6, 0, 20\)"):
        open_level(store)


def test_a_shape_of_a_billion_chunks_is_refused_at_once(tmp_path):
    store = tmp_path / "a.ome.zarr"
    save_omezarr(noise((6, 20, 20)), store, RESOLUTION_MM, n_levels=0)
    file = store / "0" / ".zarray"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"shape": [10**9, 20, 20]}))
    with pytest.raises(FormatError, match=r"a.ome.zarr.*expected at most 1000000 chunks"):
        read_omezarr(store)


@pytest.mark.parametrize("name", ["", "zy", "yx"])
def test_an_axis_whose_name_is_only_part_of_the_known_ones_is_no_axis_of_space(tmp_path, name):
    store = tmp_path / "a.ome.zarr"
    save_omezarr(noise((6, 20, 20)), store, RESOLUTION_MM, n_levels=0)
    edit(store, lambda image: image["axes"][0].update(name=name))
    with pytest.raises(FormatError, match="has 6 entries, expected 1"):
        open_level(store)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_bare_array_is_one_level_of_1_um(tmp_path, zarr_format):
    data = noise((6, 20, 20))
    array = zarr.create_array(
        tmp_path / "a.zarr",
        shape=data.shape,
        dtype="f4",
        chunks=(6, 10, 10),
        zarr_format=zarr_format,
    )
    array[:] = data
    with pytest.warns(UserWarning, match="no pixel size; 1 um is assumed"):
        image, resolution = read_omezarr(tmp_path / "a.zarr")
    assert resolution == (0.001, 0.001, 0.001)
    np.testing.assert_array_equal(image.compute(), data)


def test_a_group_without_multiscales_is_read_only_on_demand(store):
    file = metadata_file(store)
    document = json.loads(file.read_text())
    if file.name == ".zattrs":
        file.write_text("{}")
    else:
        document["attributes"] = {}
        file.write_text(json.dumps(document))
    with pytest.raises(StoreError, match="unfinished or foreign store"):
        read_omezarr(store)
    with pytest.warns(UserWarning, match="unfinished or foreign"):
        image, _ = read_omezarr(store, allow_bare=True)
    np.testing.assert_array_equal(image.compute(), noise((6, 40, 50)))
    with pytest.warns(UserWarning, match="unfinished or foreign"):
        assert len(read_omezarr_info(store).levels) == 1


def test_a_missing_level_0_is_an_error(store):
    shutil.rmtree(store / "0")
    with pytest.raises(StoreError, match="full resolution, array '0', is missing"):
        read_omezarr(store)


def test_another_missing_level_is_left_out(store):
    shutil.rmtree(store / "1")
    with pytest.warns(UserWarning, match=r"level 1 \(array '1'\) is missing"):
        assert len(read_omezarr_info(store).levels) == 1
    with pytest.warns(UserWarning, match="missing"), pytest.raises(ValueError, match="level 1"):
        open_level(store, 1)


@pytest.mark.parametrize("damage", ["truncated", "empty", "garbage"])
def test_a_damaged_chunk_is_named(store, damage):
    chunk = a_chunk(store)
    content = chunk.read_bytes()
    chunk.write_bytes(
        {"truncated": content[: len(content) // 2], "empty": b"", "garbage": b"\xff" * 99}[damage]
    )
    key = str(chunk.relative_to(store))
    image, _ = read_omezarr(store)
    with pytest.raises(StoreError, match=f"cannot decode chunk {key}"):
        image.compute()
    with pytest.raises(StoreError, match=key):
        open_level(store)[:, :20, :20]
    assert open_level(store)[:, 20:, 20:].any()
    problems = validate_omezarr(store, chunks=True)
    assert [p.where for p in problems if p.severity == "error"] == [key]
    assert validate_omezarr(store) == []


@pytest.mark.parametrize("codec", ["none", "gzip", "zstd", "lz4", "blosc-zstd"])
def test_a_truncated_chunk_is_found_whatever_the_codec(tmp_path, flavour, codec):
    path = tmp_path / "a.ome.zarr"
    save_omezarr(noise((6, 20, 20)), path, 0.01, compressor=codec, ngff_version=flavour)
    chunk = a_chunk(path)
    chunk.write_bytes(chunk.read_bytes()[:-7])
    with pytest.raises(StoreError, match="cannot decode chunk 0/"):
        open_level(path)[...]


def test_all_damaged_chunks_are_listed(tmp_path, flavour):
    path = tmp_path / "a.ome.zarr"
    save_omezarr(
        noise((6, 40, 40)),
        path,
        0.01,
        chunks=(6, 10, 10),
        ngff_version=flavour,
        sharding_factor=1 if flavour == "0.4" else 2,
    )
    files = [p for p in (path / "0").rglob("*") if p.is_file() and p.name.isdigit()]
    for file in files:
        file.write_bytes(file.read_bytes()[:20])
    assert len(validate_omezarr(path, chunks=True)) == len(files)
    with pytest.raises(StoreError, match="and 11 more" if flavour == "0.4" else "cannot decode"):
        open_level(path)[...]


def test_a_store_one_folder_deeper_is_found(tmp_path, store):
    outer = tmp_path / "unzipped.ome.zarr"
    outer.mkdir()
    store.rename(outer / store.name)
    with pytest.warns(UserWarning, match="one folder deeper, in slice_z00.ome.zarr"):
        image, _ = read_omezarr(outer)
    np.testing.assert_array_equal(image.compute(), noise((6, 40, 50)))
    (outer / "other").mkdir()
    with pytest.raises(StoreError, match="not a Zarr store"):
        read_omezarr(outer)


def test_invalid_json_is_shown_with_its_place(store):
    file = metadata_file(store)
    file.write_text('{\n  "multiscales": [,]\n}')
    with pytest.raises(FormatError, match=rf"{file.name}: not valid JSON at line 2, column 19"):
        read_omezarr(store)
    assert "line 2" in str(validate_omezarr(store)[0])
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(FormatError, match="not UTF-8"):
        read_omezarr(store)
    file.write_text("[]")
    with pytest.raises(FormatError, match="JSON list"):
        read_omezarr(store)


def test_outdated_consolidated_metadata_is_not_believed(tmp_path):
    path = tmp_path / "a.ome.zarr"
    save_omezarr(noise((6, 20, 20)), path, 0.01)
    zarr.consolidate_metadata(str(path), zarr_format=2)
    read_omezarr(path)
    document = json.loads((path / ".zmetadata").read_text())
    document["metadata"]["0/.zarray"]["shape"] = [6, 99, 99]
    (path / ".zmetadata").write_text(json.dumps(document))
    with pytest.warns(UserWarning, match=r"\.zmetadata disagrees with 0/\.zarray"):
        image, _ = read_omezarr(path)
    assert image.shape == (6, 20, 20)


def test_axes_must_match_the_array(store):
    edit(store, lambda entry: entry["axes"].pop(0))
    with pytest.raises(FormatError):
        read_omezarr(store)


def test_axes_without_transforms_must_match_the_array(store):
    def change(entry):
        entry["axes"].pop(0)
        for dataset in entry["datasets"]:
            del dataset["coordinateTransformations"]

    edit(store, change)
    with pytest.raises(FormatError, match="2 axes, array '0' has 3"):
        read_omezarr(store)


def test_malformed_metadata_is_refused(store):
    edit(store, lambda entry: entry.pop("datasets"))
    with pytest.raises(FormatError, match="malformed"):
        read_omezarr(store)
    assert validate_omezarr(store)[0].severity == "error"


def test_a_path_without_anything_is_refused(tmp_path):
    with pytest.raises(StoreError, match="no such store"):
        read_omezarr(tmp_path / "nothing.ome.zarr")
    (tmp_path / "empty.ome.zarr").mkdir()
    with pytest.raises(StoreError, match="not a Zarr store"):
        read_omezarr(tmp_path / "empty.ome.zarr")
    (tmp_path / "bad.zip").write_bytes(b"no archive")
    with pytest.raises(FormatError, match="not a zip archive"):
        read_omezarr(tmp_path / "bad.zip")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(FormatError, match="no Zarr metadata"):
        read_omezarr(tmp_path / "other.zip")


@pytest.mark.parametrize(
    ("unit", "factor"),
    [
        ("nanometer", 1e3),
        ("nm", 1e3),
        ("µm", 1),
        ("um", 1),
        ("mm", 1e-3),
        ("meter", 1e-6),
        ("angstrom", 1e4),
        ("centimeter", 1e-4),
    ],
)
def test_units_are_honoured_by_name(store, unit, factor):
    def change(entry):
        for axis in entry["axes"]:
            axis["unit"] = unit
        for dataset in entry["datasets"]:
            transform = dataset["coordinateTransformations"][0]
            transform["scale"] = [v * factor for v in transform["scale"]]

    edit(store, change)
    assert read_omezarr(store)[1] == pytest.approx(RESOLUTION_MM, rel=1e-9)


def test_every_axis_has_its_own_unit(store):
    edit(store, lambda entry: entry["axes"][0].update(unit="millimeter"))
    with pytest.warns(UserWarning, match=r"units look wrong: a pitch of \(1500, 10, 10\) um"):
        assert read_omezarr(store)[1] == (1.5, 0.01, 0.01)


def test_an_unknown_unit_is_taken_as_micrometre_with_a_warning(store):
    edit(store, lambda entry: entry["axes"][1].update(unit="furlong"))
    edit(store, lambda entry: entry["axes"][2].pop("unit"))
    with pytest.warns(UserWarning, match=r"\(y: furlong, x: none\); micrometre is assumed"):
        assert read_omezarr(store)[1] == RESOLUTION_MM


def test_implausible_pitches_are_questioned_when_written(tmp_path):
    with pytest.warns(UserWarning, match="units look wrong"):
        save_omezarr(np.ones((2, 4, 4)), tmp_path / "a.ome.zarr", (1.5, 10, 10))


def test_a_transform_for_all_levels_is_multiplied_in(store):
    def change(entry):
        entry["coordinateTransformations"] = [{"type": "scale", "scale": [2.0, 3.0, 3.0]}]
        entry["datasets"][0]["coordinateTransformations"].append(
            {"type": "translation", "translation": [1.0, 5.0, 7.0]}
        )

    edit(store, change)
    info = read_omezarr_info(store)
    assert info.scales_um[0] == (3.0, 30.0, 30.0)
    assert info.translations_um == ((2.0, 15.0, 21.0), None)
    assert read_omezarr(store)[0].shape == (6, 40, 50)


def test_axes_in_another_order_are_turned(tmp_path):
    data = noise((6, 20, 30))
    path = tmp_path / "a.ome.zarr"
    save_omezarr(data.transpose(2, 1, 0), path, (0.01, 0.02, 0.003), chunks=(8, 9, 5))

    def change(entry):
        entry["axes"] = [{**entry["axes"][0], "name": name} for name in "XYZ"]

    edit(path, change)
    image, resolution = read_omezarr(path)
    assert resolution == (0.003, 0.02, 0.01)
    np.testing.assert_array_equal(image.compute(), data)
    reader = open_level(path)
    for key in (np.s_[2], np.s_[:, 3], np.s_[1:3, 4, 2:9], np.s_[..., 5], np.s_[1, 2, 3]):
        np.testing.assert_array_equal(reader[key], data[key])


def test_legacy_grids_swap_their_lateral_axes(tmp_path):
    data = noise((6, 20, 30))
    path = tmp_path / "a.ome.zarr"
    save_omezarr(data, path, (0.01, 0.02, 0.03))
    image, resolution = read_omezarr(path, lateral_order="xy")
    assert resolution == (0.01, 0.03, 0.02)
    np.testing.assert_array_equal(image.compute(), data.transpose(0, 2, 1))
    with pytest.raises(ValueError, match="expected yx or xy"):
        read_omezarr(path, lateral_order="zx")


@pytest.mark.parametrize("what", ["pipe", "device"])
def test_a_chunk_that_would_be_waited_for_is_named(tmp_path, what):
    path = tmp_path / "a.ome.zarr"
    save_omezarr(noise((4, 20, 30)), path, RESOLUTION_MM, chunks=(4, 10, 15))
    chunk = path / "0" / "0" / "1" / "0"
    chunk.unlink()
    os.mkfifo(chunk) if what == "pipe" else chunk.symlink_to("/dev/zero")
    assert any(p.where.startswith("0/0") for p in validate_omezarr(path, chunks=True))
    named = r"chunk 0/0/1/0 is a pipe or a device"
    with pytest.raises(StoreError, match=named):
        open_level(path)[...]
    assert open_level(path)[:, :10].shape == (4, 10, 30)  # the other chunks are read
    with pytest.raises(StoreError, match=named):
        convert_image(str(path), str(tmp_path / "b.ome.zarr"), StoreFormat(), Conversion())
