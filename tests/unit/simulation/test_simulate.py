import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml

from mosaicflow.errors import InputError, ParameterError
from mosaicflow.io.zarr import open_level
from mosaicflow.simulation import preset, simulate
from mosaicflow.simulation.light import flat_field
from mosaicflow.simulation.native import info_text, write_tile
from mosaicflow.simulation.plan import TilePlan, make_plan
from mosaicflow.simulation.render import render_tile
from mosaicflow.simulation.specimen import Box, ProceduralSpecimen, VolumeSpecimen
from mosaicflow.simulation.volume import open_specimen

OFF = {"n_slices": 2, "grid": (2, 2), "tile_shape": (36, 24, 30), "truth_volume": False}

# Without a return sweep a misplaced one would show nothing.
TINY = {
    "n_slices": 2,
    "grid": (1, 2),
    "tile_shape": (24, 16, 20),
    "n_extra": 5,
    "truth_volume": False,
}
EFFECTS = {
    "jitter_px": 1.0,
    "lattice_rotation_deg": 2.0,
    "lattice_scale": 1.02,
    "lattice_shear": 0.02,
    "drift_um": 20.0,
    "residual_shift_um": 20.0,
    "residual_rotation_deg": 1.0,
    "rehoming_slices": (1,),
    "stage_sign": (1, -1),
    "report_positions": False,
    "shading": 0.3,
    "speckle_contrast": 0.2,
    "noise": 0.02,
    "attenuation_per_mm": 2.0,
    "rayleigh_um": 200.0,
    "field_curvature_um": 30.0,
    "rough": 0.05,
    "shading_depth": 0.05,
    "shading_drift": 0.05,
    "dark_offset": 0.05,
    "bleaching": 0.3,
    "lamp_drift": 0.05,
    "dust": 3,
    "scan_distortion_px": 2.0,
    "lens_distortion_px": 2.0,
    "tilt_um": (20.0, 0.0),
    "tilt_spread_um": 10.0,
    "waviness_um": 5.0,
    "thickness_sigma_um": 20.0,
    "depth_contrast": 0.5,
    "shadow_per_mm": 2.0,
    "slicing_interval_mm": 0.1,
    "marker": True,
    "camera_shift_px": 3,
    "n_extra": 4,
    "n_repeat": 2,
    "galvo_slices": (1,),
    "missing_slices": (0,),
    "bad_slices": (1,),
    "missing_tiles": ("0/0/1",),
    "truncated_tiles": ("0/0/1",),
    "nan_tiles": ("0/0/1",),
    "agarose": 0.3,
    "texture_contrast": 0.5,
    "vessel_contrast": 0.2,
}


def read_info(folder: Path) -> dict[str, str]:
    lines = (folder / "info.txt").read_text().splitlines()
    return dict(line.split(": ") for line in lines if ": " in line)


def read_raw(folder: Path) -> np.ndarray:
    """The stream as the format defines it, (B-scan, A-line, depth)."""
    info = {key: float(value) for key, value in read_info(folder).items()}
    n_z = int(info["bottom_z"] - info["top_z"] + 1)
    stream = np.concatenate([np.fromfile(p, "<f4") for p in sorted(folder.glob("image_*.bin"))])
    return stream.reshape(-1, int(info["nx"] + info["n_extra"]), n_z)


def read_tile(folder: Path, preprocess: bool = True) -> np.ndarray:
    raw = read_raw(folder)[:, : int(read_info(folder)["nx"])]
    if preprocess:
        return raw[::-1, ::-1].transpose(2, 1, 0)
    return raw.transpose(2, 0, 1)


def digest(folder: Path) -> str:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    parts = [
        (str(p.relative_to(folder)), hashlib.sha256(p.read_bytes()).hexdigest()) for p in files
    ]
    return json.dumps(parts)


@pytest.fixture
def volume(tmp_path):
    values = np.random.default_rng(1).uniform(0.2, 1, (40, 43, 53)).astype(np.float32)
    path = tmp_path / "volume.npy"
    np.save(path, values)
    return path, values


