"""All evidence about where the slices go, from files to ``alignment.json``."""

import json
import shutil

import numpy as np
import pytest

from mosaicflow.alignment.solution import Alignment
from mosaicflow.errors import InputError, QualityError
from mosaicflow.io.tables import read_csv
from mosaicflow.stages.register_pairwise import register_pairwise
from mosaicflow.stages.solve_alignment import solve_alignment

POINTS = np.array([[65.5, 59.5], [30.0, 40.0], [100.0, 80.0]])


@pytest.fixture(scope="module")
def transforms(cut_block, tmp_path_factory):
    folder = tmp_path_factory.mktemp("transforms")
    for fixed, moving in ((0, 1), (1, 2), (2, 3), (0, 2), (1, 3), (0, 3)):
        register_pairwise(
            fixed=cut_block.slice(fixed),
            moving=cut_block.slice(moving),
            output=folder / f"z{fixed:02d}_z{moving:02d}_transform.json",
            slicing_interval_mm=0.08,
        )
    return tuple(sorted(folder.glob("*_transform.json")))


def solve(block, folder, **options):
    arguments = {
        "shifts": block.root / "shifts_xy.csv",
        "slice_config": block.root / "slice_config.csv",
        "slices": block.slices,
        "output_dir": folder,
        "slicing_interval_mm": 0.08,
        **options,
    }
    solve_alignment(**arguments)
    document = json.loads((folder / "alignment.json").read_text())
    return Alignment.from_json(document, "alignment.json")


def miss_of(block, alignment, upper, lower):
    """Largest distance by which two slices miss each other [px]."""
    motions = {one.slice_id: one.transform for one in alignment.slices}
    there = motions[lower].inverse().about((0.0, 0.0)).apply(motions[upper].apply(POINTS))
    return np.hypot(*(there - block.relative(upper, lower, POINTS)).T).max()


def miss_of_neighbours(block, alignment):
    """Largest distance by which neighbours miss each other [px]."""
    ids = sorted(one.slice_id for one in alignment.slices)
    return max(miss_of(block, alignment, i, i + 1) for i in ids[:-1])


def test_neighbours_are_placed_to_a_tenth_of_a_pixel(cut_block, transforms, tmp_path):
    found = solve(cut_block, tmp_path, transforms=transforms)
    assert miss_of_neighbours(cut_block, found) < 0.15  # px, the target
    assert [one.source for one in found.slices] == ["graph", "graph", "reference", "graph"]
    assert [one.z_plane for one in found.slices] == pytest.approx([0, 8, 16, 24], abs=0.15)
    assert [one.section.source for one in found.slices[1:]].count("measured") >= 2
    assert found.n_planes == 24 + 20
    for one in found.slices:  # both are told, and refinement never loses
        by_graph = one.evidence["held_out_correlation_graph"]
        assert by_graph > one.evidence["held_out_correlation_stage"]
    metrics = json.loads((tmp_path / "alignment.metrics.json").read_text())["metrics"]
    by_pairs, by_stage = (
        metrics[name]["value"] for name in ("held_out_correlation", "held_out_correlation_stage")
    )
    assert by_pairs > by_stage


@pytest.fixture
def ends(cut_block, tmp_path):
    """The uppermost and the lowest slice alone, which share no tissue."""
    ledger = tmp_path / "slice_config.csv"
    ledger.write_text("slice_id,use,exclude_reason\n0,true,\n1,false,hair\n2,false,hair\n3,true,\n")
    return {"slices": (cut_block.slice(0), cut_block.slice(3)), "slice_config": ledger}


@pytest.fixture
def with_far_pairs_put_off(cut_block, tmp_path):
    """All pairs as a run registers them; slices 0 and 3 share no tissue."""
    for fixed, moving in ((0, 1), (1, 2), (2, 3), (0, 2), (1, 3), (0, 3)):
        register_pairwise(
            fixed=cut_block.slice(fixed),
            moving=cut_block.slice(moving),
            shifts=cut_block.root / "shifts_xy.csv",
            output=tmp_path / f"z{fixed:02d}_z{moving:02d}_transform.json",
            slicing_interval_mm=0.08,
        )
    return tuple(sorted(tmp_path.glob("*_transform.json")))


