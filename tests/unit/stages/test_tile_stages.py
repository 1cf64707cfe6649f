"""`estimate_tile_positions` and `stitch_3d`."""

import json

import numpy as np
import pytest
from PIL import Image

from mosaicflow.corrections.tile_pictures import draw_tiles
from mosaicflow.errors import InputError
from mosaicflow.io.report import read_metrics
from mosaicflow.io.slices import SliceVolume
from mosaicflow.io.tables import read_csv, write_csv
from mosaicflow.io.zarr import validate_omezarr
from mosaicflow.stages.estimate_tile_positions import estimate_tile_positions
from mosaicflow.stages.pool_tile_positions import pool_tile_positions
from mosaicflow.stages.stitch_3d import stitch_3d

TABLES = ("z03_tile_positions.csv", "z03_tile_links.csv", "z03_transform_xy.npy")


def positions_of(folder):
    return {
        (int(row["iy"]), int(row["ix"])): (float(row["row_px"]), float(row["col_px"]))
        for row in read_csv(folder / TABLES[0])
    }


def errors(found, truth):
    difference = np.array([np.subtract(found[tile], truth[tile]) for tile in sorted(truth)])
    return np.linalg.norm(difference - np.median(difference, axis=0), axis=1)


def pool(folder, overrides=None):
    pool_tile_positions(
        links=tuple(folder.glob("*_tile_links.csv")),
        stages=tuple(folder.glob("*_tile_stage.json")),
        windows=tuple(folder.glob("*_tile_windows.csv")),
        tiles=(),
        overrides=overrides,
        output_dir=folder,
    )


@pytest.fixture
def place(tmp_path):
    def call(grid, name="place", **options):
        folder = tmp_path / name
        folder.mkdir()
        overrides = options.pop("overrides", None)
        estimate_tile_positions(grid=grid, output_dir=folder, **options)
        pool(folder, overrides)
        return folder

    return call


def test_tiles_are_found_where_they_are(mosaic, place):
    grid, truth, _ = mosaic()
    folder = place(grid)
    assert np.median(errors(positions_of(folder), truth)) < 0.15  # px
    report = read_metrics(folder / "z03_tile_positions.metrics.json")
    metrics = {name: metric["value"] for name, metric in report["metrics"].items()}
    assert metrics["source"] == "optimised"
    assert metrics["held_out_residual_positions_px"] < metrics["held_out_residual_stage_px"]
    assert metrics["links_possible"] == 12
    assert metrics["links_used"] >= 10
    assert metrics["theta"] == pytest.approx(0, abs=1)
    assert report["pitch_um"] == [10.0, 10.0, 10.0]
    rows = read_csv(folder / TABLES[0])
    assert {row["source"] for row in rows} <= {"optimised", "lattice"}
    np.testing.assert_allclose(np.load(folder / TABLES[2]), np.diag([44, 44]), atol=1.5)
    for link in read_csv(folder / TABLES[1]):
        assert 0 < float(link["ncc"]) <= 1


def test_tables_are_numbered_as_their_grid_is(mosaic, place):
    grid, *_ = mosaic()
    wide = grid.rename(grid.with_name("mosaic_grid_3d_z0003.ome.zarr"))
    assert {path.name for path in place(wide).iterdir()} == {
        "z0003_tile_positions.csv",
        "z0003_tile_positions.metrics.json",
        "z0003_tile_links.csv",
        "z0003_tile_links.metrics.json",
        "z0003_link_residuals.csv",
        "z0003_tile_stage.json",
        "z0003_tile_windows.csv",
        "z0003_transform_xy.npy",
        "z0003_TileConfiguration.txt",
        "z0003_tiles.bdv.xml",
        "stage_model.json",
        "tile_positions.png",
        "stage_model.metrics.json",
        "tile_distortion.csv",
        "tile_distortion.png",
    }


def test_a_stage_that_is_right_is_believed(mosaic, place):
    grid, truth, _ = mosaic(jitter_px=0.0)
    found = errors(positions_of(place(grid)), truth)
    assert found.max() < 0.25  # px


def test_tiles_without_common_tissue_stay_where_the_stage_says(write_grid, make_texture, place):
    reported = {(iy, ix): (44.0 * iy, 43.0 * ix) for iy in range(3) for ix in range(3)}
    tiles = {tile: make_texture((4, 60, 60), seed) for seed, tile in enumerate(reported)}
    folder = place(write_grid(tiles, reported_px=reported, slice_id=3))
    report = read_metrics(folder / "z03_tile_positions.metrics.json")
    assert report["metrics"]["source"]["value"] == "stage"
    assert any("9 of 9 tiles could not be measured" in text for text in report["warnings"])
    assert errors(positions_of(folder), reported).max() < 1e-5


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_tiles_are_placed_too(write_grid, make_texture, place, count):
    scene = make_texture((4, 60, 120), seed=9)
    truth = {(0, ix): (0.0, 45.0 * ix) for ix in range(count)}
    grid = write_grid.cut(scene, truth, (60, 60), reported_px=truth, slice_id=3)
    assert errors(positions_of(place(grid)), truth).max() < 0.2


