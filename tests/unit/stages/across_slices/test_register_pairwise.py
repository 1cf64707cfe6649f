"""Pairs of slices cut from one block, registered from disk."""

import json

import numpy as np
import pytest
from scipy.ndimage import affine_transform

from mosaicflow.errors import InputError, ParameterError
from mosaicflow.io.zarr import open_level
from mosaicflow.rigid import Rigid2D, parse_tfm
from mosaicflow.stages.register_pairwise import register_pairwise

POINTS = np.array([[65.5, 59.5], [30.0, 40.0], [100.0, 80.0]])
SETTINGS = {"slicing_interval_mm": 0.08, "allowed_drift_mm": 0.03}


def register(block, fixed, moving, output, **options):
    register_pairwise(
        fixed=block.slice(fixed), moving=block.slice(moving), output=output, **SETTINGS, **options
    )
    return json.loads(output.read_text())


def place_in_moving(record, points):
    pull = Rigid2D.from_json(record, "transform")
    return pull.apply(points) - np.array(record["stage_offset_yx"])


@pytest.mark.parametrize(("fixed", "moving"), [(0, 1), (1, 2), (2, 3), (0, 2)])
@pytest.mark.parametrize("with_shifts", [False, True])
def test_a_pair_is_found_to_a_tenth_of_a_pixel(cut_block, tmp_path, fixed, moving, with_shifts):
    shifts = cut_block.root / "shifts_xy.csv" if with_shifts else None
    record = register(cut_block, fixed, moving, tmp_path / "t.json", shifts=shifts)
    truth = cut_block.relative(fixed, moving, POINTS)
    miss = np.hypot(*(place_in_moving(record, POINTS) - truth).T)
    # px; 0.15 is the target between neighbours, slices two apart share a third of the planes
    assert miss.max() < (0.15 if moving - fixed == 1 else 0.25)
    assert record["status"] == "ok"
    assert record["fixed_z"] - record["moving_z"] == 8 * (moving - fixed)
    assert record["held_out_refined"] > record["held_out_stage"]


def test_the_files_beside_it_say_the_same(cut_block, tmp_path):
    record = register(cut_block, 0, 1, tmp_path / "z00_z01_transform.json")
    text = (tmp_path / "z00_z01_transform.tfm").read_text()
    itk = parse_tfm(text, "z00_z01_transform.tfm")
    assert itk.translation_yx == pytest.approx(record["translation_yx"], abs=1e-5)
    metrics = json.loads((tmp_path / "z00_z01_transform.metrics.json").read_text())
    assert metrics["step_name"] == "register_pairwise"
    assert metrics["metrics"]["rotation"]["value"] == pytest.approx(record["angle_deg"])


def test_the_same_pair_gives_the_same_bytes_with_any_number_of_threads(cut_block, tmp_path):
    register(cut_block, 0, 1, tmp_path / "a.json", threads=1)
    register(cut_block, 0, 1, tmp_path / "b.json", threads=2)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_slices_without_common_tissue_say_so(cut_block, tmp_path):
    record = register(cut_block, 0, 3, tmp_path / "t.json")
    assert record["distance_planes"] > 0
    metrics = json.loads((tmp_path / "t.metrics.json").read_text())
    assert metrics["overall_status"] == "not_used"
    assert any("share no tissue" in text for text in metrics["notes"])


def test_slices_without_common_tissue_are_put_off_where_others_lie_between_them(
    cut_block, tmp_path
):
    shifts = cut_block.root / "shifts_xy.csv"
    record = register(cut_block, 0, 3, tmp_path / "t.json", shifts=shifts)
    assert (record["status"], record["failure"]) == ("put_off", "across_unseen_tissue")
    assert record["distance_planes"] > 0
    assert record["correlation"] is None
    metrics = json.loads((tmp_path / "t.metrics.json").read_text())
    assert metrics["overall_status"] == "not_used"
    assert not metrics["metrics"]


def test_slices_one_plane_deep_are_registered(write_one_slice, tmp_path):
    rng = np.random.default_rng(0)
    from scipy.ndimage import gaussian_filter

    image = gaussian_filter(rng.random((90, 100)), 2.0)
    image -= image.min()
    paths = [
        write_one_slice(tmp_path / f"slice_z{i:02d}_normalize.ome.zarr", part[None], i)
        for i, part in enumerate((image[:80, :90], image[5:85, 3:93]))
    ]
    output = tmp_path / "t.json"
    register_pairwise(fixed=paths[0], moving=paths[1], output=output)
    assert json.loads(output.read_text())["translation_yx"] == pytest.approx([-5, -3], abs=0.1)