def test_the_worked_example_of_the_format_comes_out_byte_by_byte(tmp_path):
    settings = preset("ideal", tile_shape=(20, 8, 8))
    raw = np.array([[[11], [21], [31]], [[12], [22], [32]]], np.float32)  # [b, a, k]
    tile = TilePlan(0, 0, 0, (1.0, 2.0), (0.0, 0.0))
    write_tile(
        tmp_path / "t", raw, settings.changed(files_per_tile=1), tile, np.random.default_rng()
    )
    stream = np.fromfile(tmp_path / "t/image_00000.bin", "<f4")
    assert stream.tolist() == [11, 21, 31, 12, 22, 32]


@pytest.mark.parametrize("preprocess", [True, False])
@pytest.mark.parametrize("layout", ["flat", "per_slice", "acquisition"])
def test_without_degradation_reading_back_returns_the_volume_bit_by_bit(
    tmp_path, volume, layout, preprocess
):
    path, values = volume
    out = tmp_path / "sim"
    simulate(
        out,
        settings=preset(
            "ideal",
            **OFF,
            volume=path,
            volume_spacing_um=(10.0, 10.0, 10.0),
            volume_white=1.0,
            agarose=0.0,
            water_um=0.0,
            overlap_fraction=0.2083333333333333,  # 19 of 24 rows
            layout=layout,
            preprocess=preprocess,
        ).changed(tile_shape=(16, 24, 24)),
    )
    folders = {p.name: p for p in out.rglob("tile_*")}
    assert len(folders) == 8
    for name, folder in folders.items():
        x, y, z = (int(part[1:]) for part in name.removeprefix("tile_").split("_"))
        rows, columns = 19 * y, 19 * x + 5  # the volume is 10 columns wider than the mosaic
        expected = values[20 * z : 20 * z + 16, rows : rows + 24, columns : columns + 24]
        np.testing.assert_array_equal(read_tile(folder, preprocess), expected)


def test_folders_follow_the_layout(tmp_path):
    for layout, pattern in (
        ("flat", "raw/tile_x01_y00_z01"),
        ("per_slice", "raw/z01/tile_x01_y00_z01"),
        ("acquisition", "raw/slice_z01/tiles/tile_x01_y00_z01"),
    ):
        simulate(tmp_path / layout, settings=preset("ideal", **OFF, layout=layout))
        assert (tmp_path / layout / pattern / "info.txt").is_file()
    state = json.loads((tmp_path / "acquisition/raw/state.json").read_text())
    assert state["slice_thickness"] == 0.2
    assert (tmp_path / "acquisition/raw/slice_z01/metadata.json").is_file()


def test_info_text_names_the_fast_axis_first():
    settings = preset("ideal", tile_shape=(40, 30, 50), pitch_um=(5.0, 10.0, 4.0), n_extra=7)
    tile = TilePlan(3, 1, 2, (20.5, 31.25), (0.0, 0.0))
    text = info_text(settings, tile)
    for line in ("nx: 30", "ny: 50", "width: 300.0", "height: 200.0", "n_extra: 7", "bottom_z: 39"):
        assert line in text.splitlines()
    assert "stage_x_pos_mm: 31.250000" in text
    swapped = info_text(settings.changed(preprocess=False), tile)
    assert {"nx: 50", "width: 200.0"} <= set(swapped.splitlines())
    assert "stage_x" not in info_text(settings.changed(report_positions=False), tile)


def test_one_seed_gives_the_same_bytes_whatever_the_threads(tmp_path):
    settings = preset("toy", nan_tiles=("0/0/1",), truncated_tiles=("1/1/0",))
    for name, threads in (("one", 1), ("two", 3)):
        simulate(tmp_path / name, settings=settings, threads=threads)
    assert digest(tmp_path / "one/raw") == digest(tmp_path / "two/raw")
    assert digest(tmp_path / "one/truth") == digest(tmp_path / "two/truth")
    simulate(tmp_path / "other", settings=settings.changed(seed=1))
    assert digest(tmp_path / "one/raw") != digest(tmp_path / "other/raw")