def test_a_pair_that_was_put_off_is_compared_across_a_gap_alone(
    cut_block, with_far_pairs_put_off, ends, tmp_path
):
    whole = solve(cut_block, tmp_path / "whole", transforms=with_far_pairs_put_off)
    assert whole.bridges == ()
    found = solve(cut_block, tmp_path / "ends", transforms=with_far_pairs_put_off, **ends)
    (bridge,) = found.bridges
    assert (bridge["fixed_id"], bridge["moving_id"], bridge["status"]) == (0, 3, "ok")
    assert [one.source for one in found.slices] == ["graph", "reference"]
    (gap,) = found.gaps
    assert 0 < gap.sigma_px < 15
    miss = miss_of(cut_block, found, 0, 3)
    assert miss < 4 * gap.sigma_px


def test_a_pair_across_a_gap_says_the_same_whether_it_was_put_off_or_not(
    cut_block, transforms, with_far_pairs_put_off, ends, tmp_path
):
    files = {"at once": transforms, "put off": with_far_pairs_put_off}
    found = [
        solve(cut_block, tmp_path / name, transforms=own, **ends).slices[0].transform
        for name, own in files.items()
    ]
    assert found[0].translation_yx == pytest.approx(found[1].translation_yx, abs=1e-3)


def test_the_order_of_inputs_changes_nothing(cut_block, transforms, tmp_path):
    solve(cut_block, tmp_path / "a", transforms=transforms)
    solve(cut_block, tmp_path / "b", transforms=transforms[::-1], slices=cut_block.slices[::-1])
    same = [(tmp_path / name / "alignment.json").read_bytes() for name in "ab"]
    assert same[0] == same[1]


@pytest.mark.parametrize("preset", ["conservative", "aggressive"])
def test_good_pairs_count_with_any_preset_that_looks_at_them(
    cut_block, transforms, tmp_path, preset
):
    found = solve(cut_block, tmp_path, transforms=transforms, alignment_preset=preset)
    assert miss_of_neighbours(cut_block, found) < 0.15  # px


def test_the_minimal_preset_is_the_stage_and_the_interval_alone(cut_block, transforms, tmp_path):
    found = solve(cut_block, tmp_path / "a", transforms=transforms, alignment_preset="minimal")
    alone = solve(cut_block, tmp_path / "b", use_expected_z_overlap=True)
    assert [one.transform for one in found.slices] == [one.transform for one in alone.slices]
    assert [one.z_plane for one in found.slices] == [0, 8, 16, 24]
    assert all("the preset takes the stage alone" in " ".join(one.reasons) for one in found.slices)


def test_without_pairs_the_stage_decides(cut_block, tmp_path):
    found = solve(cut_block, tmp_path)
    assert [one.source for one in found.slices] == ["stage", "stage", "reference", "stage"]
    assert {one.transform.angle_deg for one in found.slices} == {0.0}
    shift = np.subtract(
        found.slices[1].transform.translation_yx, found.slices[0].transform.translation_yx
    )
    assert shift == pytest.approx([3, -2])  # px, as the stage reports it
    metrics = json.loads((tmp_path / "alignment.metrics.json").read_text())
    assert metrics["overall_status"] == "warning"
    assert metrics["metrics"]["unjoined_neighbours"]["value"] == 3
    assert "no usable link to another slice" in found.slices[0].reasons


def test_every_slice_is_placed_or_listed_with_its_reason(cut_block, transforms, tmp_path):
    (tmp_path / "slice_config.csv").write_text(
        "slice_id,use,exclude_reason\n0,true,\n1,false,low_quality\n2,true,\n3,true,\n4,true,\n"
    )
    record = {"slice_id": 4, "stage": "stitch_3d", "reason": "no tile has data", "remedy": ""}
    (tmp_path / "z04_failure.json").write_text(json.dumps(record))
    found = solve(
        cut_block,
        tmp_path,
        transforms=transforms,
        slice_config=tmp_path / "slice_config.csv",
        failures=(tmp_path / "z04_failure.json",),
    )
    assert [one.slice_id for one in found.slices] == [0, 2, 3]
    assert [(one.slice_id, one.status, one.reason) for one in found.left_out] == [
        (1, "excluded", "low_quality"),
        (4, "failed", "no tile has data"),
    ]
    assert [one.z_plane for one in found.slices] == pytest.approx([0, 16, 24], abs=0.3)
    final = {row["slice_id"]: row for row in read_csv(tmp_path / "slice_config_final.csv")}
    assert final["4"]["notes"] == "stitch_3d failed: no tile has data"
    assert final["1"]["use"] == "false"


