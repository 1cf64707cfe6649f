"""The volume against the block the slices were cut from."""

import json

import numpy as np
import pytest

from mosaicflow.alignment.solution import AlignedSlice, Alignment
from mosaicflow.errors import InputError
from mosaicflow.io.store_options import StoreOptions
from mosaicflow.io.tables import read_csv, write_json
from mosaicflow.io.zarr import open_level, read_omezarr_info, validate_omezarr
from mosaicflow.rigid import Rigid2D
from mosaicflow.stages.stack import stack

INTERVAL = 8


def write_alignment(path, slices, canvas, n_planes, pitch_um=(10.0, 10.0, 10.0)):
    alignment = Alignment(slices[0].slice_id, pitch_um, canvas, n_planes, INTERVAL, tuple(slices))
    write_json(path, alignment.to_json())
    return path


def exact(slice_id, motion, plane):
    return AlignedSlice(slice_id, motion, (1.0, 1.0), plane, 0.9, "graph")


@pytest.fixture(scope="module")
def volume(cut_block, tmp_path_factory):
    """The block put together again with the motions that cut it."""
    folder = tmp_path_factory.mktemp("volume")
    slices = [exact(i, motion, INTERVAL * i) for i, motion in enumerate(cut_block.motions)]
    shape = cut_block.tissue.shape
    alignment = write_alignment(folder / "alignment.json", slices, shape[1:], shape[0])
    output = folder / "3d_volume.ome.zarr"
    stack(slices=cut_block.slices, alignment=alignment, output=output, threads=2)
    return output


def test_the_volume_shows_the_block(cut_block, volume):
    found = open_level(volume)[:]
    truth = cut_block.tissue
    seen = found > 0
    # Two linear samplings and speckle of 20 % stand between them.
    assert np.corrcoef(found[seen], truth[seen])[0, 1] > 0.93
    inner = (slice(None), slice(40, 130), slice(40, 120))
    assert seen[inner].all()


def test_levels_have_the_pitches_asked_for(volume):
    info = read_omezarr_info(volume)
    assert [level.scale_um for level in info.levels] == [
        (10.0, 10.0, 10.0),
        (25.0, 25.0, 25.0),
        (50.0, 50.0, 50.0),
        (100.0, 100.0, 100.0),
    ]
    assert info.mosaicflow["kind"] == "volume"
    assert [one["slice_id"] for one in info.mosaicflow["slices"]] == [0, 1, 2, 3]


def test_tables_tell_what_was_done(volume):
    matches = read_csv(volume.with_name("z_matches.csv"))
    assert [(row["fixed_id"], row["moving_id"]) for row in matches] == [
        ("0", "1"),
        ("1", "2"),
        ("2", "3"),
    ]
    assert {row["overlap_voxels"] for row in matches} == {"12"}
    assert {row["blend_overlap_voxels"] for row in matches} == {"5"}
    assert all(float(row["correlation"]) > 0.9 for row in matches)
    decisions = read_csv(volume.with_name("stacking_decisions.csv"))
    assert [row["slice_id"] for row in decisions] == ["0", "1", "2", "3"]
    assert decisions[0]["fixed_id"] == ""
    planes = read_csv(volume.with_name("stack_z_intensity.csv"))
    assert len(planes) == 44
    assert planes[-1]["slice_id"] == "3"
    assert volume.with_name("3d_volume.png").stat().st_size > 1000
    metrics = json.loads(volume.with_name("3d_volume.metrics.json").read_text())
    assert metrics["metrics"]["slices_stacked"]["value"] == 4
    assert metrics["metrics"]["seam_step"]["value"] < 0.05  # the target


def test_threads_change_no_byte(cut_block, volume, tmp_path):
    output = tmp_path / "3d_volume.ome.zarr"
    alignment = volume.with_name("alignment.json")
    stack(slices=cut_block.slices[::-1], alignment=alignment, output=output, threads=1)
    np.testing.assert_array_equal(open_level(output)[:], open_level(volume)[:])


@pytest.fixture
def flat_slices(write_one_slice, tmp_path):
    """Three slices of constant brightness, 20 planes each."""

    def write(values, shape=(20, 40, 50), ids=None, **options):
        ids = ids or range(len(values))
        return [
            write_one_slice(
                tmp_path / f"slice_z{i:02d}_n.ome.zarr", np.full(shape, value), i, **options
            )
            for i, value in zip(ids, values, strict=True)
        ]

    return write


STILL = Rigid2D(0.0, (19.5, 24.5), (0.0, 0.0))