def test_true_positions_are_where_the_specimen_was_sampled(tmp_path):
    """Two tiles agree at the offset of their true positions, and not at that of the reported."""
    settings = preset(
        "ideal", **OFF, jitter_px=3.0, lattice_rotation_deg=2.0, lattice_scale=1.02, seed=4
    ).changed(grid=(1, 2), tile_shape=(30, 60, 60), overlap_fraction=0.4)
    result = simulate(tmp_path / "sim", settings=settings)
    truth = json.loads((result.truth / "truth.json").read_text())
    tiles = truth["slices"][0]["tiles"]
    images = [
        read_tile(result.raw / "z00" / f"tile_x{t['ix']:02d}_y{t['iy']:02d}_z00")[20].astype(float)
        for t in tiles
    ]
    shift = np.array([tiles[1][k] - tiles[0][k] for k in ("row_px", "col_px")])
    from scipy.ndimage import map_coordinates

    y, x = np.mgrid[10:50, 5:18]
    first = map_coordinates(images[0], [y + shift[0], x + shift[1]], order=3)
    assert np.corrcoef(first.ravel(), images[1][y, x].ravel())[0, 1] > 0.99
    step = 0.6 * 60
    nominal = map_coordinates(images[0], [y + 0.0, x + step], order=3)
    assert np.corrcoef(nominal.ravel(), images[1][y, x].ravel())[0, 1] < 0.95


def test_the_lattice_of_a_turned_camera_is_that_of_the_tables_page():
    settings = preset(
        "ideal", n_slices=1, grid=(4, 4), tile_shape=(20, 100, 100), lattice_rotation_deg=1.0
    )
    tiles = {(t.iy, t.ix): np.array(t.centre_um) / 10 for t in make_plan(settings).slices[0].tiles}
    np.testing.assert_allclose(tiles[2, 3] - tiles[0, 0], [155.79, 242.76], atol=0.01)


def test_a_stage_that_runs_backwards_images_the_same_tissue(tmp_path):
    settings = preset("toy", truth_volume=False, speckle_contrast=0.0, jitter_px=0.0)
    forward = make_plan(settings)
    backward = make_plan(settings.changed(stage_sign=(-1, 1)))
    one, two = (plan.slices[0].tiles for plan in (forward, backward))
    np.testing.assert_allclose([t.centre_um for t in one], [t.centre_um for t in two])
    assert one[2].reported_mm[0] > one[0].reported_mm[0]
    assert two[2].reported_mm[0] < two[0].reported_mm[0]


def test_drift_is_reported_and_the_residual_is_not():
    plan = make_plan(preset("toy", n_slices=4, jitter_px=0.0, lattice_rotation_deg=0.0))
    first, last = plan.slices[0], plan.slices[-1]
    moved = np.array(last.tiles[0].reported_mm) - np.array(first.tiles[0].reported_mm)
    np.testing.assert_allclose(moved, last.drift_mm, atol=1e-6)
    seen = np.array(last.tiles[0].centre_um) - np.array(first.tiles[0].centre_um)
    np.testing.assert_allclose(seen / 1000, moved, atol=1e-6)
    assert last.angle_deg != 0
    assert np.hypot(*last.shift_um) > 0


def test_slices_share_the_tissue_below_the_next_face(tmp_path):
    settings = preset("ideal", n_slices=2, grid=(1, 1), tile_shape=(40, 40, 40), truth_volume=False)
    result = simulate(tmp_path / "sim", settings=settings)
    upper, lower = (read_tile(result.raw / f"z0{z}/tile_x00_y00_z0{z}") for z in (0, 1))
    np.testing.assert_array_equal(upper[8 + 20 :], lower[8 : 8 + 12])  # 80 um water, 200 um cut
    assert (upper[:7] == 0).all()
    assert (upper[8:] > 0).all()


def test_the_face_starts_where_tilt_and_waves_put_it():
    settings = preset(
        "ideal", n_slices=1, grid=(1, 1), tile_shape=(60, 50, 50), tilt_um=(60.0, 0.0)
    )
    settings = settings.changed(waviness_um=10.0, agarose=1.0, texture_contrast=0.0)
    plan = make_plan(settings)
    tissue = ProceduralSpecimen((10.0,) * 3, plan.half_size_um, settings.specimen, 0)
    piece = plan.slices[0]
    image = render_tile(plan, piece, piece.tiles[0], tissue)[::-1, ::-1].transpose(2, 1, 0)
    found = 10.0 * (image == 0).sum(axis=0)
    place = (np.arange(50) - 24.5) * 10
    y, x = np.meshgrid(place, place, indexing="ij")
    expected = 80 + y * 60 / 500 + piece.surface.height_um(y, x)
    assert np.abs(found + 5 - expected).max() < 10


