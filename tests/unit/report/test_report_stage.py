"""The page, the record and the guide say what the files of a run say, and nothing else."""

import json
import re

import pytest

from mosaicflow.engine.about import write_facts
from mosaicflow.engine.layout import RunFolder
from mosaicflow.engine.parameters import Parameters
from mosaicflow.errors import MosaicflowError
from mosaicflow.io.tables import write_json
from mosaicflow.report.about import read_facts


def text_of(page):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.partition("<body>")[2]))


def test_a_sound_run_has_a_verdict_without_exceptions(sound_run):
    record, page = sound_run.make()
    assert record["verdict"] == {
        "status": "ok", "fail_on": "error", "failed": False,
        "sentence": "In this volume lengths, areas and volumes can be measured everywhere.",
    }  # fmt: skip
    assert record["verdict"]["sentence"] in page
    assert record["slices"] == {"found": 5, "failed": {}, "excluded": {}, "placed": 5}
    assert not [line for line in record["closing"] if line.startswith(("warning", "error"))]
    assert record["closing"][-1].endswith("mosaicflow view {output}/3d_volume.ome.zarr")


def test_slices_that_share_no_tissue_are_a_note_and_not_an_error(sound_run):
    _, page = sound_run.make()
    text = text_of(page)
    assert "1 share no tissue and are not expected to match" in text
    assert "the slices share no tissue: planes 16 apart were compared" in text


def test_a_lost_slice_reads_differently_from_one_that_was_excluded(lossy_run):
    record, page = lossy_run.make()
    text = text_of(page)
    assert "slice failed slice 2 stitch_3d: no tile copy it again" in text
    assert "slice excluded automatically slice 1 it matches none of its neighbours" in text
    assert "slice excluded by you slice 3 torn" in text
    assert "slice missing slice 4" in text
    assert record["slices"]["failed"] == {"2": "stitch_3d: no tile"}
    assert record["slices"]["excluded"] == {"1": "matches_no_neighbour", "3": "torn"}
    found = record["slices"]
    assert found["found"] == found["placed"] + len(found["excluded"]) + len(found["failed"])
    assert "slice 2 is not in the volume (failed): stitch_3d: no tile" in record["closing"]


def test_two_slices_lost_in_five_spoil_the_volume(lossy_run):
    record, _ = lossy_run.make()
    assert record["verdict"]["status"] == "error"
    assert record["verdict"]["sentence"].startswith("This volume cannot be trusted as a whole: ")
    assert record["verdict"]["failed"]


def test_one_lost_slice_is_a_loud_warning_and_no_failure(sound_run):
    sound_run.align([0, 1, 3, 4])
    (sound_run.folder / "slice_z02_normalize.metrics.json").unlink()
    told = {"slice_id": 2, "stage": "normalize", "reason": "no contrast", "remedy": ""}
    write_json(sound_run.folder / "z02_failure.json", told)
    record, _ = sound_run.make()
    verdict = record["verdict"]
    assert (verdict["status"], verdict["failed"]) == ("warning", False)
    assert "slice 2 is not in it (failed: no contrast)" in verdict["sentence"]


def test_what_a_lost_slice_brings_with_it_is_no_further_error(lossy_run):
    lossy_run.pair(0, 1, 0.1)
    lossy_run.metrics(
        "alignment", "solve_alignment", warnings=[("slice 1: matches_no_neighbour", "left_out")]
    )
    record, page = lossy_run.make()
    assert (
        "warning: solve_alignment: slice 1: it matches none of its neighbours" in record["closing"]
    )
    assert not [line for line in record["closing"] if line.startswith("error")]
    assert 'note">correlation 0.1, below 0.5' in page


@pytest.mark.parametrize(
    ("fail_on", "failed"), [("never", False), ("error", False), ("warning", True)]
)
def test_fail_on_says_from_which_verdict_a_run_has_failed(sound_run, fail_on, failed):
    sound_run.slice(3, seam=1.4)
    record, _ = sound_run.make(fail_on)
    assert record["verdict"]["status"] == "warning"
    assert record["verdict"]["sentence"].endswith("; look at slice 3 first.")
    assert record["verdict"]["failed"] == failed


@pytest.mark.parametrize(
    ("value", "status", "words"),
    [
        (4.0, "warning", "everywhere; meaning of flat_field_error is 4 (bad from 3)."),
        (12.0, "error", "as a whole: meaning of flat_field_error is 12 (bad from 10)."),
    ],
)
def test_a_number_about_the_whole_run_is_in_the_verdict(sound_run, value, status, words):
    light = {"flat_field_error": (value, 3.0, 10.0)}
    sound_run.metrics("illumination", "estimate_illumination", **light)
    record, _ = sound_run.make()
    assert record["verdict"]["status"] == status
    assert record["verdict"]["sentence"].endswith(words)