def test_constant_slices_stack_to_the_constant(flat_slices, tmp_path):
    paths = flat_slices([0.5, 0.5, 0.5])
    turned = Rigid2D(3.0, (19.5, 24.5), (0.3, -0.7))
    slices = [exact(0, STILL, 0), exact(1, turned, 8), exact(2, STILL, 16)]
    alignment = write_alignment(tmp_path / "a.json", slices, (40, 50), 36)
    stack(slices=tuple(paths), alignment=alignment, output=tmp_path / "v.ome.zarr")
    found = open_level(tmp_path / "v.ome.zarr")[:]
    np.testing.assert_allclose(found, 0.5, atol=1e-6)  # also where the turned slice leaves corners


def test_gains_take_the_bands_out(flat_slices, tmp_path):
    paths = flat_slices([0.5, 0.6, 0.5, 0.6])
    slices = [exact(i, STILL, 8 * i) for i in range(4)]
    alignment = write_alignment(tmp_path / "a.json", slices, (40, 50), 44)
    stack(slices=tuple(paths), alignment=alignment, output=tmp_path / "v.ome.zarr")
    levels = open_level(tmp_path / "v.ome.zarr")[:].mean(axis=(1, 2))
    assert np.ptp(levels) / levels.mean() < 0.05  # of a band of 18 %
    stack(
        slices=tuple(paths),
        alignment=alignment,
        output=tmp_path / "w.ome.zarr",
        stack_overlap_z_gain=False,
    )
    plain = open_level(tmp_path / "w.ome.zarr")[:]
    assert (plain.min(), plain.max()) == pytest.approx((0.5, 0.6))


def test_an_absent_slice_leaves_a_gap_that_is_not_glued(flat_slices, tmp_path):
    paths = flat_slices([0.5, 0.5], shape=(6, 40, 50), ids=[0, 2])
    slices = [exact(0, STILL, 0), exact(2, STILL, 16)]
    alignment = write_alignment(tmp_path / "a.json", slices, (40, 50), 22)
    stack(slices=tuple(paths), alignment=alignment, output=tmp_path / "v.ome.zarr")
    levels = open_level(tmp_path / "v.ome.zarr")[:].mean(axis=(1, 2))
    np.testing.assert_allclose(levels, [0.5] * 6 + [0.0] * 10 + [0.5] * 6)
    (match,) = read_csv(tmp_path / "z_matches.csv")
    assert (match["overlap_voxels"], match["correlation"]) == ("-10", "")


def test_a_hard_cut_shows_each_slice_from_its_face_on(flat_slices, tmp_path):
    paths = flat_slices([0.5, 0.7])
    alignment = write_alignment(
        tmp_path / "a.json", [exact(0, STILL, 0), exact(1, STILL, 8)], (40, 50), 28
    )
    stack(
        slices=tuple(paths),
        alignment=alignment,
        output=tmp_path / "v.ome.zarr",
        stack_blend_enabled=False,
        stack_overlap_z_gain=False,
    )
    levels = open_level(tmp_path / "v.ome.zarr")[:].mean(axis=(1, 2))
    np.testing.assert_allclose(levels, [0.5] * 8 + [0.7] * 20, rtol=1e-6)


def test_a_slice_of_one_plane_makes_a_volume_of_one_plane(flat_slices, tmp_path):
    paths = flat_slices([0.5], shape=(1, 40, 50))
    alignment = write_alignment(
        tmp_path / "a.json", [exact(0, STILL, 0)], (40, 50), 1, (200.0, 10.0, 10.0)
    )
    stack(slices=tuple(paths), alignment=alignment, output=tmp_path / "v.ome.zarr")
    assert open_level(tmp_path / "v.ome.zarr").shape == (1, 40, 50)
    metrics = json.loads((tmp_path / "v.metrics.json").read_text())
    assert any("one plane deep" in text for text in metrics["notes"])


def test_a_finer_pitch_is_drawn_at_its_true_size(flat_slices, tmp_path):
    paths = flat_slices([0.5], shape=(20, 40, 50), pitch_mm=(0.01, 0.0102, 0.0102))
    one = AlignedSlice(0, STILL, (1.02, 1.02), 0, 0.9, "graph")
    alignment = write_alignment(tmp_path / "a.json", [one], (45, 55), 20)
    stack(slices=tuple(paths), alignment=alignment, output=tmp_path / "v.ome.zarr")
    plane = open_level(tmp_path / "v.ome.zarr")[3]
    assert (plane > 0).sum(axis=0).max() == 41  # 40 px of 10.2 um are 40.8 px of 10 um
    assert (plane > 0).sum(axis=1).max() == 51