def test_effects_multiply_the_signal_as_stated():
    base = preset("ideal", n_slices=1, grid=(1, 1), tile_shape=(60, 40, 40), agarose=0.5)
    base = base.changed(tissue_fill=0.01)

    def image(**changes):
        settings = base.changed(**changes)
        plan = make_plan(settings)
        tissue = ProceduralSpecimen((10.0,) * 3, plan.half_size_um, settings.specimen, 0)
        raw = render_tile(plan, plan.slices[0], plan.slices[0].tiles[0], tissue)
        return raw[::-1, ::-1].transpose(2, 1, 0)

    np.testing.assert_allclose(image()[10:, :10, :10], 0.5, rtol=1e-6)
    shaded = image(shading=0.4)[10]
    np.testing.assert_allclose(
        shaded[:10, :10], 0.5 * flat_field(base.changed(shading=0.4))[:10, :10], rtol=1e-5
    )
    depth_mm = (np.arange(60) - 8) / 100
    faded = image(attenuation_per_mm=2.0)[10:, 0, 0]
    np.testing.assert_allclose(faded, 0.5 * np.exp(-4 * depth_mm[10:]), rtol=1e-4)
    focused = image(rayleigh_um=200.0, focus_um=100.0)[10:, 0, 0]
    np.testing.assert_allclose(focused, 0.5 / (1 + ((depth_mm[10:] - 0.1) / 0.2) ** 2), rtol=1e-4)
    for contrast in (0.2, 0.4, 1.0):
        noisy = image(speckle_contrast=contrast)[10:, :10, :10]
        assert noisy.mean() == pytest.approx(0.5, rel=0.03)
        assert noisy.std() / noisy.mean() == pytest.approx(contrast, rel=0.05)
    bowl = image(field_curvature_um=50.0)
    assert (bowl[:, 20, 20] == 0).sum() == (bowl[:, 0, 0] == 0).sum() - 5
    assert image(noise=0.1)[0, 0, 0] == np.float32(0.1)


def test_speckle_of_overlapping_tiles_is_independent_and_tissue_is_not(tmp_path):
    settings = preset("ideal", **OFF, speckle_contrast=0.3).changed(
        grid=(1, 2), tile_shape=(30, 40, 40), overlap_fraction=0.5
    )
    result = simulate(tmp_path / "noisy", settings=settings)
    clean = simulate(tmp_path / "clean", settings=settings.changed(speckle_contrast=0.0))
    names = ("z00/tile_x00_y00_z00", "z00/tile_x01_y00_z00")
    noisy = [read_tile(result.raw / n)[10:] for n in names]
    pure = [read_tile(clean.raw / n)[10:] for n in names]
    np.testing.assert_array_equal(pure[0][:, :, 20:], pure[1][:, :, :20])
    grain = [
        (n / p - 1)[:, :, part]
        for n, p, part in zip(noisy, pure, (slice(20, 40), slice(0, 20)), strict=True)
    ]
    assert abs(np.corrcoef(grain[0].ravel(), grain[1].ravel())[0, 1]) < 0.02


def test_the_galvo_return_is_cropped_or_lies_inside(tmp_path):
    settings = preset("ideal", **OFF, n_extra=8, galvo_slices=(1,), galvo_band_start=0.5)
    result = simulate(tmp_path / "sim", settings=settings)
    plain = simulate(tmp_path / "plain", settings=settings.changed(n_extra=0, galvo_slices=()))
    truth = json.loads((result.truth / "truth.json").read_text())
    shifts = [piece["galvo_shift"] for piece in truth["slices"]]
    assert shifts == [0, 24 - 16]
    for z, shift in enumerate(shifts):
        name = f"z0{z}/tile_x01_y01_z0{z}"
        fixed = np.roll(read_raw(result.raw / name), shift, axis=1)[:, :24]
        np.testing.assert_array_equal(fixed, read_raw(plain.raw / name))


