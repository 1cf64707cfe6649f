"""Other people's libraries read our files and see the same shapes, scales and values."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import zarr

from mosaicflow.io.zarr import (
    AnalysisOmeZarrWriter,
    open_level,
    read_omezarr_info,
    save_omezarr,
    validate_omezarr,
)

from .conftest import RESOLUTION_MM, noise

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.filterwarnings("ignore")  # of the other libraries


@pytest.fixture(params=["grid", "volume", "sharded"])
def written(request, tmp_path, flavour) -> Path:
    path = tmp_path / f"{request.param}.ome.zarr"
    data = noise((20, 120, 140))
    if request.param == "grid":
        save_omezarr(
            data,
            path,
            RESOLUTION_MM,
            chunks=(20, 40, 70),
            n_levels=2,
            ngff_version=flavour,
            sharding_factor=1,
        )
    elif request.param == "sharded":
        if flavour == "0.4":
            pytest.skip("Zarr v2 has no shards")
        save_omezarr(data, path, RESOLUTION_MM, chunks=(20, 40, 70), n_levels=2, ngff_version="0.5")
    else:
        writer = AnalysisOmeZarrWriter(path, data.shape, 32, ngff_version=flavour)
        writer[:] = data
        writer.finalize(0.01)
    return path


def levels_of(path):
    info = read_omezarr_info(path)
    return [(open_level(path, n)[...], level) for n, level in enumerate(info.levels)]


def test_plain_zarr_reads_every_level(written):
    group = zarr.open(written, mode="r")
    for values, level in levels_of(written):
        np.testing.assert_array_equal(group[level.path][:], values)


def test_ome_zarr_models_finds_nothing_wrong(written, flavour):
    import ome_zarr_models

    image = ome_zarr_models.open_ome_zarr(zarr.open_group(written, mode="r"))
    assert type(image).__name__ == "Image"
    assert type(image).__module__.startswith(f"ome_zarr_models.v{flavour.replace('.', '')}")
    assert validate_omezarr(written) == []


def test_ngff_zarr_validates_strictly_and_reads(written, flavour):
    ngff_zarr = pytest.importorskip("ngff_zarr")
    multiscales = ngff_zarr.from_ngff_zarr(str(written), validate=True, version=flavour)
    for image, (values, level) in zip(multiscales.images, levels_of(written), strict=True):
        assert list(image.scale.values()) == list(level.scale_um)
        shift = [image.translation.get(axis, 0.0) for axis in "zyx"]
        assert shift == list(level.translation_um or (0.0, 0.0, 0.0))
        np.testing.assert_array_equal(np.asarray(image.data), values)


@pytest.mark.parametrize("strict", [False, True])
def test_the_published_schemas_accept_the_metadata(written, flavour, strict):
    pytest.importorskip("ngff_zarr")
    validate = pytest.importorskip("ngff_zarr.validate").validate
    attributes = dict(zarr.open_group(written, mode="r").attrs)
    validate(attributes, version=flavour, model="image", strict=strict)


def test_ome_zarr_py_reads_every_level(written):
    pytest.importorskip("ome_zarr")
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    (node,) = [n for n in Reader(parse_url(str(written)))() if n.data]
    for number, (values, level) in enumerate(levels_of(written)):
        np.testing.assert_array_equal(np.asarray(node.data[number]), values)
        transforms = node.metadata["coordinateTransformations"][number]
        assert list(transforms[0]["scale"]) == list(level.scale_um)


def test_napari_ome_zarr_hands_out_the_layer(written):
    reader = pytest.importorskip("napari_ome_zarr", exc_type=ImportError)
    get_reader = reader.napari_get_reader(str(written))
    layers = get_reader(str(written))
    data, options, kind = layers[0]
    assert kind == "image"
    for array, (values, _) in zip(data, levels_of(written), strict=True):
        np.testing.assert_array_equal(np.asarray(array), values)
    assert tuple(options["scale"][-3:]) == levels_of(written)[0][1].scale_um


def test_tensorstore_reads_every_level(written, flavour):
    tensorstore = pytest.importorskip("tensorstore")
    for values, level in levels_of(written):
        array = tensorstore.open(
            {
                "driver": "zarr" if flavour == "0.4" else "zarr3",
                "kvstore": {"driver": "file", "path": str(written / level.path)},
            }
        ).result()
        np.testing.assert_array_equal(array.read().result(), values)


def test_neuroglancer_makes_a_layer_of_it(written, flavour):
    neuroglancer = pytest.importorskip("neuroglancer")
    source = f"zarr://http://127.0.0.1:1/{written.name}"
    state = neuroglancer.ViewerState()
    state.layers["image"] = neuroglancer.ImageLayer(source=source)
    assert state.to_json()["layers"][0]["source"][0]["url"] == source
    # What its own readers ask of a store: separator and codec.
    for level in read_omezarr_info(written).levels:
        assert level.codec == "blosc-lz4"
        assert level.dtype == "float32"


@pytest.mark.parametrize("codec", ["zstd", "lz4", "gzip", "none"])
def test_other_codecs_are_read_by_tensorstore(tmp_path, flavour, codec):
    tensorstore = pytest.importorskip("tensorstore")
    if (flavour, codec) == ("0.4", "lz4"):
        pytest.skip("the plain v2 lz4 codec is read by few programs; we warn about it")
    path = tmp_path / "a.ome.zarr"
    data = noise((4, 20, 30), "uint16")
    save_omezarr(data, path, 0.01, compressor=codec, ngff_version=flavour)
    array = tensorstore.open(
        {
            "driver": "zarr" if flavour == "0.4" else "zarr3",
            "kvstore": {"driver": "file", "path": str(path / "0")},
        }
    ).result()
    np.testing.assert_array_equal(array.read().result(), data)


# What a program makes of each level: values, scale and place of the first voxel's centre.
Level = tuple["NDArray", "NDArray", "NDArray"]


def seen_by_ngff_zarr(path: Path, _flavour: str) -> list[Level]:
    ngff_zarr = pytest.importorskip("ngff_zarr")
    return [
        (
            np.asarray(image.data),
            np.array([image.scale[axis] for axis in "zyx"]),
            np.array([image.translation[axis] for axis in "zyx"]),
        )
        for image in ngff_zarr.from_ngff_zarr(str(path)).images
    ]


def seen_by_ome_zarr_py(path: Path, _flavour: str) -> list[Level]:
    pytest.importorskip("ome_zarr")
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    (node,) = [n for n in Reader(parse_url(str(path)))() if n.data]
    transforms = node.metadata["coordinateTransformations"]
    return [
        (np.asarray(data), np.array(scale["scale"]), np.array(shift["translation"]))
        for data, (scale, shift) in zip(node.data, transforms, strict=True)
    ]


def seen_by_napari(path: Path, _flavour: str) -> list[Level]:
    """napari takes the scale of the finest level, and the ratio of shapes for the others."""
    reader = pytest.importorskip("napari_ome_zarr", exc_type=ImportError)
    ((data, options, _),) = reader.napari_get_reader(str(path))(str(path))
    finest = np.array(options["scale"])
    scales = [finest * data[0].shape / level.shape for level in data]
    return [
        (np.asarray(level), scale, (scale - finest) / 2)
        for level, scale in zip(data, scales, strict=True)
    ]


def seen_by_tensorstore(path: Path, flavour: str) -> list[Level]:
    """tensorstore reads arrays; the metadata is plain JSON to it."""
    tensorstore = pytest.importorskip("tensorstore")
    file = path / (".zattrs" if flavour == "0.4" else "zarr.json")
    document = json.loads(file.read_text())
    root = document if flavour == "0.4" else document["attributes"]["ome"]
    levels = []
    for dataset in root["multiscales"][0]["datasets"]:
        kvstore = {"driver": "file", "path": str(path / dataset["path"])}
        driver = "zarr" if flavour == "0.4" else "zarr3"
        array = tensorstore.open({"driver": driver, "kvstore": kvstore}).result()
        scale, shift = dataset["coordinateTransformations"]
        levels.append(
            (array.read().result(), np.array(scale["scale"]), np.array(shift["translation"]))
        )
    return levels


@pytest.mark.parametrize(
    "see", [seen_by_ngff_zarr, seen_by_ome_zarr_py, seen_by_napari, seen_by_tensorstore]
)
def test_a_landmark_is_where_others_see_it(tmp_path, flavour, see):
    """One bright voxel at a known place is there on every level."""
    data = np.zeros((40, 100, 100), np.float32)
    data[13, 61, 43] = 1000  # inside one voxel of every level
    point_um = np.array([130.0, 610.0, 430.0])
    path = tmp_path / "a.ome.zarr"
    writer = AnalysisOmeZarrWriter(path, data.shape, 32, ngff_version=flavour)
    writer[:] = data
    writer.finalize(0.01)
    levels = see(path, flavour)
    assert len(levels) == 4
    for (values, scale, origin), pitch in zip(levels, (10.0, 25.0, 50.0, 100.0), strict=True):
        np.testing.assert_array_equal(scale, pitch)
        assert values.max() == pytest.approx(1000 * (10 / pitch) ** 3)
        found = np.unravel_index(values.argmax(), values.shape)
        assert np.all(np.abs(found * scale + origin - point_um) <= scale / 2 + 1e-6)