def test_a_slice_that_the_sentence_blames_comes_before_others_that_are_odd(sound_run):
    sound_run.metrics("3d_volume", "stack", of="slice 4", gain_max=(6.6, 1.5))
    record, page = sound_run.make()
    blamed = (
        "In this volume lengths, areas and volumes can be measured everywhere; meaning of"
        " gain_max (slice 4) is 6.6 (bad from 1.5)"
    )
    assert record["verdict"]["sentence"] == f"{blamed}."
    table = page.partition('id="slice-table"')[2]
    assert re.findall(r'id="slice-(\d)"', table) == ["4", "0", "1", "2", "3"]
    sound_run.slice(1, seam=1.4)
    record, _ = sound_run.make()
    assert record["verdict"]["sentence"] == f"{blamed}; look at slice 1, too."


def test_a_slice_that_a_person_left_out_is_nobody_s_fault(sound_run):
    left_out = [{"slice_id": 2, "status": "excluded", "reason": "torn"}]
    sound_run.align([0, 1, 3, 4], left_out=left_out)
    sound_run.slice(3, seam=1.4)
    record, _ = sound_run.make()
    assert record["verdict"]["sentence"].endswith("; look at slice 3 first.")


def test_a_slice_that_somebody_placed_or_left_out_is_told_with_their_words(sound_run):
    code = "manually_excluded: torn"
    left_out = [{"slice_id": 2, "status": "excluded", "reason": code}]
    sound_run.align([0, 1, 3, 4], left_out=left_out)
    alignment = json.loads((sound_run.folder / "alignment.json").read_text())
    alignment["slices"][0]["evidence"]["note"] = "by eye"
    alignment["slices"][1]["evidence"]["note"] = ""
    write_json(sound_run.folder / "alignment.json", alignment)
    record, page = sound_run.make()
    text = text_of(page)
    assert "placed by hand slice 0 a row of overrides says where it lies: by eye" in text
    assert "placed by hand slice 1 a row of overrides says where it lies" in text
    assert "placed by hand slice 3" not in text
    why = "slice excluded by you slice 2 a row of overrides.csv leaves it out: torn"
    assert why in text
    assert record["slices"]["excluded"] == {"2": code}


def test_of_one_slice_nothing_is_compared_between_slices_or_looked_at_first(empty_run):
    empty_run.slice(0, seam=1.4)
    empty_run.align([0])
    told = {"profile_source": "per-slice"}
    empty_run.metrics("depth_profile", "estimate_depth_profile", **told)
    record, _ = empty_run.make()
    assert record["verdict"]["sentence"] == (
        "In this volume lengths and areas can be measured everywhere; see below what was noticed."
    )


def test_findings_are_grouped_by_cause_with_advice(sound_run):
    for z in (1, 3):
        sound_run.slice(z, seam=1.4)
    _, page = sound_run.make()
    text = text_of(page)
    assert "seam_ratio 1.4, above 1.3: meaning of seam_ratio (2 times)" in text
    assert "2 of the slices: slices 1, 3" in text
    assert "shading is left in the tiles" in text
    assert "/docs/stages/stitch_3d.md" in page


def holed(run, moves):
    """Half of slice 3 has no image, and nothing joins the two tiles that have."""
    counts = {"tiles_found": 4, "tiles_placed": 2, "tiles_unusable": 2, "tiles_unplaced": 0}
    told = "z03/tile_x01_y00: all samples are 0: no fit uses the tile [blank_tile, keep]"
    run.metrics(
        "mosaic_grid_3d_z03", "create_mosaic_grid", warnings=[(told, "blank_tile")], **counts
    )
    told = (
        "the overlaps of 2 of 2 tiles could not be measured, or join no others: these tiles lie"
        " where the stage model puts them: (iy, ix) = (0, 0) +- 0.0 px, (1, 1) +- 2.8 px"
    )
    placed = {"links_used": 0, "links_possible": 0, "tiles_without_link": 2, "island_sigma": 2.8}
    run.metrics(
        "z03_tile_positions", "pool_tile_positions", warnings=[(told, "loose_tiles")], **placed
    )
    alignment = json.loads((run.folder / "alignment.json").read_text())
    alignment["slices"][3]["island_moves_yx"] = moves
    write_json(run.folder / "alignment.json", alignment)
    return run.make()