def test_the_marker_saturates_the_first_a_line_and_the_buffer_turns():
    settings = preset("ideal", n_slices=1, grid=(1, 1), tile_shape=(20, 20, 20), marker=True)

    def raw(changed):
        plan = make_plan(changed)
        tissue = ProceduralSpecimen((10.0,) * 3, plan.half_size_um, changed.specimen, 0)
        return render_tile(plan, plan.slices[0], plan.slices[0].tiles[0], tissue)

    marked = raw(settings)
    assert (marked[:, 0] == marked.max()).all()
    assert marked[:, 1:].max() == marked.max() / 2
    np.testing.assert_array_equal(
        raw(settings.changed(camera_shift_px=7)), np.roll(marked, 7, axis=1)
    )


def test_repeats_show_the_same_tissue_under_speckle_of_their_own():
    settings = preset("ideal", **TINY, n_repeat=3, water_um=0.0).changed(n_extra=0)

    def raw(changed):
        plan = make_plan(changed)
        tissue = ProceduralSpecimen((10.0,) * 3, plan.half_size_um, changed.specimen, 0)
        return render_tile(plan, plan.slices[0], plan.slices[0].tiles[0], tissue)

    once, clean = raw(settings.changed(n_repeat=1)), raw(settings)
    np.testing.assert_array_equal(clean, np.repeat(once, 3, axis=0))
    grain = (raw(settings.changed(speckle_contrast=0.2)) / clean).reshape(-1, 3, *clean.shape[1:])
    assert abs(np.corrcoef(grain[:, 0].ravel(), grain[:, 1].ravel())[0, 1]) < 0.03


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("plain") / "sim", settings=preset("ideal", **TINY))


@pytest.mark.parametrize("effect", EFFECTS)
def test_each_effect_alone_changes_the_data_and_is_written_into_the_truth(
    undisturbed, tmp_path, effect
):
    settings = preset("ideal", **TINY).changed(**{effect: EFFECTS[effect]})
    result = simulate(tmp_path / "sim", settings=settings)

    assert digest(result.raw) != digest(undisturbed.raw)
    truth = [json.loads((r.truth / "truth.json").read_text()) for r in (undisturbed, result)]
    groups = [truth[n]["settings"] for n in (0, 1)]
    changed = {
        name
        for group, values in groups[0].items()
        if isinstance(values, dict)
        for name, value in values.items()
        if value != groups[1][group][name]
    }
    assert changed == {effect}


def test_faults_are_written_and_listed(tmp_path):
    settings = preset(
        "toy",
        n_slices=5,
        missing_slices=(1,),
        bad_slices=(3,),
        missing_tiles=("0/1/1",),
        truncated_tiles=("2/0/1",),
        truncated_fraction=0.5,
        nan_tiles=("4/0/0",),
        nan_fraction=0.02,
        truth_volume=False,
    )
    result = simulate(tmp_path / "sim", settings=settings)
    assert not (result.raw / "z01").exists()
    assert not (result.raw / "z00/tile_x01_y01_z00").exists()
    whole = sum(p.stat().st_size for p in (result.raw / "z00/tile_x00_y00_z00").glob("*.bin"))
    short = sum(p.stat().st_size for p in (result.raw / "z02/tile_x01_y00_z02").glob("*.bin"))
    assert short == whole // 2
    assert np.isnan(read_raw(result.raw / "z04/tile_x00_y00_z04")).mean() == pytest.approx(0.02)
    truth = json.loads((result.truth / "truth.json").read_text())
    assert (truth["missing_slices"], truth["bad_slices"]) == ([1], [3])
    assert truth["slices"][2]["tiles"][1]["fault"] == "truncated"
    assert result.n_tiles == 4 * 4 - 1
    profile = read_raw(result.raw / "z03/tile_x00_y00_z03").mean(axis=(0, 1))
    assert profile.std() / profile.mean() < 0.1  # nothing but noise, at any depth


@pytest.mark.parametrize("kind", ["blank", "saturated"])
def test_a_bad_slice_is_constant(kind):
    settings = preset("toy", bad_slices=(0,), bad_kind=kind)
    plan = make_plan(settings)
    tissue = ProceduralSpecimen((10.0,) * 3, plan.half_size_um, settings.specimen, 0)
    raw = render_tile(plan, plan.slices[0], plan.slices[0].tiles[0], tissue)
    assert raw.min() == raw.max() == (0 if kind == "blank" else 4000)


