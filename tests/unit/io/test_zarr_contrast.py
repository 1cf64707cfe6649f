"""What viewers are told to show as black and white is found while a store is written."""

import json
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaicflow.io.store_options import StoreOptions
from mosaicflow.io.zarr import OmeZarrWriter, contrast, write_regions
from mosaicflow.io.zarr.contrast import ContrastSample, contrast_window

SHAPES = st.lists(st.integers(1, 30), min_size=2, max_size=3).map(tuple)


@given(SHAPES, st.integers(10, 40), st.randoms())
def test_the_parts_and_their_order_decide_nothing(shape, size, random):
    values = np.random.default_rng(1).gamma(2, 1, shape)
    with patch.object(contrast, "_SAMPLES", 500):  # so that not every voxel is taken
        whole, parts = ContrastSample(shape), ContrastSample(shape)
    whole.take(tuple(slice(0, n) for n in shape), values)
    regions = [
        tuple(slice(k * size, min(k * size + size, n)) for k, n in zip(index, shape, strict=True))
        for index in np.ndindex(*(-(-n // size) for n in shape))
    ]
    random.shuffle(regions)
    for region in regions:
        parts.take(region, values[region])
    assert parts.window() == whole.window()


@pytest.mark.parametrize("shape", [(100, 40_000, 40_000), (1, 10**6, 10**6), (10**5, 3, 3)])
def test_few_voxels_of_a_store_of_any_size_are_kept(shape):
    sample = ContrastSample(shape)
    block = np.broadcast_to(np.float32(1), shape)
    sample.take(tuple(slice(0, n) for n in shape), block)
    assert 100_000 / 4 < sum(part.size for part in sample._taken) <= 200_000


def test_dirt_and_what_holds_no_data_decide_nothing():
    values = np.random.default_rng(2).uniform(0.2, 0.8, 100_000)
    values[:50_000] = 0
    values[50_000:50_050] = 1e6
    values[50_050:50_060] = np.nan
    (black, white), (least, most) = contrast_window(values)
    assert black == pytest.approx(0.212, abs=0.005)
    assert white == pytest.approx(0.8, abs=0.005)
    assert least < black
    assert most == 1e6


def test_noise_about_gel_is_black_but_the_cosine_of_an_angle_keeps_its_sign():
    rng = np.random.default_rng(3)
    gel = np.concatenate([rng.normal(0, 0.1, 50_000), rng.uniform(0.3, 1, 50_000)])
    assert contrast_window(gel)[0][0] == 0
    (black, white), _ = contrast_window(np.cos(rng.uniform(0, np.pi, 50_000)))
    assert (black, white) == pytest.approx((-1, 1), abs=0.01)


@pytest.mark.parametrize("value", [3.0, -3.0, 1e-9])
def test_a_single_value_has_a_window_that_viewers_can_divide_by(value):
    (black, white), (least, most) = contrast_window(np.full(50, value))
    assert least <= black < white <= most


def test_nothing_is_said_of_a_store_without_data_or_by_others_than_stages(tmp_path):
    empty, other = tmp_path / "empty.ome.zarr", tmp_path / "other.ome.zarr"
    for path, options, value in (
        (empty, StoreOptions().writer_options(), 0),
        (other, {}, 1),
    ):
        with OmeZarrWriter(path, (2, 8, 8), **options) as writer:
            writer[:] = value
            writer.finalize(0.01)
        assert "omero" not in json.loads((path / ".zattrs").read_text())


@pytest.mark.parametrize("flavour", ["0.4", "0.5"])
def test_a_store_that_is_drawn_chunk_by_chunk_gets_the_contrast_of_the_same_voxels(
    tmp_path, flavour
):
    values = np.random.default_rng(4).uniform(1, 9, (3, 70, 90)).astype(np.float32)
    options = StoreOptions(ngff_version=flavour).writer_options()
    found = []
    for name in ("assigned", "drawn"):
        path = tmp_path / f"{name}.ome.zarr"
        with OmeZarrWriter(path, values.shape, (3, 32, 32), **options) as writer:
            if name == "assigned":
                writer[:] = values
            else:
                for region in write_regions(writer):
                    writer.render(region, values.__getitem__)
            writer.finalize(0.01, 1)
        document = json.loads((path / (".zattrs" if flavour == "0.4" else "zarr.json")).read_text())
        holder = document if flavour == "0.4" else document["attributes"]["ome"]
        found.append(holder["omero"])
    assert found[0] == found[1]
    window = found[0]["channels"][0]["window"]
    assert (window["start"], window["end"]) == pytest.approx((1.16, 8.98), abs=0.05)