def test_what_has_no_image_is_named_and_tiles_that_neighbours_place_are_not_the_stage_s(sound_run):
    record, page = holed(sound_run, [[0.5, 1.0], [-0.5, -1.0]])
    assert record["verdict"]["sentence"] == (
        "In this volume lengths, areas and volumes can be measured, except: 2 of 4 tiles of slice 3"
        " have no image."
    )
    text = text_of(page)
    assert (
        "islands of tiles slice 3 no trusted overlap joins them to the rest: each lies where"
        in text
    )
    assert "the light was off, or the file was written without an image" in text
    assert "gel, blank or missing tiles: these overlaps show nothing to compare" in text


def test_tiles_that_nothing_places_lie_where_the_stage_has_them(sound_run):
    record, page = holed(sound_run, None)
    assert "within slice 3 most tiles lie where the stage reported" in record["verdict"]["sentence"]
    assert "placed by the stage, to 2.80 px" in text_of(page)


def test_what_the_flat_field_left_in_each_slice_is_beside_what_chance_leaves(sound_run):
    left = {"lattice_shading": (3.25, 2.5, 7.5), "lattice_shading_chance": 1.75}
    sound_run.metrics("slice_z03_stitch_3d", "stitch_3d", seam_ratio=1.05, **left)
    _, page = sound_run.make()
    text = text_of(page)
    assert "flat field left %" in text
    assert text.count("3.25 (chance 1.75)") == 1
    assert "lattice_shading 3.25, above 2.5" in text
    assert "the flat field does not fit this slice" in text


def test_a_run_of_few_tiles_says_that_what_the_flat_field_left_was_not_measured(sound_run):
    _, page = sound_run.make()
    assert re.search(r"not measured[^.]*flat field left %", text_of(page), re.I)


def test_what_was_not_measured_says_so_and_is_no_number(empty_run):
    record, page = empty_run.make()
    text = text_of(page)
    assert "not measured of not measured" in text
    assert "nan" not in text.lower().split()
    assert record["input"]["digest"] is None


def test_a_slice_without_a_record_is_a_bug(sound_run):
    write_json(sound_run.folder / "z07_tiles.json", {})
    with pytest.raises(MosaicflowError, match=r"slices \[7\] went in and neither came out"):
        sound_run.make()


def test_settings_that_differ_are_named_with_their_default(sound_run):
    record, page = sound_run.make(crop_depth_um=300.0)
    assert "crop_depth_um 300 600" in text_of(page)
    assert record["parameters"]["crop_depth_um"] == 300.0
    guide = (sound_run.folder.parent / "out" / "README.txt").read_text()
    assert "  crop_depth_um: 300\n" in guide
    assert "fail_on" not in guide.partition("Settings that differ")[2]
    assert record["outputs"] == ["a", "b"]


def test_the_page_needs_nothing_else_and_is_small(long_run):
    """Fifty slices whose pictures nothing compresses: a real page is smaller."""
    _, page = long_run.make()
    assert len(page.encode()) < 5_000_000
    assert page.count("data:image/jpeg;base64,") == 49 + 2  # with the volume and the layout
    assert not re.findall(r"<(?:script|link|iframe)|src=\"(?!data:)|@import|url\((?!#)", page)


def test_time_and_memory_by_stage_and_what_was_not_measured(sound_run):
    _, page = sound_run.make()
    text = text_of(page)
    assert "stack 1 done 3.25 314.6 MB" in text
    assert "normalize 5 kept 0.500 not measured" in text
    assert "fix_focal_curvature 5 with nothing to do 0.00" in text


def test_names_in_the_files_of_a_run_cannot_change_the_page(sound_run):
    sound_run.metrics(
        "acquisition", "inspect_acquisition", warnings=[("<b onload=x>z1</b>", "ledger")]
    )
    _, page = sound_run.make()
    assert "<b onload" not in page
    assert "&lt;b onload" in page


def test_a_scale_bar_is_as_long_as_it_says(sound_run):
    _, page = sound_run.make()
    # 80 px of 10 um: a quarter of 800 um is 200 um.
    assert re.search(r'class="bar" style="width:25\.00%">200 µm', page)


def test_the_engine_writes_the_facts_that_the_stage_reads(tmp_path):
    folder = RunFolder(tmp_path)
    folder.private.mkdir()
    parameters = Parameters({"crop_depth_um": 250})
    path = write_facts(folder, "mouse7.ome.zarr", ["b", "a"], parameters, {"threads": 3})
    facts = read_facts(path)
    assert facts.volume == "mouse7.ome.zarr"
    assert facts.outputs == ("a", "b")
    assert facts.changed == {"crop_depth_um": ("250", "600")}
    assert facts.engine["threads"] == 3