def test_rehoming_moves_the_reports_and_not_the_tissue():
    settings = preset("toy", n_slices=4)
    plain = make_plan(settings)
    step = make_plan(settings.changed(rehoming_slices=(2,)))
    spike = make_plan(settings.changed(rehoming_slices=(2,), rehoming_kind="spike"))

    def jumps(plan):
        return [
            round(a.tiles[0].reported_mm[1] - b.tiles[0].reported_mm[1], 6)
            for a, b in zip(plan.slices, plain.slices, strict=True)
        ]

    assert jumps(step) == [0, 0, 0.9, 0.9]
    assert jumps(spike) == [0, 0, 0.9, 0]
    assert step.slices[3].tiles[0].centre_um == plain.slices[3].tiles[0].centre_um


def test_the_truth_volume_is_the_specimen(tmp_path):
    settings = preset("toy")
    result = simulate(tmp_path / "sim", settings=settings)
    grid = json.loads((result.truth / "truth.json").read_text())["volume"]
    level = open_level(result.truth / "truth.ome.zarr")
    assert level.resolution_mm == pytest.approx((0.01, 0.01, 0.01))
    assert list(level.shape) == grid["shape"]
    start = tuple(round(um / 10) for um in grid["origin_um"])
    tissue = ProceduralSpecimen((10.0,) * 3, result.plan.half_size_um, settings.specimen, 0)
    expected = tissue.block(Box(start, tuple(grid["shape"]))).transpose(2, 0, 1)
    np.testing.assert_allclose(level[:] * level.attrs["reflectivity_step"], expected, atol=1.1e-4)


def test_the_specimen_does_not_depend_on_the_block_it_is_asked_for():
    tissue = ProceduralSpecimen((10.0,) * 3, (900.0, 900.0), preset("toy").specimen, 3)
    whole = tissue.block(Box((0, -90, -90), (70, 180, 180)))
    part = tissue.block(Box((50, -20, 30), (12, 40, 33)))
    np.testing.assert_array_equal(whole[70:110, 120:153, 50:62], part)


def test_the_specimen_is_rich_everywhere_and_repeats_nowhere():
    tissue = ProceduralSpecimen((10.0,) * 3, (1500.0, 1500.0), preset("toy").specimen, 0)
    block = tissue.block(Box((0, -80, -80), (64, 160, 160)))
    for z in (0, 30, 60):
        plane = block[:, :, z]
        assert plane.std() / plane.mean() > 0.3
        spectrum = np.fft.fft2(plane - plane.mean())
        other = np.fft.ifft2(np.abs(spectrum) ** 2).real / (plane.var() * plane.size)
        assert np.abs(other[25:-25, 25:-25]).max() < 0.25


def test_params_carry_what_no_raw_file_says(tmp_path):
    result = simulate(tmp_path / "sim", settings=preset("toy", truth_volume=False))
    values = yaml.safe_load(result.params.read_text())
    assert values["input"] == str(result.raw.resolve())
    assert values["axial_resolution_um"] == 10.0
    assert values["slicing_interval_mm"] == 0.2
    assert values["stitch_overlap_fraction"] == 0.3
    assert 0 < values["crop_depth_um"] <= 400 - 80


def test_a_volume_decides_grid_and_slices_that_are_left_open(tmp_path, volume):
    path, _ = volume
    settings = preset(
        "toy", volume=path, volume_spacing_um=(50.0, 40.0, 40.0), grid=(0, 0), n_slices=0
    )
    result = simulate(tmp_path / "sim", settings=settings)
    lattice = result.plan.settings.lattice
    half = result.plan.half_size_um
    assert 2 * half[0] >= 43 * 40
    assert 2 * half[1] >= 54 * 40
    assert lattice.grid == (6, 8)
    assert lattice.n_slices == 9


