"""`correct_axial`, `crop_interface` and `normalize`."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from mosaicflow.errors import ParameterError, QualityError
from mosaicflow.io.report import metrics_path, read_metrics
from mosaicflow.io.slices import SliceVolume
from mosaicflow.io.store_options import StoreOptions
from mosaicflow.io.zarr import save_omezarr, validate_omezarr
from mosaicflow.slices.intensity import PlaneScale
from mosaicflow.stages.correct_axial import correct_axial
from mosaicflow.stages.crop_interface import crop_interface
from mosaicflow.stages.normalize import normalize

STAGES = {stage.__name__: stage for stage in (correct_axial, crop_interface, normalize)}


def whole(path):
    volume = SliceVolume(path)
    return volume.read(tuple(slice(0, length) for length in volume.shape[1:]))


def values(output):
    report = read_metrics(metrics_path(output))
    return {name: metric["value"] for name, metric in report["metrics"].items()}, report["warnings"]


@pytest.fixture
def output(tmp_path):
    return tmp_path / "out.ome.zarr"


def test_gel_becomes_even_over_depth(depth_slice, output):
    path = depth_slice(tilt=0.0)
    correct_axial(slice_path=path, output=output)
    gel = whole(output)[18:, 5:-5, 5:40].mean(axis=(1, 2))
    before = whole(path)[18:, 5:-5, 5:40].mean(axis=(1, 2))
    assert gel.std() / gel.mean() < 0.05 < before.std() / before.mean()
    metrics, warnings = values(output)
    assert metrics["unevenness_after"] < metrics["unevenness_before"]
    assert warnings == []
    assert len(read_metrics(metrics_path(output))["gain"]) == 48


@pytest.mark.parametrize("planes", [1, 7])
def test_a_thin_slice_passes_through_and_says_so(write_slice_store, output, planes):
    data = np.random.default_rng(0).random((planes, 30, 30)) + 1
    path = write_slice_store(data)
    correct_axial(slice_path=path, output=output)
    np.testing.assert_array_equal(whole(output), whole(path))
    told = read_metrics(metrics_path(output))
    # One plane is what some data are; a few look like a mistake.
    assert "passed through" in told["notes" if planes == 1 else "warnings"][0]


def test_without_gel_nothing_is_corrected(write_slice_store, output):
    path = write_slice_store(np.zeros((20, 40, 40)))
    correct_axial(slice_path=path, output=output)
    assert "too little gel" in values(output)[1][0]


def test_plane_zero_is_the_face_in_every_column(depth_slice, output):
    crop_interface(slice_path=depth_slice(tilt=6.0), output=output, crop_depth_um=200)
    data = whole(output)
    assert data.shape == (20, 96, 96)
    columns = data.mean(axis=1)  # (z, x): the face is tilted along x
    # Tissue from the second plane on, whatever the tilt.
    assert (columns[2] > 0.5 * columns[4]).all()
    metrics, warnings = values(output)
    assert metrics["tilt_and_waviness"] == pytest.approx(6, abs=0.5)
    assert metrics["usable_planes"] == 20
    assert warnings == []
    attrs = SliceVolume(output).attrs
    assert attrs["usable_planes"] == 20
    assert attrs["surface"]["model"] in ("plane", "plane_waviness")


def test_no_value_is_interpolated(depth_slice, output):
    path = depth_slice(tilt=6.0)
    crop_interface(slice_path=path, output=output, crop_depth_um=200)
    before, after = whole(path), whole(output)
    for x in (0, 40, 95):
        column = before[:, 10, x].tolist()
        first = column.index(after[0, 10, x])
        assert column[first : first + 20] == after[:, 10, x].tolist()


def test_an_absurd_depth_is_clipped_instead_of_filling_the_memory(depth_slice, output):
    crop_interface(slice_path=depth_slice(), output=output, crop_depth_um=1e12)
    assert SliceVolume(output).shape[0] == 96
    report = read_metrics(metrics_path(output))
    assert "lower crop_depth_um or image deeper" in report["warnings"][0]


def test_a_slice_that_is_too_thin_ends_in_zeros_and_says_so(depth_slice, output):
    crop_interface(slice_path=depth_slice(), output=output, crop_depth_um=600)
    assert SliceVolume(output).shape[0] == 60
    assert (whole(output)[-10:] == 0).all()
    metrics, warnings = values(output)
    assert metrics["usable_planes"] < 40
    assert "lower crop_depth_um or image deeper" in warnings[0]


def test_one_depth_for_all_keeps_the_tilt(depth_slice, output):
    crop_interface(slice_path=depth_slice(tilt=8.0), output=output, surface="global")
    columns = whole(output).mean(axis=1)
    first = (columns > 0.5 * columns.max(axis=0)).argmax(axis=0)
    assert first[94] - first[50] >= 2
    assert SliceVolume(output).attrs["surface"]["model"] == "global"


def test_without_water_plane_zero_stays(write_slice_store, output):
    data = np.exp(-np.arange(40) / 20)[:, None, None] * np.ones((40, 64, 64))
    crop_interface(slice_path=write_slice_store(data), output=output, crop_depth_um=200)
    np.testing.assert_allclose(whole(output), data[:20], rtol=1e-6)
    assert "plane 0 stays where it is" in values(output)[1][0]


@pytest.mark.parametrize("depth_um", [0.0, -5.0, float("nan")])
def test_a_depth_that_is_none_is_refused(depth_slice, output, depth_um):
    with pytest.raises(ParameterError, match=r"crop_depth_um is .*expected a number above 0"):
        crop_interface(slice_path=depth_slice(), output=output, crop_depth_um=depth_um)
    assert not output.exists()


def test_a_normalised_slice_lies_between_gel_and_brightest_tissue(depth_slice, output, tmp_path):
    crop_interface(slice_path=depth_slice(), output=tmp_path / "crop.ome.zarr", crop_depth_um=250)
    normalize(slice_path=tmp_path / "crop.ome.zarr", output=output)
    data = whole(output)
    # Nothing is clipped: half of the gel's noise lies below 0.
    assert data.min() < 0
    assert np.percentile(data, 99.9) == pytest.approx(1, abs=0.1)
    inner = data[4:20]
    assert np.abs(np.median(inner[:, 5:-5, 5:40], axis=(1, 2))).max() < 0.05
    assert np.median(inner[:, 5:-5, 55:], axis=(1, 2)).min() > 0.6
    metrics, _ = values(output)
    assert metrics["tissue_coverage"] == pytest.approx(0.5, abs=0.05)
    assert output.with_name("out.png").is_file()


def test_places_without_data_stay_zero(depth_slice, output, tmp_path):
    source = depth_slice()
    data = whole(source)
    data[:, :10] = 0
    hole = depth_slice(name="x.ome.zarr").with_name("hole.ome.zarr")
    save_omezarr(data, hole, 0.01, attrs={"slice_id": 3})
    normalize(slice_path=hole, output=output)
    # Zero says that there is no data: the darkest gel must not become it.
    np.testing.assert_array_equal(whole(output) != 0, data > 0)


def test_a_normalised_slice_tells_how_to_get_recorded_values_back(depth_slice, output, tmp_path):
    source = tmp_path / "crop.ome.zarr"
    crop_interface(slice_path=depth_slice(), output=source, crop_depth_um=250)
    normalize(slice_path=source, output=output)
    volume = SliceVolume(output)
    scale = PlaneScale.from_json(volume.attrs["intensity"], volume.shape[0], "out")
    np.testing.assert_allclose(scale.undo(whole(output)), whole(source), rtol=1e-5, atol=1e-4)
    report = read_metrics(metrics_path(output))
    assert report["span"] == volume.attrs["intensity"]["span"]


def test_values_stay_as_recorded_where_that_is_asked_for(depth_slice, output):
    source = depth_slice()
    normalize(slice_path=source, output=output, normalize_enabled=False)
    np.testing.assert_array_equal(whole(output), whole(source))
    assert "intensity" not in SliceVolume(output).attrs
    assert "below_display" not in values(output)[0]


def test_a_section_that_fills_the_field_loses_nothing_to_black(write_slice_store, output):
    rng = np.random.default_rng(0)
    mineral = gaussian_filter(rng.standard_normal((200, 200)), 6)
    data = 60 + 40 * mineral / mineral.std() + 5 * rng.standard_normal((200, 200))
    normalize(slice_path=write_slice_store(np.clip(data, 1, None)[None]), output=output)
    metrics, _ = values(output)
    assert metrics["gel_found"] is False
    assert "agarose_coverage" not in metrics
    assert metrics["below_display"] < 0.005
    assert metrics["above_display"] < 0.005


def test_a_range_that_loses_much_is_warned_of(depth_slice, output):
    normalize(slice_path=depth_slice(), output=output, clip_percentile_upper=70.0)
    report = read_metrics(metrics_path(output))["metrics"]
    assert report["above_display"]["value"] > 0.05
    assert report["above_display"]["status"] == "warning"


@pytest.mark.parametrize("value", [0.0, 4.0])
def test_a_slice_without_contrast_is_refused(write_slice_store, output, value):
    path = write_slice_store(np.full((10, 40, 40), value))
    with pytest.raises(QualityError, match="holds no contrast, expected tissue on a darker"):
        normalize(slice_path=path, output=output)
    assert not output.exists()


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("flavour", ["0.4", "0.5"])
def test_the_bytes_do_not_depend_on_the_threads(depth_slice, tmp_path, content, stage, flavour):
    source = depth_slice(planes=30, side=80)
    found = []
    for threads in (1, 3):
        folder = tmp_path / str(threads)
        folder.mkdir()
        target = folder / "out.ome.zarr"
        store = StoreOptions(ngff_version=flavour, n_levels=1)
        STAGES[stage](slice_path=source, output=target, store=store, threads=threads)
        assert validate_omezarr(target) == []
        found.append(content(target))
    assert found[0] == found[1]


@pytest.mark.parametrize("stage", STAGES)
def test_the_block_of_the_input_is_handed_on(depth_slice, output, stage):
    STAGES[stage](slice_path=depth_slice(foreign="kept"), output=output)
    attrs = SliceVolume(output).attrs
    assert attrs["foreign"] == "kept"
    assert attrs["canvas_origin_px"] == [0, 0]
    assert [entry["step"] for entry in attrs["history"]] == [stage]