def test_a_depth_that_differs_from_the_expected_one_is_measured(
    cut_block, write_one_slice, tmp_path
):
    # The second slice was cut 2 planes deeper than the interval says.
    fixed = write_one_slice(tmp_path / "slice_z00_n.ome.zarr", cut_block.tissue[:24], 0)
    moving = write_one_slice(tmp_path / "slice_z01_n.ome.zarr", cut_block.tissue[10:34], 1)
    output = tmp_path / "t.json"
    register_pairwise(fixed=fixed, moving=moving, output=output, **SETTINGS)
    record = json.loads(output.read_text())
    assert record["z_drift_planes"] == pytest.approx(2, abs=0.3)  # planes
    assert record["fixed_z"] - record["moving_z"] == 10


def test_slices_in_the_wrong_order_are_refused(cut_block, tmp_path):
    with pytest.raises(InputError, match="fixed slice 2 does not come before moving slice 1"):
        register(cut_block, 2, 1, tmp_path / "t.json")


@pytest.mark.parametrize("ratio", [1.0, 1.01, 0.97])
def test_a_slice_of_nearly_the_same_pitch_is_found_where_it_is(
    cut_block, write_one_slice, tmp_path, ratio
):
    source = open_level(cut_block.slice(1))
    data = np.asarray(source[:])
    scale = np.array([1.0, ratio, ratio])  # of the new pitch
    shape = tuple(int(n) for n in data.shape / scale)
    finer = affine_transform(data, scale, 0.5 * scale - 0.5, shape, order=1)
    pitch = (0.01, 0.01 * ratio, 0.01 * ratio)
    corner = source.attrs["stage"]["origin_mm"]
    path = tmp_path / "slice_z01_n.ome.zarr"
    other = write_one_slice(path, finer, 1, pitch_mm=pitch, origin_mm=corner)
    output = tmp_path / "t.json"
    register_pairwise(fixed=cut_block.slice(0), moving=other, output=output, **SETTINGS)
    record = json.loads(output.read_text())
    miss = np.hypot(*(place_in_moving(record, POINTS) - cut_block.relative(0, 1, POINTS)).T)
    assert miss.max() < 0.2


def test_slices_of_different_pitch_are_refused(cut_block, write_one_slice, tmp_path):
    other = write_one_slice(
        tmp_path / "slice_z09_n.ome.zarr", np.ones((4, 64, 64)), 9, pitch_mm=(0.01, 0.02, 0.02)
    )
    with pytest.raises(InputError, match="resample all grids to one pitch"):
        register_pairwise(fixed=cut_block.slice(0), moving=other, output=tmp_path / "t.json")


def test_impossible_settings_are_refused(cut_block, tmp_path):
    with pytest.raises(ParameterError, match="slicing_interval_mm is -1"):
        register_pairwise(
            fixed=cut_block.slice(0),
            moving=cut_block.slice(1),
            output=tmp_path / "t.json",
            slicing_interval_mm=-1,
        )


def test_slices_that_show_gel_only_are_left_to_the_stage(write_one_slice, tmp_path):
    rng = np.random.default_rng(4)
    # Both hold the same rests of shading, which would pass for a sure match.
    shading = 1 + 0.05 * np.cos(np.arange(90) / 6)[:, None] * np.cos(np.arange(80) / 5)
    gels = [0.2 * shading * rng.gamma(8, 1 / 8, (16, 90, 80)) for _ in range(2)]
    paths = [
        write_one_slice(tmp_path / f"slice_z{i:02d}_normalize.ome.zarr", part, i)
        for i, part in enumerate(gels)
    ]
    output = tmp_path / "t.json"
    register_pairwise(fixed=paths[0], moving=paths[1], output=output, slicing_interval_mm=0.05)
    record = json.loads(output.read_text())
    assert (record["status"], record["reason"]) == ("error", "no tissue in slices 0 and 1")
    assert record["translation_yx"] == [0.0, 0.0]
    assert record["correlation"] is None
    metrics = json.loads((tmp_path / "t.metrics.json").read_text())
    assert metrics["overall_status"] == "warning"
