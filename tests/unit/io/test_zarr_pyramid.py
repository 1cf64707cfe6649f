"""Levels hold exact means, and a physical point lies at the same place on every level."""

from __future__ import annotations

import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mosaicflow.io.zarr import (
    AnalysisOmeZarrWriter,
    OmeZarrWriter,
    open_level,
    read_omezarr_info,
    save_omezarr,
)

from .conftest import noise


def reference_mean(data, ratios, shape):
    """Area-weighted means in float64 with one weight matrix per axis, written independently."""
    result = data.astype(np.complex128 if data.dtype.kind == "c" else np.float64)
    for axis, (ratio, n_out) in enumerate(zip(ratios, shape, strict=True)):
        n_in = data.shape[axis]
        edges = np.arange(n_out + 1) * float(ratio)
        low = np.maximum(edges[:-1, None], np.arange(n_in)[None])
        high = np.minimum(edges[1:, None], np.arange(1, n_in + 1)[None])
        weights = np.clip(high - low, 0, None)
        weights /= weights.sum(axis=1, keepdims=True)
        result = np.moveaxis(np.tensordot(weights, result, (1, axis)), 0, axis)
    return result


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64", "complex64"])
def test_halving_is_the_exact_block_mean(tmp_path, flavour, dtype):
    data = noise((3, 30, 41), dtype)
    path = tmp_path / "a.ome.zarr"
    save_omezarr(data, path, 0.01, chunks=(2, 8, 8), n_levels=2, ngff_version=flavour)
    for level in (1, 2):
        ny, nx = data.shape[1] // 2, data.shape[2] // 2
        blocks = data[:, : 2 * ny, : 2 * nx].reshape(3, ny, 2, nx, 2)
        exact = blocks.mean(axis=(2, 4), dtype=np.complex128 if dtype[0] == "c" else np.float64)
        found = open_level(path, level)[...]
        if data.dtype.kind in "iu":
            np.testing.assert_array_equal(found, np.rint(exact))  # half to even
        else:
            np.testing.assert_allclose(found, exact, rtol=3e-7 if dtype != "float64" else 1e-15)
        assert found.dtype == data.dtype
        data = found


def test_odd_sizes_follow_the_documented_example(tmp_path):
    path = tmp_path / "a.ome.zarr"
    save_omezarr(noise((6, 225, 301)), path, (0.0015, 0.01, 0.01), chunks=(6, 75, 100), n_levels=2)
    info = read_omezarr_info(path)
    assert info.shapes == ((6, 225, 301), (6, 112, 150), (6, 56, 75))
    assert info.scales_um == ((1.5, 10.0, 10.0), (1.5, 20.0, 20.0), (1.5, 40.0, 40.0))
    assert [level.chunks for level in info.levels] == [(6, 75, 100), (6, 75, 100), (6, 56, 75)]


def test_all_axes_can_be_halved(tmp_path):
    path = tmp_path / "a.ome.zarr"
    save_omezarr(noise((5, 32, 32)), path, 0.01, n_levels=3, downscale_axes="zyx")
    info = read_omezarr_info(path)
    assert info.shapes == ((5, 32, 32), (2, 16, 16), (1, 8, 8), (1, 4, 4))
    assert [scale[0] for scale in info.scales_um] == [10.0, 20.0, 40.0, 40.0]
    with pytest.raises(ValueError, match="expected yx or zyx"):
        save_omezarr(noise((5, 32, 32)), path, 0.01, downscale_axes="xyz")


def test_too_many_levels_stop_with_a_warning(tmp_path):
    path = tmp_path / "a.ome.zarr"
    with pytest.warns(UserWarning, match="9 levels asked for, 4 written"):
        save_omezarr(noise((2, 20, 64)), path, 0.01, n_levels=9)
    assert read_omezarr_info(path).shapes[-1] == (2, 1, 4)
    with pytest.raises(ValueError, match="negative"):
        save_omezarr(noise((2, 20, 64)), path, 0.01, n_levels=-1)


@st.composite
def shapes_and_chunks(draw):
    """Draw a shape of a few chunks: hundreds of files of one voxel take minutes."""
    chunk = draw(st.integers(1, 16))
    side = st.integers(1, min(45, 5 * chunk))
    return (draw(st.integers(1, min(20, 5 * chunk))), draw(side), draw(side)), chunk


