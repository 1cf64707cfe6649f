import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from mosaicflow.errors import InputError
from mosaicflow.io.tables import read_json, write_csv, write_json
from mosaicflow.io.zarr import OmeZarrWriter, open_level
from mosaicflow.simulation import evaluate, preset, simulate
from mosaicflow.simulation.plan import rotation
from mosaicflow.simulation.plane_scores import structural_similarity

COLUMNS = ("iy", "ix", "row_px", "col_px", "valid", "source")


@dataclass
class FakeRun:
    """What a run publishes; change it, then write it."""

    positions: dict[int, np.ndarray]
    index: dict[int, list[tuple[int, int]]]
    alignment: list[dict]
    flatfield: np.ndarray
    volume: np.ndarray
    resolution_um: float
    gauges: dict[int, np.ndarray]

    def write(self, root: Path) -> Path:
        for folder in ("transforms", "tables", "slices/normalize"):
            (root / folder).mkdir(parents=True)
        for slice_id, corners in self.positions.items():
            rows = [
                {"iy": iy, "ix": ix, "row_px": y, "col_px": x, "valid": True, "source": "optimised"}
                for (iy, ix), (y, x) in zip(self.index[slice_id], corners.tolist(), strict=True)
            ]
            write_csv(root / f"transforms/z{slice_id:02d}_tile_positions.csv", COLUMNS, rows)
            self._write_slice(root / "slices/normalize", slice_id)
        np.savez(root / "transforms/illumination.npz", flatfield=self.flatfield)
        write_json(root / "tables/alignment.json", {"slices": self.alignment})
        writer = OmeZarrWriter(root / "3d_volume.ome.zarr", self.volume.shape)
        writer[:] = self.volume
        writer.finalize((self.resolution_um / 1000,) * 3)
        return root

    def _write_slice(self, folder: Path, slice_id: int) -> None:
        path = folder / f"slice_z{slice_id:02d}_normalize.ome.zarr"
        writer = OmeZarrWriter(path, (2, 8, 8))
        writer[:] = np.ones((2, 8, 8), np.float32)
        writer.attrs.update({"canvas_origin_px": self.gauges[slice_id].tolist()})
        writer.finalize((self.resolution_um / 1000,) * 3)


def perfect_run(truth_folder: Path) -> FakeRun:
    """Make the results of a run without error on an acquisition whose native pitch is isotropic."""
    truth = json.loads((truth_folder / "truth.json").read_text())
    um = truth["settings"]["lattice"]["resolution_um"]
    grid = truth["volume"]
    positions, index, alignment, gauges = {}, {}, [], {}
    for number, piece in enumerate(truth["slices"]):
        if piece["fault"] == "missing":
            continue
        slice_id = piece["slice_id"]
        tiles = [tile for tile in piece["tiles"] if tile["fault"] != "missing"]
        gauge = np.array([40.25 + 3 * number, 17.5 - number])
        positions[slice_id] = np.array([[t["row_px"], t["col_px"]] for t in tiles]) + gauge
        index[slice_id] = [(tile["iy"], tile["ix"]) for tile in tiles]
        origin = np.floor(positions[slice_id].min(axis=0))
        gauges[slice_id] = origin
        alignment.append(_entry(piece, gauge - origin, um, np.array(grid["origin_um"][1:]) / um))
    return FakeRun(
        positions=positions,
        index=index,
        alignment=alignment,
        flatfield=np.load(truth_folder / "flatfield.npy"),
        volume=open_level(truth_folder / "truth.ome.zarr")[:].astype(np.float32),
        resolution_um=um,
        gauges=gauges,
    )


def _entry(piece: dict, gauge: np.ndarray, um: float, first: np.ndarray) -> dict:
    """The forward transform whose canvas is the truth volume."""
    back = rotation(-piece["angle_deg"])
    centre = np.array([31.0, 22.5])
    shift = np.array(piece["shift_um"]) / um
    return {
        "slice_id": piece["slice_id"],
        "angle_deg": -piece["angle_deg"],
        "center_yx": centre.tolist(),
        "translation_yx": (back @ (centre - gauge - shift) - first - centre).tolist(),
        "z_plane": round(piece["face_um"] / um),
    }