def test_a_volume_may_come_as_planes_as_a_stack_or_as_an_array(tmp_path, volume):
    path, values = volume
    (tmp_path / "planes").mkdir()
    for number, plane in enumerate(values):
        tifffile.imwrite(tmp_path / f"planes/p{number}.tif", plane)  # p10 comes after p9
    tifffile.imwrite(tmp_path / "stack.tif", values)
    tifffile.imwrite(tmp_path / "packed.tif", values, compression="zlib")
    settings = preset("toy", volume=path, volume_spacing_um=(50.0, 40.0, 40.0)).specimen
    box = Box((0, 3, 4), (12, 20, 20))
    expected = open_specimen(settings).block(box)
    for name in ("planes", "stack.tif", "packed.tif"):
        other = open_specimen(replace(settings, volume=tmp_path / name))
        np.testing.assert_array_equal(other.block(box), expected)


def test_a_damaged_plane_of_a_volume_is_named(tmp_path, volume):
    _, values = volume
    (tmp_path / "planes").mkdir()
    for number, plane in enumerate(values[:4]):
        tifffile.imwrite(tmp_path / f"planes/p{number}.tif", plane[: 43 - (number == 3)])
    (tmp_path / "planes/p2.tif").write_bytes(b"II*")
    settings = preset("toy", volume=tmp_path / "planes", volume_spacing_um=(50.0, 40.0, 40.0))
    specimen = open_specimen(replace(settings.specimen, volume_white=1.0))
    with pytest.raises(InputError, match=r"p2\.tif: cannot be read as a TIFF image"):
        specimen.block(Box((2, 0, 0), (1, 5, 5)))
    with pytest.raises(InputError, match=r"p3\.tif: has shape \(42, 53\), expected \(43, 53\)"):
        specimen.block(Box((3, 0, 0), (1, 5, 5)))


def test_outside_a_given_volume_there_is_only_gel():
    specimen = VolumeSpecimen(np.ones((4, 5, 6), np.float32), (10.0,) * 3, 1.0, 0.25)
    block = specimen.block(Box((-1, -1, -1), (6, 7, 8)))
    assert block.shape == (7, 8, 6)
    assert (block[1:-1, 1:-1, 1:-1] == 1).all()
    assert (block == 0.25).sum() == block.size - 4 * 5 * 6
    assert (specimen.block(Box((90, 0, 0), (2, 2, 2))) == 0.25).all()


def test_the_faults_of_a_preset_stay_within_a_smaller_lattice():
    assert preset("demo").faults.truncated_tiles == ("3/0/2",)
    assert make_plan(preset("demo", n_slices=2)).settings.faults.truncated_tiles == ()
    with pytest.raises(ParameterError, match="tile '3/0/2' is not in the lattice"):
        make_plan(preset("demo", n_slices=2, truncated_tiles=("3/0/2",)))


def test_mistakes_are_named(tmp_path):
    with pytest.raises(ParameterError, match="no setting of the simulator is named speckel"):
        preset("toy", speckel=1)
    with pytest.raises(ParameterError, match=r"grid \(0, 2\) is out of range"):
        preset("toy", grid=(0, 2))
    with pytest.raises(ParameterError, match="preset 'huge' is unknown"):
        preset("huge")
    with pytest.raises(ParameterError, match="tile '7/0/0' is not in the lattice"):
        make_plan(preset("toy", missing_tiles=("7/0/0",)))
    with pytest.raises(ParameterError, match="slice 9 is not one of"):
        make_plan(preset("toy", missing_slices=(9,)))
    (tmp_path / "something").write_text("")
    with pytest.raises(InputError, match="is not empty"):
        simulate(tmp_path, settings=preset("toy"))
    with pytest.raises(InputError, match="does not exist"):
        simulate(tmp_path / "a", settings=preset("toy", volume=tmp_path / "none.npy"))
    np.save(tmp_path / "v.npy", np.ones((4, 4, 4)))
    with pytest.raises(ParameterError, match="does not say its voxel spacing"):
        simulate(tmp_path / "b", settings=preset("toy", volume=tmp_path / "v.npy"))


def spoilt(kind, **changes):
    """Streams of slice 1 of three without the galvo's return, when it is bad and when not."""
    still = {"jitter_px": 0.0, "drift_um": 0.0, "residual_shift_um": 0.0, "noise": 0.02}
    settings = preset("toy", n_slices=3, **{**still, **changes})
    images = []
    for bad in ({"bad_slices": (1,), "bad_kind": kind}, {}):
        plan = make_plan(settings.changed(**bad))
        tissue = ProceduralSpecimen((10.0,) * 3, plan.half_size_um, settings.specimen, 0)
        images.append(
            np.stack([render_tile(plan, plan.slices[1], t, tissue) for t in plan.slices[1].tiles])
        )
    return [image[:, :, :40] for image in images]