@settings(max_examples=15, deadline=None)
@given(
    layout=shapes_and_chunks(),
    base=st.tuples(*[st.sampled_from([1.5, 3.0, 6.5, 10.0, 12.0, 7.3])] * 3),
    targets=st.lists(st.sampled_from([10, 12.5, 20, 25, 50, 100]), min_size=1, max_size=3),
    dtype=st.sampled_from(["uint8", "uint16", "float32", "float64"]),
    flavour=st.sampled_from(["0.4", "0.5"]),
    isotropic=st.booleans(),
)
@pytest.mark.filterwarnings("ignore::mosaicflow.io.zarr.errors.OmeZarrWarning")
def test_analysis_levels_are_area_weighted_means(layout, base, targets, dtype, flavour, isotropic):
    shape, chunk = layout
    data = noise(shape, dtype)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.ome.zarr"
        writer = AnalysisOmeZarrWriter(path, shape, chunk, dtype, ngff_version=flavour)
        writer[:] = data
        writer.finalize(tuple(v / 1000 for v in base), targets, make_isotropic=isotropic)
        info = read_omezarr_info(path)
        for number, level in enumerate(info.levels):
            ratios = [p / b for p, b in zip(level.scale_um, base, strict=True)]
            expected = reference_mean(data, ratios, level.shape)
            found = open_level(path, number)[...]
            if np.dtype(dtype).kind in "iu":
                # A level made from another level is rounded once more.
                assert np.abs(found - expected).max() <= 1.01
            else:
                np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64", "complex64"])
def test_a_constant_stays_exactly_constant(tmp_path, dtype):
    path = tmp_path / "a.ome.zarr"
    writer = AnalysisOmeZarrWriter(path, (40, 90, 90), 16, dtype)
    writer[:] = 200
    writer.finalize((0.0015, 0.01, 0.01))
    for level in range(4):
        assert (open_level(path, level)[...] == 200).all()


def test_the_mean_of_whole_levels_is_kept(tmp_path):
    data = noise((20, 100, 100))
    writer = AnalysisOmeZarrWriter(tmp_path / "a.ome.zarr", data.shape, 32)
    writer[:] = data
    writer.finalize(0.01)
    for level in range(4):
        mean = open_level(tmp_path / "a.ome.zarr", level)[...].mean(dtype=np.float64)
        assert mean == pytest.approx(data.mean(dtype=np.float64), rel=1e-6)


def test_an_equal_base_becomes_level_0_bit_for_bit(tmp_path, flavour):
    data = noise((20, 50, 50))
    data[0, 0, 0] = -0.0
    writer = AnalysisOmeZarrWriter(tmp_path / "a.ome.zarr", data.shape, 16, ngff_version=flavour)
    writer[:] = data
    writer.finalize(0.01)
    assert open_level(tmp_path / "a.ome.zarr")[...].tobytes() == data.tobytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.ome.zarr"]


def test_levels_finer_than_the_lateral_base_are_left_out(tmp_path):
    path = tmp_path / "a.ome.zarr"
    writer = AnalysisOmeZarrWriter(path, (100, 50, 50))
    writer[:] = 1
    writer.finalize((0.0015, 0.025, 0.02), [100, 10, 25, 25.0])
    assert [scale[-1] for scale in read_omezarr_info(path).scales_um] == [25.0, 100.0]


def test_a_nominal_10_um_level_survives_a_true_pitch_of_10_002(tmp_path):
    path = tmp_path / "a.ome.zarr"
    writer = AnalysisOmeZarrWriter(path, (30, 50, 50))
    writer[:] = 3
    writer.finalize(0.010002, [10, 20])
    info = read_omezarr_info(path)
    assert info.scales_um == ((10.0,) * 3, (20.0,) * 3)
    assert info.shapes[0] == (30, 50, 50)
    np.testing.assert_allclose(open_level(path)[...], 3, rtol=1e-6)  # weights are not whole


def test_a_base_coarser_than_every_target_is_kept_with_a_warning(tmp_path):
    path = tmp_path / "a.ome.zarr"
    data = noise((3, 20, 20))
    writer = AnalysisOmeZarrWriter(path, data.shape)
    writer[:] = data
    with pytest.warns(UserWarning, match="only level"):
        writer.finalize(0.2)
    assert read_omezarr_info(path).scales_um == ((200.0, 200.0, 200.0),)
    np.testing.assert_array_equal(open_level(path)[...], data)