def test_an_empty_slice_is_placed_by_the_stage(write_grid, place):
    tiles = dict.fromkeys([(0, 0), (0, 1), (1, 0), (1, 1)], np.zeros((3, 20, 20), np.float32))
    folder = place(write_grid(tiles, slice_id=3), stitch_overlap_fraction=0.25)
    assert positions_of(folder) == {
        (0, 0): (0, 0), (0, 1): (0, 15), (1, 0): (15, 0), (1, 1): (15, 15),
    }  # fmt: skip
    report = read_metrics(folder / "z03_tile_links.metrics.json")
    assert "no reported positions" in report["warnings"][0]


def table_of(folder):
    return {(int(r["iy"]), int(r["ix"])): r for r in read_csv(folder / TABLES[0])}


def test_a_tile_that_no_overlap_joins_is_named_as_an_island(mosaic, place, write_grid):
    """One tile shows something else: it lies where the stage model puts it, and this is said."""
    scene = np.random.default_rng(3).gamma(2, 0.5, (12, 60, 60)).astype(np.float32)
    grid, truth, _ = mosaic(strange={(2, 2): scene})
    folder = place(grid)
    table = table_of(folder)
    assert table[2, 2]["island"] == "1"
    assert table[2, 2]["source"] == "lattice"
    others = [row for tile, row in table.items() if tile != (2, 2)]
    assert {row["source"] for row in others} == {"optimised"}
    assert {row["island"] for row in others} == {"0"}
    assert float(table[2, 2]["sigma_px"]) > 3 * max(float(row["sigma_px"]) for row in others)
    report = read_metrics(folder / "z03_tile_positions.metrics.json")
    assert report["metrics"]["islands"]["value"] == 1
    picture = np.asarray(Image.open(folder / "tile_positions.png").convert("RGB")).astype(int)
    orange = np.abs(picture - (220, 120, 20)).sum(axis=2) == 0
    blue = np.abs(picture - (70, 130, 180)).sum(axis=2) == 0
    assert orange.any()
    assert blue.sum() > 2 * orange.sum()
    assert any("(2, 2) +-" in text for text in report["warnings"])
    assert errors(positions_of(folder), truth).max() < 6  # px, of a stage that misses by 2


def test_a_tile_that_somebody_placed_stays_there(mosaic, place, tmp_path):
    grid, truth, _ = mosaic()
    table = tmp_path / "overrides.csv"
    write_csv(
        table,
        ["kind", "slice_id", "iy", "ix", "dy_px", "dx_px", "lock"],
        [
            {"kind": "tile", "slice_id": 3, "iy": 0, "ix": 0, "dy_px": 0, "dx_px": 0, "lock": True},
            {"kind": "tile", "slice_id": 3, "iy": 2, "ix": 2, "dy_px": 9, "dx_px": 4, "lock": True},
        ],
    )
    free, held = place(grid), place(grid, "held", overrides=table)
    stage = {
        (iy, ix): (y, x)
        for iy, ix, y, x in json.loads((held / "z03_tile_stage.json").read_text())["stage_px"]
    }
    found = positions_of(held)
    step = np.subtract(found[2, 2], found[0, 0])
    said = np.add((9, 4), np.subtract(stage[2, 2], stage[0, 0]))
    np.testing.assert_allclose(step, said, atol=0.05)  # px
    assert errors(positions_of(free), truth).max() < 0.5
    metrics = read_metrics(held / "z03_tile_positions.metrics.json")["metrics"]
    assert metrics["overrides"]["value"] == 2