@pytest.fixture(scope="module")
def acquisition(tmp_path_factory):
    settings = preset("toy", n_slices=3, grid=(2, 3), missing_tiles=("1/1/2",), seed=2)
    return simulate(tmp_path_factory.mktemp("sim") / "toy", settings=settings)


@pytest.fixture
def run(acquisition):
    return perfect_run(acquisition.truth)


def errors(run, acquisition, tmp_path):
    return evaluate(run.write(tmp_path / "run"), acquisition.truth)


def test_a_perfect_run_has_no_errors(run, acquisition, tmp_path):
    result = errors(run, acquisition, tmp_path)
    assert result.tiles.worst_px < 1e-9
    assert result.slices.shift_worst_px < 1e-9
    assert result.slices.rotation_worst_deg < 1e-9
    assert result.slices.z_worst_planes < 1e-9
    assert result.flatfield.rms_percent < 1e-6
    assert result.flatfield.rms_percent_uncorrected > 1
    assert result.volume.correlation > 0.99999
    assert result.volume.tissue.ncc > 0.99999
    assert result.volume.tissue.ssim > 0.9999
    assert result.volume.tissue.plane_ncc_worst > 0.99999
    assert result.slices.depth_spread_um < 1e-6
    assert result.counts.tiles_in == result.counts.tiles_placed == 17
    assert result.counts.tiles_unaccounted == 0
    assert result.counts.slices_in == result.counts.slices_aligned == 3


def test_tile_errors_are_those_put_in(run, acquisition, tmp_path):
    run.positions[1][0] += [3.0, 4.0]
    run.positions[2] += [10.0, -7.0]  # a shift of all tiles of a slice is no error of theirs
    tiles = errors(run, acquisition, tmp_path).tiles
    assert tiles.worst_px == pytest.approx(5)
    assert tiles.worst_tile == "1/0/0"
    assert tiles.median_px == pytest.approx(0, abs=1e-9)
    assert tiles.n_tiles == 17


def test_slice_errors_are_those_put_in(run, acquisition, tmp_path):
    run.alignment[2]["translation_yx"][0] += 3.0
    run.alignment[2]["translation_yx"][1] -= 4.0
    run.alignment[2]["z_plane"] += 2
    slices = errors(run, acquisition, tmp_path).slices
    assert slices.shift_worst_px == pytest.approx(5)
    assert slices.shift_median_px == pytest.approx(2.5)
    assert slices.worst_pair == "1-2"
    assert slices.z_worst_planes == pytest.approx(2)


def pair_record(upper, lower, run, um, *, miss_px=0.0, miss_deg=0.0, miss_um=0.0):
    """The transform file of a pair that is right but for what it misses."""
    ids = upper["slice_id"], lower["slice_id"]
    turn = rotation(lower["angle_deg"] - upper["angle_deg"])
    offset = np.array([3.0, -2.0])  # any place that the stage may report
    # Where the specimen's origin lies in either slice: its corner lies at the first tile's.
    shifts = [
        np.array(piece["shift_um"]) / um + run.positions[i][0] - run.gauges[i]
        - np.array([piece["tiles"][0][key] for key in ("row_px", "col_px")])
        for i, piece in zip(ids, (upper, lower), strict=True)
    ]  # fmt: skip
    center = np.array([31.0, 22.5])
    move = shifts[1] - turn @ shifts[0] + offset + turn @ center - center
    return {
        "type": "rigid2d", "convention": "pull", "fixed_id": ids[0], "moving_id": ids[1],
        "angle_deg": lower["angle_deg"] - upper["angle_deg"] + miss_deg,
        "center_yx": center.tolist(), "translation_yx": np.add(move, [miss_px, 0]).tolist(),
        "stage_offset_yx": offset.tolist(), "pitch_um": [um] * 3, "resolution_um": um,
        "status": "ok", "distance_planes": 0.0, "sigma_px": 0.1, "sigma_deg": 0.02,
        "z_drift_planes": (lower["face_um"] - upper["face_um"] + miss_um) / um
        - (ids[1] - ids[0]) * 0.2 * 1000 / um,
        "z_sigma_planes": 0.05,
    }  # fmt: skip


