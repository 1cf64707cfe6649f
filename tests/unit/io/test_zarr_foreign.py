"""Stores that other software wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mosaicflow.errors import FormatError
from mosaicflow.io.zarr import open_level, read_omezarr, read_omezarr_info, validate_omezarr

DATA = Path(__file__).parents[3] / "shared" / "data"
if not DATA.is_dir():
    DATA = Path("/work/shared/data")
SYNTHETIC = DATA / "omezarr_foreign_writers_synthetic"
WORM = DATA / "omezarr_v04_celegans" / "tubhiswt4D_sub.zarr"

pytestmark = [
    pytest.mark.skipif(not SYNTHETIC.is_dir(), reason="the shared data is not here"),
    # None of these writers names a unit.
    pytest.mark.filterwarnings("ignore:.*no known length unit.*:UserWarning"),
]
PAIRS = {
    "3d": ("3d_testing_xyz/3d_dataset_v4.ome.zarr", "3d_testing_xyz/3d_dataset_v5.ome.zarr"),
    "5d": ("5d_testing/5d_dataset_v4.ome.zarr", "5d_testing/5d_dataset_v5.ome.zarr"),
    "pyramid": ("pyramid_testing/pyramid_v4.zarr", "pyramid_testing/pyramid_v5.zarr"),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_both_flavours_of_a_pair_are_the_same_image(pair):
    first, second = (read_omezarr_info(SYNTHETIC / name) for name in PAIRS[pair])
    assert (first.ngff_version, second.ngff_version) == ("0.4", "0.5")
    assert (first.zarr_format, second.zarr_format) == (2, 3)
    assert first.shapes == second.shapes
    assert first.scales_um == second.scales_um
    index = {"channel": 1, "time": 2} if pair == "5d" else {}
    for level in range(len(first.levels)):
        old, new = (open_level(SYNTHETIC / name, level, **index) for name in PAIRS[pair])
        part = np.s_[: min(32, old.shape[0]), :200, -200:]
        np.testing.assert_array_equal(old[part], new[part])
        assert old[part].any()


def test_several_channels_and_times_are_refused_with_the_remedy():
    path = SYNTHETIC / PAIRS["5d"][0]
    with pytest.raises(FormatError, match=r"axis 't' has 4 entries.*channel= or time="):
        read_omezarr(path)
    with pytest.raises(FormatError, match="axis 'c' has 3 entries"):
        read_omezarr(path, time=0)
    image, resolution = read_omezarr(path, time=3, channel=2)
    assert image.shape == (16, 64, 64)
    assert resolution == (0.001, 0.001, 0.001)
    with pytest.raises(ValueError, match="index 3 is outside axis 'c' with 3 entries"):
        read_omezarr(path, time=3, channel=3)


def test_a_large_volume_is_read_in_parts():
    image, _ = read_omezarr(SYNTHETIC / PAIRS["pyramid"][0])
    assert image.shape == (500, 1000, 1000)
    assert image[250, 500:510, 500:510].compute().shape == (10, 10)


def test_a_bio_formats_layout_gives_its_first_image():
    path = SYNTHETIC / "bioformats2raw_testing" / "bf2raw_dataset_v5.ome.zarr"
    with pytest.warns(UserWarning, match="holds images 0, 1; image 0 is read"):
        first, _ = read_omezarr(path)
    assert first.shape == (64, 64)
    second, _ = read_omezarr(path / "1")
    assert second.ndim in {2, 3}


@pytest.mark.skipif(not WORM.is_dir(), reason="the shared data is not here")
def test_the_worm_is_read_as_its_source_tells():
    info = read_omezarr_info(WORM)
    assert [axis.name for axis in info.axes] == list("tczyx")
    assert info.shapes == ((3, 1, 2, 512, 512), (3, 1, 2, 256, 256), (3, 1, 2, 128, 128))
    assert [level.scale_um[-2:] for level in info.levels] == [(1, 1), (2, 2), (4, 4)]
    truth = {0: (40, 112, 84.0), 1: (43, 110, 84.1), 2: (47, 109, 84.2)}
    for level, (low, high, mean) in truth.items():
        times = [open_level(WORM, level, time=t)[...] for t in range(3)]
        assert times[0].shape == (2, *info.shapes[level][-2:])  # one channel is squeezed away
        assert min(t.min() for t in times) == low
        assert max(t.max() for t in times) == high
        assert np.mean(times) == pytest.approx(mean, abs=0.05)
    with pytest.raises(FormatError, match="axis 't' has 3 entries"):
        read_omezarr(WORM)
    assert validate_omezarr(WORM, chunks=True) == []


@pytest.mark.skipif(not WORM.is_dir(), reason="the shared data is not here")
def test_labels_are_ignored_but_can_be_opened():
    labels = open_level(WORM / "labels" / "embryo", time=0)
    assert set(np.unique(labels[...])) <= {0, 1}