def test_a_coarse_axis_keeps_its_pitch_with_a_warning(tmp_path):
    path = tmp_path / "a.ome.zarr"
    writer = AnalysisOmeZarrWriter(path, (10, 20, 20))
    writer[:] = 1
    with pytest.warns(UserWarning, match="levels of 10 um: an axis with a pitch of 12 um keeps it"):
        writer.finalize((0.012, 0.01, 0.01), [10, 25])
    assert read_omezarr_info(path).scales_um == ((12.0, 10.0, 10.0), (25.0, 25.0, 25.0))


def test_one_factor_for_all_axes_keeps_the_aspect(tmp_path):
    path = tmp_path / "a.ome.zarr"
    writer = AnalysisOmeZarrWriter(path, (100, 64, 64))
    writer[:] = 1
    writer.finalize((0.0015, 0.01, 0.01), [25], make_isotropic=False)
    (scale,) = read_omezarr_info(path).scales_um
    assert scale == pytest.approx((25, 166.666667, 166.666667))


def test_labels_are_never_averaged(tmp_path, flavour):
    data = np.random.default_rng(0).choice(np.array([0, 7, 200], np.uint8), (20, 50, 50))
    path = tmp_path / "a.ome.zarr"
    writer = AnalysisOmeZarrWriter(path, data.shape, 16, np.uint8, ngff_version=flavour)
    writer[:] = data
    writer.finalize(0.01, method="nearest")
    assert read_omezarr_info(path).attributes is not None
    for level, ratio in enumerate((1, 2.5, 5, 10)):
        found = open_level(path, level)[...]
        if level < 2:
            picked = [np.floor((np.arange(n) + 0.5) * ratio).astype(int) for n in found.shape]
            np.testing.assert_array_equal(found, data[np.ix_(*picked)])
        assert set(np.unique(found)) <= {0, 7, 200}
    writer = OmeZarrWriter(path, data.shape, 16, np.uint8)
    writer[:] = data
    writer.finalize(0.01, n_levels=1, method="nearest")
    np.testing.assert_array_equal(open_level(path, 1)[...], data[:, 1::2, 1::2])


@pytest.mark.parametrize("kind", ["analysis", "power of two"])
def test_a_landmark_is_found_at_its_place_on_every_level(tmp_path, flavour, kind):
    """The centre of mass of a blob, in micrometres, is the same on all levels."""
    base = (4.0, 10.0, 10.0)
    shape = (100, 130, 150)
    centre = np.array([200.0, 610.0, 790.0])
    axes = [(np.arange(n)) * b for n, b in zip(shape, base, strict=True)]
    zyx = np.meshgrid(*axes, indexing="ij")
    blob = np.exp(-sum((a - c) ** 2 for a, c in zip(zyx, centre, strict=True)) / (2 * 60.0**2))
    path = tmp_path / "a.ome.zarr"
    cls = AnalysisOmeZarrWriter if kind == "analysis" else OmeZarrWriter
    writer = cls(path, shape, 32, np.float32, ngff_version=flavour)
    writer[:] = blob.astype(np.float32)
    resolution = tuple(b / 1000 for b in base)
    if kind == "analysis":
        writer.finalize(resolution)
    else:
        writer.finalize(resolution, n_levels=3)
    info = read_omezarr_info(path)
    assert len(info.levels) == 4
    for number, level in enumerate(info.levels):
        weights = open_level(path, number)[...].astype(np.float64)
        # Scale-only levels of a power-of-two pyramid share the corner, not the first centre.
        shift = [(s - b) / 2 for s, b in zip(level.scale_um, info.scales_um[0], strict=True)]
        offset = np.array(level.translation_um or shift)
        where = np.array(
            [
                (np.arange(n) * s * weights.sum(axis=tuple({0, 1, 2} - {axis}))).sum()
                for axis, (n, s) in enumerate(zip(level.shape, level.scale_um, strict=True))
            ]
        )
        found = where / weights.sum() + offset
        origin = np.array(info.scales_um[0]) / 2 - np.array(base) / 2
        np.testing.assert_allclose(found + origin, centre, atol=1.0)  # um: a tenth of a voxel


def test_ratios_are_exact():
    from mosaicflow.io.zarr.area import AxisMap, axis_ratio

    assert axis_ratio(1.5, 25.0) == Fraction(50, 3)
    axis = AxisMap(Fraction(5, 2), 512)
    assert axis.inputs(slice(0, 204)) == slice(0, 510)
    shares = [(j, w) for i in range(5) for j, w in axis.shares(i)]
    assert shares == [(0, 2.0), (0, 2.0), (0, 1.0), (1, 1.0), (1, 2.0), (1, 2.0)]
    assert axis.covered(slice(0, 2)).tolist() == [5.0, 5.0]