def test_pairs_are_judged_by_the_errors_they_claim(run, acquisition, tmp_path):
    known = read_json(acquisition.truth / "truth.json")
    um, pieces = run.resolution_um, known["slices"]
    root = run.write(tmp_path / "run")
    right = pair_record(pieces[0], pieces[1], run, um)
    wrong = pair_record(pieces[1], pieces[2], run, um, miss_px=0.3, miss_um=1.0)
    turned = pair_record(pieces[0], pieces[2], run, um, miss_deg=0.03)
    turned |= {"z_sigma_planes": None}
    failed = {**wrong, "fixed_id": 0, "moving_id": 2, "status": "error", "sigma_px": None}
    for name, record in (("z00_z01", right), ("z01_z02", wrong), ("z00_z02", turned)):
        write_json(root / f"transforms/{name}_transform.json", {"schema": 1, **record})
    links = evaluate(root, acquisition.truth).links
    by_ids = {(one.fixed_id, one.moving_id): one for one in links.pairs}
    assert np.hypot(*by_ids[0, 1].shift_yx_px) < 1e-9
    assert by_ids[1, 2].shift_yx_px == pytest.approx((0.3, 0))
    assert by_ids[1, 2].depth_um == pytest.approx(1.0)
    assert by_ids[0, 2].rotation_deg == pytest.approx(0.03)
    assert by_ids[0, 2].depth_um is None
    assert links.rotation_calibration == pytest.approx(1.5 / np.sqrt(3))
    assert links.depth_calibration == pytest.approx(2 / np.sqrt(2))
    write_json(root / "transforms/z00_z02_transform.json", {"schema": 1, **failed})
    assert len(evaluate(root, acquisition.truth).links.pairs) == 2


def test_a_slice_without_an_image_is_no_error_of_the_run(tmp_path):
    settings = preset("toy", n_slices=3, bad_slices=(1,), seed=2)
    acquisition = simulate(tmp_path / "sim", settings=settings)
    run = perfect_run(acquisition.truth)
    run.alignment[1]["translation_yx"][0] += 9.0
    run.positions[1][0] += 9.0
    result = errors(run, acquisition, tmp_path)
    assert result.slices.shift_worst_px < 1e-9
    assert result.tiles.worst_px < 1e-9
    assert result.volume.correlation > 0.9999
    assert result.counts.tiles_placed == 12