def test_stage_positions_alone_can_be_asked_for(flat_slices, tmp_path):
    paths = flat_slices([0.5, 0.5])
    moved = AlignedSlice(
        1,
        Rigid2D(2.0, (19.5, 24.5), (4.0, 0.0)),
        (1.0, 1.0),
        8,
        0.9,
        "graph",
        (),
        {"moved_from_stage_px": [4.0, 0.0]},
    )
    alignment = write_alignment(tmp_path / "a.json", [exact(0, STILL, 0), moved], (46, 52), 28)
    stack(
        slices=tuple(paths),
        alignment=alignment,
        output=tmp_path / "v.ome.zarr",
        apply_pairwise_transforms=False,
    )
    assert open_level(tmp_path / "v.ome.zarr").shape == (28, 40, 50)
    rows = read_csv(tmp_path / "stacking_decisions.csv")
    assert [float(row["applied_ty_px"]) for row in rows] == [0.0, 0.0]
    assert (rows[1]["transform_loaded"], rows[1]["skip_reason"]) == ("false", "switched_off")


def test_a_slice_the_alignment_places_must_be_given(cut_block, volume, tmp_path):
    with pytest.raises(InputError, match="places slice 3, which was not given"):
        stack(
            slices=cut_block.slices[:3],
            alignment=volume.with_name("alignment.json"),
            output=tmp_path / "v.ome.zarr",
        )
    assert not (tmp_path / "v.ome.zarr").exists()


def test_a_slice_the_alignment_does_not_know_is_refused(flat_slices, tmp_path):
    paths = flat_slices([0.5, 0.5])
    alignment = write_alignment(tmp_path / "a.json", [exact(0, STILL, 0)], (40, 50), 20)
    with pytest.raises(InputError, match=r"slice 1 is not in alignment\.json"):
        stack(slices=tuple(paths), alignment=alignment, output=tmp_path / "v.ome.zarr")


@pytest.fixture
def fine_slice(write_one_slice, tmp_path):
    rng = np.random.default_rng(0)
    data = rng.uniform(0.2, 0.9, (20, 40, 50))
    data[3, 3, 3] = 50.0  # dirt
    path = write_one_slice(
        tmp_path / "slice_z00_n.ome.zarr", data, 0, pitch_mm=(0.01, 0.002, 0.002)
    )
    one = AlignedSlice(0, STILL, (1.0, 1.0), 0, 0.9, "graph")
    alignment = write_alignment(tmp_path / "a.json", [one], (40, 50), 20, (10.0, 2.0, 2.0))
    return path, alignment


def test_the_native_pitch_is_in_the_volume_where_it_was_asked_for(fine_slice, tmp_path):
    path, alignment = fine_slice
    output = tmp_path / "v.ome.zarr"
    stack(slices=(path,), alignment=alignment, output=output, resolution_um=-1.0)
    info = read_omezarr_info(output)
    assert [level.scale_um[1] for level in info.levels] == [2.0, 10.0, 25.0, 50.0, 100.0]
    np.testing.assert_allclose(open_level(output)[:], open_level(path)[:], rtol=1e-6)


def test_a_volume_coarser_than_its_slices_says_so(fine_slice, tmp_path):
    path, alignment = fine_slice
    stack(slices=(path,), alignment=alignment, output=tmp_path / "v.ome.zarr")
    metrics = json.loads((tmp_path / "v.metrics.json").read_text())
    assert any("the finest level has 10 um but the slices 2 um" in t for t in metrics["warnings"])


@pytest.mark.parametrize("flavour", ["0.4", "0.5"])
def test_viewers_find_a_contrast_that_dirt_does_not_decide(fine_slice, tmp_path, flavour):
    path, alignment = fine_slice
    output = tmp_path / "v.ome.zarr"
    store = StoreOptions(ngff_version=flavour)
    stack(slices=(path,), alignment=alignment, output=output, resolution_um=-1.0, store=store)
    name = ".zattrs" if flavour == "0.4" else "zarr.json"
    document = json.loads((output / name).read_text())
    holder = document if flavour == "0.4" else document["attributes"]["ome"]
    (channel,) = holder["omero"]["channels"]
    window = channel["window"]
    assert window["start"] == pytest.approx(0.21, abs=0.03)
    assert window["end"] == pytest.approx(0.9, abs=0.03)
    assert window["min"] <= window["start"] < window["end"] <= window["max"]
    assert validate_omezarr(output) == []
