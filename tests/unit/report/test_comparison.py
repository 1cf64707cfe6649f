"""Two runs beside each other, and one run's slices by the stage and as registered."""

import base64
import io
import math
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from mosaicflow.cli.compare import compare
from mosaicflow.errors import FormatError, InputError
from mosaicflow.io.previews import save_picture
from mosaicflow.io.tables import read_json, write_json
from mosaicflow.report.comparison import compare_runs, read_run
from mosaicflow.report.overlays import canvas_from_slice, neighbour_overlays
from mosaicflow.report.pictures import run_pictures
from mosaicflow.report.records import RunFiles
from mosaicflow.rigid import Rigid2D

PLACES = {".metrics.json": "metrics", ".png": "previews", "_transform.json": "transforms"}


def finished(run, name, **parameters):
    """Lay the files of a run out as an engine publishes them."""
    run.make(**parameters)
    root = run.folder.parent / name
    for path in run.folder.iterdir():
        folder = next((to for end, to in PLACES.items() if path.name.endswith(end)), "tables")
        (root / folder).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, root / folder / path.name)
    record = read_json(run.folder.parent / "out" / "run.json")
    record["outputs"] = ["3d_volume.ome.zarr", "metrics/x"]
    (root / "pipeline_info").mkdir()
    write_json(root / "pipeline_info/run.json", record)
    return root