def test_a_volume_coarser_than_the_canvas_is_compared_at_its_own_voxels(run, acquisition, tmp_path):
    even = run.volume[: run.volume.shape[0] // 2 * 2, :128, :128]
    even = even[:, : even.shape[1] // 2 * 2, : even.shape[2] // 2 * 2]
    pairs = even.reshape(even.shape[0] // 2, 2, even.shape[1] // 2, 2, even.shape[2] // 2, 2)
    run.volume = pairs.mean(axis=(1, 3, 5))
    root = run.write(tmp_path / "run")
    writer = OmeZarrWriter(root / "3d_volume.ome.zarr", run.volume.shape)
    writer[:] = run.volume
    writer.finalize((0.02, 0.02, 0.02))
    volume = evaluate(root, acquisition.truth).volume
    assert volume.offset_px == pytest.approx((0, 0, 0), abs=0.05)
    assert volume.correlation > 0.97


def test_a_motion_of_the_whole_canvas_is_no_error(run, acquisition, tmp_path):
    turn = rotation(2.0)
    for entry in run.alignment:
        centre = np.array(entry["center_yx"])
        moved = turn @ (centre + entry["translation_yx"]) + [11.0, -5.0]
        entry["translation_yx"] = (moved - centre).tolist()
        entry["angle_deg"] += 2.0
    slices = errors(run, acquisition, tmp_path).slices
    assert slices.shift_worst_px < 1e-9
    assert slices.rotation_worst_deg < 1e-9


def test_a_rotation_of_one_slice_is_measured(run, acquisition, tmp_path):
    run.alignment[0]["angle_deg"] += 0.5
    slices = errors(run, acquisition, tmp_path).slices
    assert slices.rotation_worst_deg == pytest.approx(0.5)
    assert slices.rotation_median_deg == pytest.approx(0.25)


def test_a_tile_shift_that_the_slice_transform_undoes_is_no_slice_error(run, acquisition, tmp_path):
    run.positions[1] += [6.0, 2.0]
    entry = run.alignment[1]
    turn = rotation(entry["angle_deg"])
    entry["translation_yx"] = (np.array(entry["translation_yx"]) - turn @ [6.0, 2.0]).tolist()
    assert errors(run, acquisition, tmp_path).slices.shift_worst_px < 1e-9


def test_the_volume_may_lie_elsewhere_by_a_fraction_of_a_voxel(run, acquisition, tmp_path):
    from scipy.ndimage import shift

    run.volume = 3.0 * shift(run.volume, (0.4, 0.8, -1.3), order=1, mode="nearest")
    volume = errors(run, acquisition, tmp_path).volume
    assert volume.offset_px == pytest.approx((0.4, 0.8, -1.3), abs=0.06)
    assert volume.correlation > 0.98


def test_noise_and_holes_lower_the_correlation(run, acquisition, tmp_path):
    rng = np.random.default_rng(0)
    run.volume = run.volume + run.volume.std() * rng.standard_normal(run.volume.shape)
    run.volume = run.volume.astype(np.float32)
    noisy = errors(run, acquisition, tmp_path).volume
    assert noisy.correlation == pytest.approx(0.5**0.5, abs=0.06)
    run.volume[20:30] = 0
    holed = evaluate(run.write(tmp_path / "second"), acquisition.truth).volume
    assert holed.correlation < noisy.correlation
    assert holed.filled < 0.95
    assert holed.correlation_nonzero == pytest.approx(noisy.correlation_nonzero, abs=0.05)


@pytest.mark.parametrize("seed", [2, 4])
def test_nothing_is_compared_below_what_a_slice_has(tmp_path, seed):
    """Slices wander: strips of the volume hold what the slice above shows, and end with it."""
    settings = preset("toy", n_slices=4, drift_um=80.0, thickness_sigma_um=5.0, seed=seed)
    acquisition = simulate(tmp_path / "sim", settings=settings)
    run = perfect_run(acquisition.truth)
    truth = json.loads((acquisition.truth / "truth.json").read_text())
    grid, lattice = truth["volume"], truth["settings"]["lattice"]
    n_planes = 24
    run.volume = run.volume[: run.alignment[-1]["z_plane"] + n_planes]
    place = np.moveaxis(np.indices(run.volume.shape[1:]), 0, -1) * grid["spacing_um"]
    place = place + grid["origin_um"][1:]
    size = np.array(lattice["tile_shape"][1:]) * lattice["pitch_um"][1:]
    drawn = np.zeros(run.volume.shape, bool)
    for piece, entry in zip(truth["slices"], run.alignment, strict=True):
        spot = place @ rotation(piece["angle_deg"]).T + piece["shift_um"]
        first = entry["z_plane"]
        for tile in piece["tiles"]:
            inside = np.abs(spot - 1000 * np.array(tile["centre_mm"])) <= size / 2
            drawn[first : first + n_planes] |= inside.all(axis=-1)
    run.volume = np.where(drawn, run.volume, 0)
    tissue = errors(run, acquisition, tmp_path).volume.tissue
    assert tissue.plane_ncc_worst > 0.99


def test_the_structural_similarity_is_that_of_scikit_image():
    skimage = pytest.importorskip("skimage.metrics")
    rng = np.random.default_rng(3)
    true = rng.uniform(0, 2, (40, 50)).astype(np.float32)
    found = (true + 0.3 * rng.standard_normal(true.shape)).astype(np.float32)
    _, expected = skimage.structural_similarity(
        found.astype(float), true.astype(float), data_range=2.0, full=True
    )
    np.testing.assert_allclose(structural_similarity(found, true, 2.0), expected, atol=1e-5)


def test_brightness_is_no_error_but_fading_along_depth_is(run, acquisition, tmp_path):
    run.volume = 0.3 * run.volume + 5.0
    tissue = errors(run, acquisition, tmp_path).volume.tissue
    assert tissue.ncc > 0.999
    assert tissue.ssim > 0.99
    run.volume = run.volume * np.linspace(1, 3, len(run.volume))[:, None, None].astype(np.float32)
    faded = evaluate(run.write(tmp_path / "second"), acquisition.truth).volume.tissue
    assert faded.plane_ncc_mean > 0.99  # each plane alone is as it was
    assert faded.ncc < 0.95


def test_depths_are_judged_by_steps_and_by_their_spread(run, acquisition, tmp_path):
    run.alignment[1]["z_plane"] += 0.5
    run.alignment[2]["z_plane"] -= 0.25
    slices = errors(run, acquisition, tmp_path).slices
    assert slices.depth_step_worst_um == pytest.approx(7.5)
    assert slices.depth_spread_um == pytest.approx(7.5)


def test_neighbours_across_unseen_tissue_are_told_apart(tmp_path):
    settings = preset("toy", n_slices=5, slicing_interval_mm=0.2, missing_slices=(2,), seed=2)
    acquisition = simulate(tmp_path / "sim", settings=settings)
    run = perfect_run(acquisition.truth)
    run.alignment[2]["translation_yx"][0] += 4.0
    run.alignment[3]["translation_yx"][0] += 4.0
    slices = errors(run, acquisition, tmp_path).slices
    assert (slices.n_pairs, slices.n_gaps) == (2, 1)
    assert slices.shift_worst_px < 1e-9
    assert slices.gap_shift_rms_px == pytest.approx(4 / 2**0.5)


def test_a_bad_slice_with_an_image_counts(tmp_path):
    settings = preset("toy", n_slices=3, bad_slices=(1,), bad_kind="dark", seed=2)
    acquisition = simulate(tmp_path / "sim", settings=settings)
    run = perfect_run(acquisition.truth)
    run.alignment[1]["translation_yx"][0] += 9.0
    assert errors(run, acquisition, tmp_path).slices.shift_worst_px == pytest.approx(9)


def test_a_field_at_another_size_is_compared_at_that_size(run, acquisition, tmp_path):
    run.flatfield = run.flatfield.reshape(20, 2, 20, 2).mean(axis=(1, 3))
    assert errors(run, acquisition, tmp_path).flatfield.rms_percent < 0.05


def test_flat_field_error_is_relative(run, acquisition, tmp_path):
    ripple = np.where(np.indices(run.flatfield.shape).sum(0) % 2, 1.02, 0.98)
    run.flatfield = 7 * run.flatfield * ripple
    assert errors(run, acquisition, tmp_path).flatfield.rms_percent == pytest.approx(2, abs=0.1)


def test_an_empty_run_says_what_is_missing(acquisition, tmp_path):
    (tmp_path / "run").mkdir()
    output = tmp_path / "errors.json"
    result = evaluate(tmp_path / "run", acquisition.truth, output=output)
    assert (result.tiles, result.slices, result.flatfield, result.volume) == (None,) * 4
    assert result.counts.tiles_unaccounted == 17
    assert read_json(output)["tiles"] is None


def test_failed_slices_and_listed_tiles_count(run, acquisition, tmp_path):
    del run.positions[2], run.alignment[2]
    root = run.write(tmp_path / "run")
    write_json(root / "tables/z02_failure.json", {"slice_id": 2, "reason": "blank"})
    write_json(root / "tables/z00_z01_failure.json", {"reason": "a pair is no slice"})
    path = root / "transforms/z00_tile_positions.csv"
    lines = path.read_text().splitlines()
    lines[1] = "0,0,,,false,"
    path.write_text("\n".join(lines) + "\n")
    counts = evaluate(root, acquisition.truth).counts
    assert (counts.tiles_listed, counts.tiles_unaccounted) == (1, 0)
    assert counts.tiles_failed > 0
    assert counts.tiles_in == counts.tiles_placed + counts.tiles_listed + counts.tiles_failed
    assert (counts.slices_failed, counts.slices_aligned) == (1, 2)


def test_wrong_folders_are_named(acquisition, tmp_path):
    with pytest.raises(InputError, match=r"truth\.json does not exist"):
        evaluate(tmp_path, tmp_path)
    with pytest.raises(InputError, match="is not a folder"):
        evaluate(tmp_path / "nowhere", acquisition.truth)