def test_an_untrusted_step_at_a_failed_slice_gives_way_to_those_around_it(cut_block, tmp_path):
    lines = (cut_block.root / "shifts_xy.csv").read_text().splitlines()
    columns = lines[0].split(",")
    rows = [dict(zip(columns, line.split(","), strict=True)) for line in lines[1:]]
    for row in rows[1:]:
        row.update(x_shift_mm="0.9", y_shift_mm="0.9", reliable="0")
    text = "\n".join([lines[0], *(",".join(row[key] for key in columns) for row in rows)])
    (tmp_path / "shifts.csv").write_text(text)
    record = {"slice_id": 2, "stage": "stitch_3d", "reason": "no tile has data", "remedy": ""}
    (tmp_path / "z02_failure.json").write_text(json.dumps(record))
    found = solve(
        cut_block,
        tmp_path,
        shifts=tmp_path / "shifts.csv",
        slices=cut_block.slices[:2] + cut_block.slices[3:],
        failures=(tmp_path / "z02_failure.json",),
    )
    assert max(found.canvas_yx) < 200  # px: two steps of 90 px would make it 300 wide


def test_the_ledger_keeps_foreign_columns_and_takes_up_fragments(cut_block, tmp_path):
    (tmp_path / "rehoming_config.csv").write_text(
        "slice_id,rehomed,rehoming_reliable\n03,true,false\n"
    )
    solve(cut_block, tmp_path, config_fragments=(tmp_path / "rehoming_config.csv",))
    rows = read_csv(tmp_path / "slice_config_final.csv")
    assert rows[3]["rehomed"] == "true"
    assert [row["remark"] for row in rows] == ["mine"] * 4


def test_a_slice_that_vanished_is_an_error(cut_block, tmp_path):
    with pytest.raises(InputError, match="slice 3 is to be used but arrived neither"):
        solve(cut_block, tmp_path, slices=cut_block.slices[:3])


def test_a_pair_that_failed_is_mentioned_and_not_mistaken_for_a_slice(cut_block, tmp_path):
    record = {"slice_id": 0, "stage": "register_pairwise", "reason": "no data", "remedy": ""}
    path = tmp_path / "z00_z01_failure.json"
    path.write_text(json.dumps(record))
    found = solve(cut_block, tmp_path, failures=(path,))
    assert len(found.slices) == 4
    metrics = json.loads((tmp_path / "alignment.metrics.json").read_text())
    assert "pair 0-1: no data" in metrics["warnings"]


def test_without_any_slice_there_is_nothing_to_align(cut_block, tmp_path):
    (tmp_path / "c.csv").write_text("slice_id,use\n0,false\n1,false\n2,false\n3,false\n")
    with pytest.raises(QualityError, match="no slice is left"):
        solve(cut_block, tmp_path, slice_config=tmp_path / "c.csv")


def test_one_slice_of_one_plane_goes_through(write_one_slice, tmp_path):
    rng = np.random.default_rng(0)
    path = write_one_slice(tmp_path / "slice_z00_n.ome.zarr", rng.random((1, 40, 50)), 0)
    (tmp_path / "shifts.csv").write_text("fixed_id,moving_id,x_shift_mm,y_shift_mm\n")
    (tmp_path / "slices.csv").write_text("slice_id,use\n0,true\n")
    solve_alignment(
        shifts=tmp_path / "shifts.csv",
        slice_config=tmp_path / "slices.csv",
        slices=(path,),
        output_dir=tmp_path,
    )
    document = json.loads((tmp_path / "alignment.json").read_text())
    assert (document["n_planes"], document["canvas_yx"]) == (1, [40, 50])


def test_the_ledger_takes_up_what_the_grid_found_out_about_the_galvo(write_one_slice, tmp_path):
    planes = np.random.default_rng(0).random((1, 40, 50))
    path = write_one_slice(tmp_path / "slice_z00_n.ome.zarr", planes, 0)
    attributes = json.loads((path / ".zattrs").read_text())
    attributes["mosaicflow"]["galvo"] = {"confidence": 0.91234, "applied": True, "shift": 3}
    (path / ".zattrs").write_text(json.dumps(attributes))
    (tmp_path / "shifts.csv").write_text("fixed_id,moving_id,x_shift_mm,y_shift_mm\n")
    (tmp_path / "slices.csv").write_text("slice_id,use,galvo_confidence,galvo_fix\n00,true,,\n")
    solve_alignment(
        shifts=tmp_path / "shifts.csv",
        slice_config=tmp_path / "slices.csv",
        slices=(path,),
        output_dir=tmp_path,
    )
    (row,) = read_csv(tmp_path / "slice_config_final.csv")
    assert (row["galvo_confidence"], row["galvo_fix"]) == ("0.9123", "true")