def cells(page, row):
    """The texts of a row of the table of slices."""
    found = re.search(rf'<tr id="slice-{row}">(.*?)</tr>', page, re.S)
    parts = re.findall(r"<td[^>]*>(.*?)</td>", found[1], re.S)
    return [re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", part)).strip() for part in parts]


def move(run, slice_id, place):
    """Put a slice elsewhere, as an alignment has it."""
    path = run.folder / "alignment.json"
    told = read_json(path)
    for one in told["slices"]:
        at = place if one["slice_id"] == slice_id else (1.0, 2.0)
        one |= {"center_yx": [30.0, 40.0], "translation_yx": list(at)}
    write_json(path, told)


def test_two_equal_runs_differ_in_nothing(sound_run):
    move(sound_run, 0, (1.0, 2.0))
    root = finished(sound_run, "first")
    page = compare_runs(read_run(root), read_run(root), ("a", "b"))
    assert "0 of 5 slices differ" in page
    assert '<p id="setting-table">None.</p>' in page
    assert {cells(page, z)[1] for z in range(5)} == {"0.00"}


def test_what_differs_is_shown_by_slice_with_both_numbers(sound_run):
    move(sound_run, 0, (1.0, 2.0))
    first = finished(sound_run, "first")
    sound_run.slice(3, seam=1.25, residual=0.4)
    move(sound_run, 3, (4.0, 6.0))
    second = finished(sound_run, "second", crop_depth_um=400.0)
    page = compare_runs(read_run(first), read_run(second), ("a", "b"))
    assert "1 of 5 slices differ" in page
    assert page.index('id="slice-3"') < page.index('id="slice-0"')
    found = cells(page, 3)
    assert found[1] == "50.0"  # 3 and 4 px of 10 um
    assert "0.0500 0.400" in found
    assert "1.05 1.25" in found
    assert cells(page, 0)[1] == "0.00"
    assert re.search(r"crop_depth_um</code></td><td>600.0</td><td>400.0", page)


def test_a_slice_without_image_says_why_in_place_of_numbers(lossy_run):
    first = finished(lossy_run, "first")
    page = compare_runs(read_run(first), read_run(first), ("a", "b"))
    assert cells(page, 2)[2] == "failed"
    assert cells(page, 1)[2] == "excluded automatically"


def test_slices_in_other_frames_are_not_called_moved(sound_run):
    move(sound_run, 0, (1.0, 2.0))
    first = finished(sound_run, "first")
    told = read_json(sound_run.folder / "alignment.json")
    for one in told["slices"]:
        one["center_yx"] = [31.0, 40.0]
    write_json(sound_run.folder / "alignment.json", told)
    page = compare_runs(read_run(first), read_run(finished(sound_run, "other")), ("a", "b"))
    assert cells(page, 0)[1] == "not measured"


def test_a_folder_without_a_finished_run_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no pipeline_info/run\.json in it"):
        read_run(tmp_path)


@pytest.mark.parametrize("entry", ["pitch_um", "canvas_yx", "translation_yx"])
def test_numbers_of_an_alignment_that_are_no_places_are_one_line(tmp_path, entry):
    for z in range(2):
        name = f"slice_z0{z}_normalize.png"
        save_picture(tmp_path / name, Image.new("L", (9, 9)), 10.0)
    place = Rigid2D(0.0, (4.0, 4.0), (0.0, 0.0)).to_json()
    evidence = {"moved_from_stage_px": [0.0, 0.0]}
    slices = [{"slice_id": z, **place, "evidence": evidence} for z in range(2)]
    alignment = {"slices": slices, "pitch_um": [10.0] * 3, "canvas_yx": [9, 9]}
    holder = slices[1] if entry == "translation_yx" else alignment
    holder[entry] = [math.inf] * len(holder[entry])
    with pytest.raises(FormatError, match=r"alignment\.json: its numbers are no places"):
        neighbour_overlays(RunFiles(tuple(tmp_path.iterdir())), alignment)


def test_the_command_writes_the_page_where_it_is_told(sound_run, capsys):
    move(sound_run, 0, (1.0, 2.0))
    root = finished(sound_run, "first")
    page = sound_run.folder.parent / "page.html"
    compare(root, output=page)
    assert capsys.readouterr().out == f"{page}\n"
    text = page.read_text()
    assert "What registration changed" in text
    assert 'src="data:' in text
    assert not re.search(r'(src|href)="https?://(?!github)', text)
    with pytest.raises(InputError, match="expected the name of a file"):
        compare(root, output=sound_run.folder)


def test_the_map_to_the_canvas_is_that_of_the_alignment():
    entry = {"angle_deg": 11.0, "center_yx": [30.0, 44.0], "translation_yx": [5.0, -7.0],
             "evidence": {"moved_from_stage_px": [2.0, 3.0]}}  # fmt: skip
    points = np.random.default_rng(0).uniform(0, 60, (9, 2))
    homogeneous = np.c_[points, np.ones(9)]
    placed = Rigid2D(11.0, (30.0, 44.0), (5.0, -7.0)).apply(points)
    stage = Rigid2D(0.0, (30.0, 44.0), (3.0, -10.0)).apply(points)
    for to, expected in (("placed", placed), ("stage", stage)):
        found = (homogeneous @ canvas_from_slice(entry, to).T)[:, :2]
        np.testing.assert_allclose(found, expected, atol=1e-9)


def test_slices_that_fit_are_grey_where_they_were_placed_and_coloured_by_the_stage(tmp_path):
    from scipy.ndimage import affine_transform, gaussian_filter

    scene = gaussian_filter(np.random.default_rng(1).random((120, 150)), 4)
    scene = 255 * (scene - scene.min()) / np.ptp(scene)
    entries = []
    for z, (angle, shift) in enumerate([(0.0, (0.0, 0.0)), (3.0, (9.0, -6.0))]):
        place = Rigid2D(angle, (60.0, 75.0), shift)
        image = affine_transform(scene, place.matrix, place.offset, order=1)
        picture = Image.fromarray(image.astype(np.uint8))
        save_picture(tmp_path / f"slice_z0{z}_normalize.png", picture, 10.0)
        evidence = {"moved_from_stage_px": list(shift)}
        entries.append({"slice_id": z, **place.to_json(), "evidence": evidence})
    alignment = {"slices": entries, "pitch_um": [10.0] * 3, "canvas_yx": [120, 150]}
    (drawn,) = neighbour_overlays(RunFiles(tuple(tmp_path.iterdir())), alignment)
    colour = {}
    for name in ("stage", "placed"):
        code = getattr(drawn, name).source.partition(",")[2]
        values = np.asarray(Image.open(io.BytesIO(base64.b64decode(code))), float)[20:-20, 20:-20]
        colour[name] = np.abs(values[..., 0] - values[..., 1]).mean()
    assert colour["placed"] < 3
    assert colour["stage"] > 10 * colour["placed"]


def test_the_volume_is_shown_whatever_it_is_called(tmp_path):
    for name, size in (("zebra", 40), ("tile_positions", 50), ("layout", 60)):
        save_picture(tmp_path / f"{name}.png", Image.new("L", (size, size)), 10.0)
    volume, layout, slices = run_pictures(RunFiles(tuple(tmp_path.iterdir())), "zebra.ome.zarr")
    assert (volume.width, layout.width, slices) == (40, 60, ())