def test_a_dark_slice_loses_light_and_keeps_the_cameras_signal():
    bad, good = spoilt("dark", speckle_contrast=0.0, shading=0.0)
    camera = 1000 * 0.02
    np.testing.assert_allclose(bad - camera, (good - camera) / 10, atol=1e-2)


def test_a_noisy_slice_has_25_times_the_cameras_signal():
    bad, good = spoilt("noisy", speckle_contrast=0.0, shading=0.0)
    np.testing.assert_allclose(bad - good, 24 * 1000 * 0.02, rtol=1e-3)


def test_a_blurred_slice_has_its_own_brightness_without_fine_structure():
    bad, good = spoilt("blurred", speckle_contrast=0.0, shading=0.0)
    assert bad.mean() == pytest.approx(good.mean(), rel=0.05)
    assert np.diff(bad, axis=2).std() < 0.2 * np.diff(good, axis=2).std()


def test_every_second_tile_of_a_half_empty_slice_is_zero(tmp_path):
    bad, _ = spoilt("half_empty")
    assert [bool(tile.any()) for tile in bad] == [True, False, False, True]
    settings = preset("toy", n_slices=3, bad_slices=(1,), bad_kind="half_empty")
    assert [t.fault for t in make_plan(settings).slices[1].tiles] == ["", "empty", "empty", ""]


def test_a_frozen_slice_repeats_its_first_tile_and_a_duplicate_the_slice_above():
    frozen, good = spoilt("frozen")
    assert all(np.array_equal(tile, good[0]) for tile in frozen)
    settings = preset("toy", n_slices=3, bad_slices=(1,), bad_kind="duplicated")
    plan = make_plan(settings)
    tissue = ProceduralSpecimen((10.0,) * 3, plan.half_size_um, settings.specimen, 0)
    above, below = (
        [render_tile(plan, piece, tile, tissue) for tile in piece.tiles]
        for piece in plan.slices[:2]
    )
    np.testing.assert_array_equal(above, below)


def test_a_shifted_slice_lies_beside_where_the_stage_says():
    settings = preset("toy", n_slices=3)
    good = make_plan(settings).slices[1]
    bad = make_plan(settings.changed(bad_slices=(1,), bad_kind="shifted")).slices[1]
    assert bad.shift_um[0] - good.shift_um[0] == pytest.approx(400)
    assert [t.reported_mm for t in bad.tiles] == [t.reported_mm for t in good.tiles]


def test_sections_differ_in_thickness_and_only_the_truth_tells():
    settings = preset("toy", n_slices=40, thickness_sigma_um=5.0)
    steps = np.diff([piece.face_um for piece in make_plan(settings).slices])
    assert 3 < steps.std() < 6
    assert abs(steps.mean() - 200) < 3
    assert "stage_z_pos_mm: 0.200000" in info_text(settings, make_plan(settings).slices[1].tiles[0])


def test_what_is_bright_throws_a_shadow():
    off = {"speckle_contrast": 0.0, "rayleigh_um": 0.0, "noise": 0.0, "attenuation_per_mm": 0.0}
    settings = preset("ideal", **OFF, **off).changed(shadow_per_mm=2.0)
    plan = make_plan(settings)
    tissue = ProceduralSpecimen((10.0,) * 3, plan.half_size_um, settings.specimen, 0)
    raw = render_tile(plan, plan.slices[0], plan.slices[0].tiles[0], tissue)
    clear = make_plan(settings.changed(shadow_per_mm=0.0))
    plain = render_tile(clear, clear.slices[0], clear.slices[0].tiles[0], tissue)
    first = 8  # the face: 80 um of water in planes of 10 um
    above = np.cumsum(plain[..., first:], axis=-1) - plain[..., first : first + 1]
    below = above[..., 4] - plain[..., first + 4]
    expected = plain[..., first + 4] * np.exp(-2e-3 * 2.0 * 10 * below)
    np.testing.assert_allclose(raw[..., first + 4], expected, rtol=2e-2)