def test_a_true_pitch_of_10_02_um_lands_on_a_canvas_of_10_um(write_one_slice, tmp_path):
    rng = np.random.default_rng(0)
    path = write_one_slice(
        tmp_path / "slice_z00_n.ome.zarr",
        rng.random((12, 500, 400)),
        0,
        pitch_mm=(0.00998, 0.01002, 0.01002),
    )
    (tmp_path / "shifts.csv").write_text("fixed_id,moving_id,x_shift_mm,y_shift_mm\n")
    (tmp_path / "slices.csv").write_text("slice_id,use\n0,true\n")
    solve_alignment(
        shifts=tmp_path / "shifts.csv",
        slice_config=tmp_path / "slices.csv",
        slices=(path,),
        output_dir=tmp_path,
    )
    document = json.loads((tmp_path / "alignment.json").read_text())
    assert document["pitch_um"] == [10.0, 10.0, 10.0]
    assert document["canvas_yx"] == [501, 401]  # 5010 um and 4008 um, outer edges kept
    assert document["slices"][0]["pixel_scale_yx"] == pytest.approx([1.002, 1.002])


def test_copies_of_a_slice_are_refused(cut_block, tmp_path):
    twin = tmp_path / "slice_z01_common.ome.zarr"
    shutil.copytree(cut_block.slice(1), twin)
    with pytest.raises(InputError, match="slice 1 was given twice"):
        solve(cut_block, tmp_path, slices=(*cut_block.slices, twin))


def write_overrides(folder, *rows):
    table = folder / "overrides.csv"
    header = "kind,slice_id,iy,ix,dy_px,dx_px,angle_deg,sigma_px,lock,exclude,note"
    table.write_text("\n".join([header, *rows]) + "\n")
    return table


def test_rows_of_overrides_place_and_exclude_slices(cut_block, transforms, tmp_path):
    table = write_overrides(
        tmp_path,
        "slice,1,,,4,-3,1.5,,true,,by eye",
        "slice,3,,,,,,,,true,torn",
        "tile,0,1,1,2,2,,,,,",
        "slice,9,,,1,1,,,,,",
    )
    found = solve(cut_block, tmp_path, transforms=transforms, overrides=table)
    placed = {one.slice_id: one for one in found.slices}
    assert placed[1].source == "manual"
    assert placed[1].confidence == 1.0
    assert placed[1].evidence["note"] == "by eye"
    assert "note" not in placed[0].evidence
    assert placed[1].evidence["moved_from_stage_px"] == pytest.approx([4, -3], abs=0.01)
    assert placed[1].transform.angle_deg == pytest.approx(1.5, abs=0.01)
    assert [(one.slice_id, one.status, one.reason) for one in found.left_out] == [
        (3, "excluded", "manually_excluded: torn")
    ]
    final = {row["slice_id"]: row for row in read_csv(tmp_path / "slice_config_final.csv")}
    assert final["03"]["use"] == "false"
    assert final["03"]["exclude_reason"] == "manually_excluded: torn"
    metrics = json.loads((tmp_path / "alignment.metrics.json").read_text())
    assert any("slice 9 did not arrive" in text for text in metrics["warnings"])
    assert "slice 3 excluded: manually_excluded: torn" in metrics["notes"]  # as it was asked for
    assert metrics["metrics"]["slices_by_manual"]["value"] == 1


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["slice,1,,,,,,,,,"], "nothing is said about slice 1"),
        (["slice,1,,,1,1,,,,,", "slice,01,,,2,2,,,,,"], "two rows are about slice 1"),
    ],
)
def test_a_row_of_overrides_that_cannot_be_followed_is_named(cut_block, tmp_path, rows, message):
    with pytest.raises(InputError, match=message):
        solve(cut_block, tmp_path, overrides=write_overrides(tmp_path, *rows))