def test_a_tile_moved_by_hand_moves_against_its_neighbours(mosaic, place, tmp_path):
    """What `mosaicflow align edit` writes: the tile, and the neighbours that it was seen with."""
    grid, _, _ = mosaic()
    free = place(grid)
    tables = {3: (free / TABLES[0], free / "z03_tile_stage.json")}
    package = tmp_path / "pictures"
    package.mkdir()
    shown = draw_tiles({3: grid}, tables, 10.0, package)[3]
    step = {(1, 1): (6.0, -5.0)}
    rows = []
    for one in shown["tiles"]:
        down, right = step.get((one["iy"], one["ix"]), (0.0, 0.0))
        dy, dx = one["shift_px"]
        place_px = {"iy": one["iy"], "ix": one["ix"], "dy_px": dy + down, "dx_px": dx + right}
        rows.append({"kind": "tile", "slice_id": 3, "lock": True, **place_px})
    table = tmp_path / "overrides.csv"
    write_csv(table, ["kind", "slice_id", "iy", "ix", "dy_px", "dx_px", "lock"], rows)
    before, after = positions_of(free), positions_of(place(grid, "held", overrides=table))
    moved = {tile: np.subtract(after[tile], before[tile]) for tile in before}
    others = np.mean([at for tile, at in moved.items() if tile not in step], axis=0)
    for tile, at in moved.items():
        np.testing.assert_allclose(at - others, step.get(tile, (0, 0)), atol=0.05)  # px


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"kind": "tiel"}, "kind is 'tiel'"),
        ({"kind": "tile"}, "without iy and ix"),
        ({"kind": "tile", "iy": 9, "ix": 9, "dy_px": 1}, "has no tile"),
        ({"kind": "tile", "iy": 0, "ix": 0, "dy_px": "far"}, "expected a number"),
        ({"kind": "tile", "iy": 0, "ix": 0, "dy_px": 1e300}, "expected a number below 1e\\+09"),
        ({"kind": "tile", "iy": 0, "ix": 0, "dy_px": 1, "sigma_px": 1e-200}, "sigma_px is 1e-200"),
    ],
)
def test_a_row_of_overrides_that_cannot_be_followed_is_named(mosaic, place, tmp_path, row, message):
    table = tmp_path / "overrides.csv"
    columns = ["kind", "slice_id", "iy", "ix", "dy_px", "dx_px", "sigma_px"]
    write_csv(table, columns, [{"slice_id": 3, **row}])
    with pytest.raises(InputError, match=message):
        place(mosaic()[0], overrides=table)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("dy_px", "1e300"),
        ("dx_px", "nan"),
        ("lean_y", "5"),
        ("lean_yx", "nan"),
        ("dy_px", "-1e200"),
    ],
)
def test_a_number_in_a_table_of_links_that_cannot_be_is_named(mosaic, place, column, value):
    """Such a number overflowed, and the search for places never ended."""
    folder = place(mosaic()[0])
    table = folder / TABLES[1]
    rows = read_csv(table)
    write_csv(table, list(rows[0]), [{**rows[0], column: value}, *rows[1:]])
    with pytest.raises(InputError, match=r"z03_tile_links\.csv: found .* expected numbers below"):
        pool(folder)


def test_a_place_of_the_stage_that_cannot_be_is_named(mosaic, place):
    folder = place(mosaic()[0])
    stage = next(folder.glob("*_tile_stage.json"))
    known = json.loads(stage.read_text())
    known["stage_px"][0][2] = 1e200
    stage.write_text(json.dumps(known))
    with pytest.raises(InputError, match=r"z03_tile_stage\.json: found .* expected numbers below"):
        pool(folder)


@pytest.mark.parametrize("lean", [(1.0, 0.0), (0.0, -1.0), (0.70711, 0.70711)])
def test_links_that_know_one_direction_only_place_tiles(mosaic, place, lean):
    grid, truth, _ = mosaic()
    folder = place(grid)
    table = folder / TABLES[1]
    rows = read_csv(table)
    changed = {"lean_y": lean[0], "lean_yx": lean[1]}
    write_csv(table, list(rows[0]), [{**row, **changed} for row in rows])
    pool(folder)
    assert errors(positions_of(folder), truth).max() < 3  # px


def test_tables_do_not_depend_on_the_threads(mosaic, place):
    grid, _, _ = mosaic()
    folders = [place(grid, f"t{threads}", threads=threads) for threads in (1, 3)]
    for name in TABLES:
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()


def write_positions(path, positions):
    rows = [
        {"iy": iy, "ix": ix, "row_px": y, "col_px": x} for (iy, ix), (y, x) in positions.items()
    ]
    write_csv(path, ["iy", "ix", "row_px", "col_px"], rows)
    return path


def test_tiles_at_their_places_give_the_scene_back(mosaic, tmp_path):
    grid, truth, scene = mosaic()
    output = tmp_path / "slice_z03_stitch_3d.ome.zarr"
    positions = write_positions(tmp_path / "p.csv", truth)
    stitch_3d(grid=grid, positions=positions, output=output, stitch_gain_compensation=False)
    fused = SliceVolume(output)
    y, x = fused.attrs["canvas_origin_px"]
    n_y, n_x = fused.shape[1:]
    found = fused.read((slice(0, n_y), slice(0, n_x)))
    data = found.any(axis=0)
    part = scene[:, y : y + n_y, x : x + n_x]
    np.testing.assert_allclose(found[:, data], part[:, data], rtol=1e-5)
    assert data.mean() > 0.95
    assert validate_omezarr(output) == []
    assert fused.attrs["kind"] == "slice"
    assert fused.attrs["slice_id"] == 3
    assert "tile_shape" not in fused.attrs
    assert output.with_name("slice_z03_stitch_3d.png").is_file()
    metrics = read_metrics(output.with_name("slice_z03_stitch_3d.metrics.json"))["metrics"]
    assert metrics["n_tiles"]["value"] == 9
    assert metrics["empty_fraction"]["value"] == pytest.approx(1 - data.mean(), abs=1e-6)
    assert metrics["seam_ratio"]["value"] < 1.1


def test_positions_are_scaled_from_native_to_working_pitch(mosaic, tmp_path):
    grid, truth, _ = mosaic(native_pitch_um=[10.0, 5.0, 5.0])
    native = {tile: (2 * y, 2 * x) for tile, (y, x) in truth.items()}
    output = tmp_path / "slice.ome.zarr"
    stitch_3d(grid=grid, positions=write_positions(tmp_path / "p.csv", native), output=output)
    origin = np.min(list(truth.values()), axis=0)
    assert SliceVolume(output).attrs["canvas_origin_px"] == origin.tolist()


def test_uneven_tiles_are_evened_out(mosaic, tmp_path, write_grid, cut_tile):
    _, truth, scene = mosaic()
    factors = dict(zip(truth, np.linspace(0.85, 1.15, 9), strict=True))
    tiles = {
        tile: cut_tile(scene, corner, (60, 60)) * np.float32(factors[tile])
        for tile, corner in truth.items()
    }
    grid = write_grid(tiles, slice_id=3, name="uneven.ome.zarr")
    ratios = []
    for on in (False, True):
        output = tmp_path / f"{on}.ome.zarr"
        stitch_3d(
            grid=grid,
            positions=write_positions(tmp_path / "p.csv", truth),
            output=output,
            stitch_gain_compensation=on,
            stitch_blending_method="none",
            stitch_preview=False,
        )
        metrics = read_metrics(tmp_path / f"{on}.metrics.json")["metrics"]
        ratios.append(metrics["seam_ratio"]["value"])
        assert not (tmp_path / f"{on}.png").exists()
    assert ratios[1] < ratios[0]


def test_the_bytes_do_not_depend_on_the_threads(mosaic, tmp_path, content):
    grid, truth, _ = mosaic()
    positions = write_positions(
        tmp_path / "p.csv", {t: (y + 0.3, x) for t, (y, x) in truth.items()}
    )
    found = []
    for threads in (1, 3):
        folder = tmp_path / str(threads)
        folder.mkdir()
        stitch_3d(grid=grid, positions=positions, output=folder / "s.ome.zarr", threads=threads)
        found.append(content(folder / "s.ome.zarr") | {"png": (folder / "s.png").read_bytes()})
    assert found[0] == found[1]


def test_a_tile_without_position_leaves_no_store(mosaic, tmp_path):
    grid, truth, _ = mosaic()
    truth.pop((1, 2))
    positions = write_positions(tmp_path / "p.csv", truth)
    with pytest.raises(InputError, match=r"no position for 1 of 9 tiles of .*\(1, 2\)"):
        stitch_3d(grid=grid, positions=positions, output=tmp_path / "s.ome.zarr")
    assert not (tmp_path / "s.ome.zarr").exists()


def test_a_position_that_is_no_number_is_named(mosaic, tmp_path):
    grid, truth, _ = mosaic()
    positions = write_positions(tmp_path / "p.csv", truth | {(0, 0): ("far", 0)})
    with pytest.raises(InputError, match=r"p\.csv: .*'far'"):
        stitch_3d(grid=grid, positions=positions, output=tmp_path / "s.ome.zarr")


def test_one_tile_without_position_does_not_cost_the_others_theirs(mosaic, place):
    grid, truth, _ = mosaic(jitter_px=0.0)
    attributes = grid / ".zattrs"
    content = json.loads(attributes.read_text())
    del content["mosaicflow"]["tile_positions_mm"]["1,1"]
    attributes.write_text(json.dumps(content))
    folder = place(grid)
    report = read_metrics(folder / "z03_tile_links.metrics.json")
    assert any("1 of 9 tiles have no reported position" in text for text in report["warnings"])
    assert errors(positions_of(folder), truth).max() < 0.25  # px
