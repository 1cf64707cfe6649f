"""Exports of a volume whose sides, pitches and content are all known and all differ."""

import json
import shutil
import subprocess
import sys
import time

import mrcfile
import nibabel
import numpy as np
import pytest
import tifffile
import trimesh
import zarr
from PIL import Image

from mosaicflow.cli.main import main
from mosaicflow.errors import FormatError, InputError, ParameterError
from mosaicflow.formats import (
    open_file,
    open_session,
    read_density_header,
    read_session_meta,
    read_session_section,
)
from mosaicflow.io import overview
from mosaicflow.io.convert import tiff_pyramid
from mosaicflow.io.zarr import AnalysisOmeZarrWriter, open_level, save_omezarr
from mosaicflow.stacking import tissue_surface
from mosaicflow.stages.export import export

SHAPE, PITCH_UM = (60, 84, 99), np.array([12.0, 10.0, 8.0])
CENTRE_UM, RADIUS_UM = np.array([350.0, 420.0, 390.0]), np.array([260.0, 300.0, 310.0])
EVERYTHING = ("mrc", "nifti", "ome-tiff", "mesh", "session")
GAP, SYNTHETIC = (20, 24), (40, 43)


def ellipsoid():
    """Bright tissue in dim gel, with an edge of one voxel; axes (z, y, x)."""
    where = np.indices(SHAPE).reshape(3, -1).T * PITCH_UM
    distance = np.linalg.norm((where - CENTRE_UM) / RADIUS_UM, axis=1) - 1
    inside = np.clip(0.5 - distance * RADIUS_UM.min() / PITCH_UM.max(), 0, 1).reshape(SHAPE)
    grain = np.random.default_rng(7).normal(1, 0.05, SHAPE)
    return ((0.05 + 0.75 * inside) * grain).astype(np.float32)


def attributes(**changes):
    slices = [
        {"slice_id": number, "first_plane": 20 * number, "stop_plane": 20 * (number + 1)}
        for number in range(3)
    ]
    block = {"kind": "volume", "plane_pitch_um": PITCH_UM[0], "slices": slices}
    return {**block, "gaps": [], "synthetic_planes": [], **changes}


@pytest.fixture(scope="module", params=["0.4", "0.5"])
def volume(tmp_path_factory, request):
    """The ellipsoid, and again at half its lateral size."""
    path = tmp_path_factory.mktemp("volume") / "mouse7.ome.zarr"
    writer = AnalysisOmeZarrWriter(
        path, SHAPE, (13, 20, 31), np.float32, attrs=attributes(), ngff_version=request.param,
        sharding_factor=1,
    )  # fmt: skip
    with writer:
        writer[:] = ellipsoid()
        writer.finalize(tuple(PITCH_UM / 1000), n_levels=1)
    return path


@pytest.fixture(scope="module")
def exported(volume, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports")
    export(volume=volume, output_dir=folder, export_formats=EVERYTHING, threads=2)
    return folder


def test_every_format_makes_its_files_and_the_metrics(exported):
    assert sorted(path.name for path in exported.iterdir()) == [
        *("mouse7.mrc", "mouse7.nii", "mouse7.ome.tif", "mouse7.pickle"),
        "mouse7_export.metrics.json",
        *(f"mouse7_surface.{kind}" for kind in ("glb", "obj", "ply", "stl")),
    ]
    found = json.loads((exported / "mouse7_export.metrics.json").read_text())
    assert found["overall_status"] == "ok"
    assert found["metrics"]["pitch_x_um"]["value"] > 0


def stored(volume, level=0):
    reader = open_level(volume, level)
    pitch = 1000 * np.array(reader.resolution_mm)
    return reader[:], pitch, np.array(reader.translation_um or (0, 0, 0))


def test_the_mrc_has_values_pitch_and_place_in_angstrom(volume, exported):
    values, pitch, origin = stored(volume)
    assert mrcfile.validate(exported / "mouse7.mrc")
    with mrcfile.open(exported / "mouse7.mrc") as file:
        np.testing.assert_array_equal(file.data, values)
        size = [float(file.voxel_size[axis]) for axis in "zyx"]
        place = [float(file.header.origin[axis]) for axis in "zyx"]
        assert file.header.dmax == pytest.approx(values.max())
        assert file.header.rms == pytest.approx(values.std(), rel=1e-3)
    np.testing.assert_allclose(size, 1e4 * pitch, rtol=1e-6)
    np.testing.assert_allclose(place, 1e4 * origin, rtol=1e-6)
    _, sampling = read_density_header(exported / "mouse7.mrc")
    np.testing.assert_allclose(sampling, 1e4 * pitch[::-1], rtol=1e-6)


def test_the_nifti_has_values_pitch_and_place_in_millimetres(volume, exported):
    values, pitch, origin = stored(volume)
    image = nibabel.load(exported / "mouse7.nii")
    np.testing.assert_array_equal(image.get_fdata(dtype=np.float32), values.T)
    assert image.header.get_xyzt_units()[0] == "mm"
    assert int(image.header["sform_code"]) == 1
    linear = image.affine[:3, :3]
    np.testing.assert_allclose(linear, np.diag(pitch[::-1]) / 1000, rtol=1e-6)
    np.testing.assert_allclose(image.affine[:3, 3], origin[::-1] / 1000, atol=1e-6)
    np.testing.assert_allclose(image.header.get_zooms(), pitch[::-1] / 1000, rtol=1e-6)


def test_an_export_made_again_is_the_same_byte_for_byte(volume, exported, tmp_path):
    """No time and no network address in it, as tifffile's own UUID has; both engines agree."""
    export(volume=volume, output_dir=tmp_path, export_formats=("mrc", "nifti", "ome-tiff"))
    for name in ("mouse7.mrc", "mouse7.nii", "mouse7.ome.tif"):
        assert (tmp_path / name).read_bytes() == (exported / name).read_bytes()


def test_the_tiff_has_values_pitch_and_place_in_micrometres(volume, exported):
    values, pitch, origin = stored(volume)
    with tifffile.TiffFile(exported / "mouse7.ome.tif") as file:
        assert len(file.series) == 1
        np.testing.assert_array_equal(file.series[0].asarray(), values)
        pixels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
    sizes = [pixels[f"PhysicalSize{axis}"] for axis in "ZYX"]
    np.testing.assert_allclose(sizes, pitch, rtol=1e-6)
    first, second = pixels["Plane"][:2]
    np.testing.assert_allclose([first[f"Position{a}"] for a in "ZYX"], origin, atol=1e-6)
    assert second["PositionZ"] - first["PositionZ"] == pytest.approx(pitch[0])
    assert pixels["PhysicalSizeXUnit"] == "µm"


@pytest.mark.parametrize("kind", ["ply", "stl", "obj", "glb"])
def test_the_surface_is_that_of_the_specimen_within_half_a_voxel(volume, exported, kind):
    _, pitch, _ = stored(volume)
    mesh = trimesh.load_mesh(exported / f"mouse7_surface.{kind}")
    assert mesh.is_watertight
    assert mesh.volume > 0  # outwards
    truth = 4 / 3 * np.pi * np.prod(RADIUS_UM)
    # Half a voxel all over the surface is 5.35 %.
    assert mesh.volume == pytest.approx(truth, rel=0.0535)
    expected = np.stack([CENTRE_UM - RADIUS_UM, CENTRE_UM + RADIUS_UM])[:, ::-1]
    # The ellipsoid reaches beyond the volume nowhere, so its box is the mesh's.
    assert np.all(np.abs(mesh.bounds - expected) < pitch[::-1] / 2)
    ours = open_file(exported / f"mouse7_surface.{kind}")[0]
    np.testing.assert_allclose(ours.vertices.max(axis=0), mesh.bounds[1], rtol=1e-6)
    assert len(ours.faces) == len(mesh.faces)


def test_the_session_gives_back_surface_outlines_and_description(volume, exported):
    _, pitch, _ = stored(volume)
    path = exported / "mouse7.pickle"
    state, meta = open_session(path), read_session_meta(path)
    assert state["metadata"] == meta
    assert meta["shape"] == list(open_level(volume).shape)
    np.testing.assert_allclose(meta["pitch_um"], pitch)
    assert [one["slice_id"] for one in meta["slices"]] == [0, 1, 2]
    picture = Image.open(__import__("io").BytesIO(read_session_section(path, "thumbnail")))
    assert max(picture.size) > 64
    surface = state["surface"]
    mesh = trimesh.load_mesh(exported / "mouse7_surface.ply")
    np.testing.assert_array_equal(surface.vertices, mesh.vertices.astype(np.float32))
    assert surface.sampling == (1e4, 1e4, 1e4)
    outlines = state["outlines"]
    ids = [box.get_property("slice_id")[0] for box in outlines.vertex_properties]
    assert ids == [0, 1, 2]
    for number, outline in enumerate(outlines):
        line = outline.vertices.astype(np.float64)
        np.testing.assert_array_equal(line[0], line[-1])
        z = 12 * (20 * number + 9.5)  # um, middle of the slice within half a plane
        assert abs(line[0, 2] - z) <= 12
        assert len(line) > 20
        distance = np.linalg.norm((line[:, ::-1] - CENTRE_UM) / RADIUS_UM, axis=1) - 1
        assert np.abs(np.median(distance)) * RADIUS_UM.min() < PITCH_UM.max() / 2


@pytest.mark.parametrize("level", [0, 1])
def test_all_exports_of_a_level_agree_in_place_and_size(volume, tmp_path, level):
    export(volume=volume, output_dir=tmp_path, export_formats=EVERYTHING, export_level=level)
    values, pitch, origin = stored(volume, level)
    # The centre of brightness, in um, as each program would compute it.
    expected = centre(values, pitch, origin)
    with mrcfile.open(tmp_path / "mouse7.mrc") as file:
        size = np.array([float(file.voxel_size[axis]) for axis in "zyx"])
        place = np.array([float(file.header.origin[axis]) for axis in "zyx"])
        found = centre(file.data, size / 1e4, place / 1e4)
    np.testing.assert_allclose(found, expected, atol=0.01)
    image = nibabel.load(tmp_path / "mouse7.nii")
    index = centre(image.get_fdata(), np.ones(3), np.zeros(3))
    np.testing.assert_allclose(1000 * nibabel.affines.apply_affine(image.affine, index)[::-1],
                               expected, atol=0.01)  # fmt: skip
    with tifffile.TiffFile(tmp_path / "mouse7.ome.tif") as file:
        pixels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
        size = np.array([pixels[f"PhysicalSize{axis}"] for axis in "ZYX"])
        place = np.array([pixels["Plane"][0][f"Position{axis}"] for axis in "ZYX"])
        found = centre(file.series[0].asarray(), size, place)
    np.testing.assert_allclose(found, expected, atol=0.01)
    mesh = trimesh.load_mesh(tmp_path / "mouse7_surface.stl")
    assert np.all(np.abs(mesh.center_mass[::-1] - CENTRE_UM) < pitch / 2)


def centre(values, pitch, origin):
    bright = np.clip(np.asarray(values, dtype=np.float64) - 0.3, 0, None)
    index = [np.average(np.arange(n), weights=bright.sum(axis=tuple({0, 1, 2} - {axis})))
             for axis, n in enumerate(bright.shape)]  # fmt: skip
    return origin + pitch * index


def simple_store(path, values, pitch_um=PITCH_UM, **options):
    save_omezarr(values, path, tuple(np.asarray(pitch_um) / 1000), **options)
    return path


def test_whole_numbers_keep_zero_apart_and_their_factor(tmp_path):
    values = ellipsoid()
    values[:, :9] = 0
    values[0, 20, 20] = 1e-7  # almost nothing, but not nothing
    store = simple_store(tmp_path / "a.ome.zarr", values)
    export(volume=store, output_dir=tmp_path / "out", export_formats=("mrc", "nifti", "ome-tiff"),
           export_dtype="uint16")  # fmt: skip
    with mrcfile.open(tmp_path / "out" / "a.mrc") as file:
        numbers = file.data
        notes = b" ".join(file.header.label).decode()
    assert numbers.dtype == np.uint16
    assert numbers.max() == 65535
    np.testing.assert_array_equal(numbers == 0, values == 0)
    slope = values.max() / 65535
    assert f"value = number x {slope:.5g}"[:20] in notes
    image = nibabel.load(tmp_path / "out" / "a.nii")
    assert image.get_data_dtype() == np.uint16
    np.testing.assert_allclose(image.get_fdata().T, values, atol=slope)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out" / "a.ome.tif"), numbers)
    metrics = json.loads((tmp_path / "out" / "a_export.metrics.json").read_text())["metrics"]
    assert metrics["value_per_number"]["value"] == pytest.approx(slope, rel=1e-5)


def signed_ellipsoid():
    """Gel around 0, half of it below, dim tissue with a bright core, and a rim without data."""
    values = ellipsoid()
    where = np.indices(SHAPE).reshape(3, -1).T * PITCH_UM
    core = np.linalg.norm((where - CENTRE_UM) / RADIUS_UM, axis=1).reshape(SHAPE) < 0.5
    noise = np.random.default_rng(3).normal(0, 0.05, SHAPE)
    signed = ((values - 0.05) / 0.75 * np.where(core, 1.0, 0.3) + noise).astype(np.float32)
    signed[:, :4] = 0
    return signed


def test_whole_numbers_hold_negative_values_apart_from_no_data(tmp_path):
    values = signed_ellipsoid()
    store = simple_store(tmp_path / "a.ome.zarr", values)
    export(volume=store, output_dir=tmp_path, export_formats=("mrc", "nifti"),
           export_dtype="uint16")  # fmt: skip
    with mrcfile.open(tmp_path / "a.mrc") as file:
        numbers = file.data
        assert b"0 is no data" in b" ".join(file.header.label)
    np.testing.assert_array_equal(numbers == 0, values == 0)
    assert (numbers[numbers > 0].min(), numbers.max()) == (1, 65535)
    slope = np.ptp(values) / 65534
    found = nibabel.load(tmp_path / "a.nii").get_fdata().T
    np.testing.assert_allclose(found[values != 0], values[values != 0], atol=slope)


def test_gel_around_zero_is_gel_and_dim_tissue_is_tissue(tmp_path):
    store = simple_store(tmp_path / "a.ome.zarr", signed_ellipsoid())
    export(volume=store, output_dir=tmp_path, export_formats=("mesh",))
    mesh = trimesh.load_mesh(tmp_path / "a_surface.ply")
    expected = np.stack([CENTRE_UM - RADIUS_UM, CENTRE_UM + RADIUS_UM])[:, ::-1]
    assert np.all(np.abs(mesh.bounds - expected) < PITCH_UM[::-1])  # noise adds to the poles
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * np.prod(RADIUS_UM), rel=0.0535)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_any_type_of_store_becomes_float32(tmp_path, dtype):
    values = (100 * ellipsoid()).astype(dtype)
    store = simple_store(tmp_path / "a.ome.zarr", values)
    export(volume=store, output_dir=tmp_path, export_formats=("mrc",))
    with mrcfile.open(tmp_path / "a.mrc") as file:
        assert file.data.dtype == np.float32
        np.testing.assert_array_equal(file.data, values)


def marked_store(path):
    values = ellipsoid()
    values[slice(*GAP)] = 0
    marks = attributes(gaps=[list(GAP)], synthetic_planes=[list(SYNTHETIC)])
    return simple_store(path, values, attrs=marks)


def test_gaps_and_made_up_planes_are_marked_and_stay_empty_in_the_mesh(tmp_path):
    store = marked_store(tmp_path / "a.ome.zarr")
    export(volume=store, output_dir=tmp_path, export_formats=EVERYTHING)
    mesh = trimesh.load_mesh(tmp_path / "a_surface.ply")
    assert mesh.is_watertight
    # Three parts, none of which reaches into what nobody saw.
    assert len(mesh.split()) == 3
    z = mesh.vertices[:, 2]
    for first, stop in (GAP, SYNTHETIC):
        top, bottom = 12 * (first - 0.5), 12 * (stop - 0.5)
        assert not np.any((z > top + 0.1) & (z < bottom - 0.1))
        assert np.abs(z - top).min() < 6
        assert np.abs(z - bottom).min() < 6
    with mrcfile.open(tmp_path / "a.mrc") as file:
        assert not file.data[slice(*GAP)].any()
        notes = b" ".join(file.header.label).decode()
    assert "z 234 to 282 um: no data" in notes
    assert "z 474 to 510 um: made up" in notes
    description = bytes(nibabel.load(tmp_path / "a.nii").header["descrip"]).decode()
    assert description.startswith("z 234 to 282 um: no data; z 474 to 510 um: made up")
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        assert "z 234 to 282 um: no data" in file.ome_metadata
    meta = read_session_meta(tmp_path / "a.pickle")
    assert meta["gaps"] == [{"z_um": [234, 282]}]
    assert meta["synthetic_planes"] == [{"z_um": [474, 510]}]


def test_a_gap_thinner_than_a_voxel_of_the_surface_stays_open(tmp_path, monkeypatch):
    monkeypatch.setattr("mosaicflow.export.files._SURFACE_VOXELS", 60_000)
    values = ellipsoid()
    values[30] = 0
    store = simple_store(tmp_path / "a.ome.zarr", values, attrs=attributes(gaps=[[30, 31]]))
    export(volume=store, output_dir=tmp_path, export_formats=("mesh",))
    metrics = json.loads((tmp_path / "a_export.metrics.json").read_text())["metrics"]
    assert metrics["surface_pitch_um"]["value"] > 12
    mesh = trimesh.load_mesh(tmp_path / "a_surface.ply")
    assert len(mesh.split()) == 2


def test_a_missing_tile_within_the_tissue_is_no_tissue(tmp_path):
    values = ellipsoid()
    values[20:40, 35:50, 40:60] = 0
    store = simple_store(tmp_path / "a.ome.zarr", values)
    export(volume=store, output_dir=tmp_path, export_formats=("mesh",))
    mesh = trimesh.load_mesh(tmp_path / "a_surface.ply")
    hole = 20 * 15 * 20 * np.prod(PITCH_UM)
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * np.prod(RADIUS_UM) - hole, rel=0.0535)


def test_a_dark_cavity_belongs_to_the_tissue_and_dirt_does_not(tmp_path):
    values = ellipsoid()
    values[25:30, 40:46, 45:52] = 0.05
    values[2:4, 2:5, 2:5] = 0.8
    store = simple_store(tmp_path / "a.ome.zarr", values)
    export(volume=store, output_dir=tmp_path, export_formats=("mesh",))
    assert len(trimesh.load_mesh(tmp_path / "a_surface.ply").split(only_watertight=False)) == 1


def test_a_large_surface_is_thinned_out_and_stays_where_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(tissue_surface, "_MOST_TRIANGLES", 4000)
    store = simple_store(tmp_path / "a.ome.zarr", ellipsoid())
    export(volume=store, output_dir=tmp_path, export_formats=("mesh",))
    mesh = trimesh.load_mesh(tmp_path / "a_surface.ply")
    assert 3000 < len(mesh.faces) <= 4000
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * np.prod(RADIUS_UM), rel=0.0535)
    unit = np.linalg.norm((mesh.vertices[:, ::-1] - CENTRE_UM) / RADIUS_UM, axis=1)
    assert np.percentile(np.abs(unit - 1) * RADIUS_UM.min(), 99) < PITCH_UM.max() / 2


def test_blocks_of_a_volume_without_a_pyramid_keep_mean_and_place(tmp_path, monkeypatch):
    values = ellipsoid()
    values[:, :30] = 0
    store = simple_store(tmp_path / "a.ome.zarr", values, chunks=(7, 30, 40))
    monkeypatch.setattr("mosaicflow.io.zarr.copying._STEP_BYTES", 40_000)
    found = overview.read_overview(store, 0, 9000)
    assert found.values.size <= 9000
    factors = np.rint(np.array(found.pitch_um) / PITCH_UM).astype(int)
    np.testing.assert_allclose(found.origin_um, PITCH_UM * (factors - 1) / 2)
    z, y, x = factors
    # A block that is half empty.
    row = 30 // y
    block = values[3 * z : 4 * z, row * y : (row + 1) * y, 5 * x : 6 * x]
    assert np.count_nonzero(block) > 0
    assert found.values[3, row, 5] == pytest.approx(block[block != 0].mean(), rel=1e-5)
    assert found.values[0, 0, 0] == 0


def test_the_pyramid_of_the_tiff_halves_the_planes_and_not_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(tiff_pyramid, "_SMALLEST_PX", 32)
    values = ellipsoid()
    values[:, 41:] = 0
    store = simple_store(tmp_path / "a.ome.zarr", values)
    export(volume=store, output_dir=tmp_path, export_formats=("ome-tiff",))
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        levels = file.series[0].levels
        assert [level.shape for level in levels] == [(60, 84, 99), (60, 42, 50), (60, 21, 25)]
        half = levels[1].asarray()
    np.testing.assert_allclose(half[5, 3, 4], values[5, 6:8, 8:10].mean(), rtol=1e-5)
    # The rim takes its value from the row that has data, not from half of it.
    np.testing.assert_allclose(half[5, 20, 4], values[5, 40, 8:10].mean(), rtol=1e-5)
    assert not half[:, 21:].any()


def test_what_is_empty_takes_no_room_and_no_time_in_a_tiff(tmp_path, monkeypatch):
    monkeypatch.setattr(tiff_pyramid, "_SMALLEST_PX", 300)
    values = np.zeros((4, 700, 600), np.float32)
    values[1, 300:340, 280:300] = 3
    values[3, 699, 599] = 5
    read = []
    original = tiff_pyramid.RawVoxels.__getitem__

    def noted(self, region):
        read.append((region[0].start, region[1].start // 256, self.shape[1]))
        return original(self, region)

    monkeypatch.setattr(tiff_pyramid.RawVoxels, "__getitem__", noted)
    store = simple_store(tmp_path / "a.ome.zarr", values)
    export(volume=store, output_dir=tmp_path / "out", export_formats=("ome-tiff",))
    with tifffile.TiffFile(tmp_path / "out" / "a.ome.tif") as file:
        np.testing.assert_array_equal(file.series[0].asarray(), values)
        half = file.series[0].levels[1].asarray()
        assert (half[1, 150:170, 140:150] == 3).all()
        assert half[3, 349, 299] == 5
        assert np.count_nonzero(half) == 20 * 10 + 1
    # To pack and to halve; the middle plane gives the file its identity.
    packed = {part for part in read if part[2] == 700 and part[0] != 2}
    assert packed <= {(1, 1, 700), (1, 0, 700), (3, 2, 700), (3, 0, 700)}


def test_what_cannot_be_exported_says_why(tmp_path):
    store = simple_store(tmp_path / "a.ome.zarr", ellipsoid())
    out = tmp_path / "out"
    with pytest.raises(ParameterError, match="export_formats is empty"):
        export(volume=store, output_dir=out)
    with pytest.raises(ParameterError, match="there is no level 1: use 0 to 0"):
        export(volume=store, output_dir=out, export_formats=("mrc",), export_level=1)
    with pytest.raises(InputError, match="inside the volume"):
        export(volume=store, output_dir=store / "out", export_formats=("mrc",))
    assert not list(out.glob("a.*"))


def plain_store(path, values, **attributes):
    """A store as another program may write it."""
    group = zarr.open_group(path, mode="w", zarr_format=3)
    array = group.create_array("0", shape=values.shape, dtype=values.dtype, chunks=(4, 4, 4))
    array[...] = values
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    scale = [{"type": "scale", "scale": [1.0, 1.0, 1.0]}]
    levels = [{"path": "0", "coordinateTransformations": scale}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": levels}]}
    if attributes:
        group.attrs["mosaicflow"] = attributes
    return path


def test_values_that_no_float32_holds_are_never_changed_in_silence(tmp_path):
    labels = np.zeros((4, 5, 6), np.uint32)
    labels[1, 2, 3] = 2**24 + 1
    export(volume=plain_store(tmp_path / "a.ome.zarr", labels), output_dir=tmp_path,
           export_formats=("mrc",))  # fmt: skip
    found = json.loads((tmp_path / "a_export.metrics.json").read_text())
    assert "beyond 16777216 are rounded" in found["warnings"][0]
    huge = plain_store(tmp_path / "b.ome.zarr", np.full((4, 5, 6), 1e300))
    with pytest.raises(FormatError, match=r"beyond 3\.4e38"):
        export(volume=huge, output_dir=tmp_path, export_formats=("mrc",))
    assert not (tmp_path / "b.mrc").exists()


def test_no_numbers_and_infinities_change_nothing_around_them(tmp_path):
    values = ellipsoid()
    values[5, 5, 5:8] = np.nan, np.inf, -np.inf
    store = simple_store(tmp_path / "a.ome.zarr", values)
    export(volume=store, output_dir=tmp_path, export_formats=("mrc", "mesh", "session"))
    with mrcfile.open(tmp_path / "a.mrc") as file:
        np.testing.assert_array_equal(file.data, values)
        assert file.header.dmax == pytest.approx(values[np.isfinite(values)].max())
    mesh = trimesh.load_mesh(tmp_path / "a_surface.ply")
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * np.prod(RADIUS_UM), rel=0.0535)
    export(volume=store, output_dir=tmp_path, export_formats=("nifti",), export_dtype="uint16")
    found = nibabel.load(tmp_path / "a.nii").get_fdata().T
    known = np.isfinite(values)
    np.testing.assert_allclose(found[known], values[known], atol=np.ptp(values[known]) / 65534)


@pytest.mark.parametrize(
    ("shape", "block", "message"),
    [
        ((0, 9, 9), {}, r"shape \(0, 9, 9\), which holds no voxel"),
        ((4, 5, 6), {"plane_pitch_um": "x"}, "found plane_pitch_um 'x', expected a length"),
        ((4, 5, 6), {"plane_pitch_um": -1}, "found plane_pitch_um -1, expected a length"),
        ((4, 5, 6), {"gaps": "all"}, "planes 'a' in its attributes"),
    ],
)
def test_a_store_that_makes_no_sense_is_refused(tmp_path, shape, block, message):
    store = plain_store(tmp_path / "a.ome.zarr", np.ones(shape, np.float32), **block)
    with pytest.raises(FormatError, match=message):
        export(volume=store, output_dir=tmp_path / "out", export_formats=EVERYTHING)
    assert not (tmp_path / "out").exists()


def test_a_volume_of_nothing_has_no_surface_and_says_so(tmp_path):
    store = simple_store(tmp_path / "a.ome.zarr", np.zeros((4, 5, 6), np.float32))
    export(volume=store, output_dir=tmp_path, export_formats=EVERYTHING)
    found = json.loads((tmp_path / "a_export.metrics.json").read_text())
    assert "no tissue" in found["warnings"][0]
    assert not list(tmp_path.glob("*surface*"))
    assert len(open_session(tmp_path / "a.pickle")["surface"].vertices) == 0


def test_the_command_writes_the_same_and_leaves_existing_files_alone(
    volume, exported, tmp_path, invoke
):
    words = ("export", volume, tmp_path, "--formats", "mrc", "mesh")
    invoke(main, *words)
    for name in ("mouse7.mrc", "mouse7_surface.stl"):
        assert (tmp_path / name).read_bytes() == (exported / name).read_bytes()
    assert "mouse7.mrc: exists" in invoke(main, *words, code=1).stderr
    invoke(main, *words, "--overwrite")


MEASURE = """
import sys
from pathlib import Path
from mosaicflow.stages.export import export
export(volume=Path(sys.argv[1]), output_dir=Path(sys.argv[2]), threads=2,
       export_formats=(sys.argv[3],))
# Not getrusage: that starts with the peak of the parent process.
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(int(status["VmHWM"].split()[0]) / 1e6)
"""


def check_mrc(folder, shape):
    with mrcfile.mmap(folder / "large.mrc") as file:
        assert file.data.shape == shape
        return file.data[150, 2000, 2000], file.data[10, 10, 10]


def check_nifti(folder, shape):
    data = nibabel.load(folder / "large.nii").dataobj
    assert data.shape == shape[::-1]
    return data[2000, 2000, 150], data[10, 10, 10]


def check_tiff(folder, shape):
    with tifffile.TiffFile(folder / "large.ome.tif") as file:
        assert file.series[0].levels[0].shape == shape
        return file.pages[150].asarray()[2000, 2000], file.pages[10].asarray()[10, 10]


def check_surface(folder, shape):
    mesh = trimesh.load_mesh(folder / "large_surface.ply")
    truth = np.array([[1400, 1500, 100], [2600, 2500, 220]]) * 10.0 - 5
    pitch = json.loads((folder / "large_export.metrics.json").read_text())
    half = pitch["metrics"]["surface_pitch_um"]["value"] / 2
    assert np.all(np.abs(mesh.bounds - truth) < half)
    return 1, 0


def check_session(folder, shape):
    assert open_session(folder / "large.pickle")["metadata"]["shape"] == list(shape)
    return 1, 0


@pytest.mark.slow
def test_a_volume_of_20_gigabytes_is_exported_in_less_than_2(tmp_path, record_testsuite_property):
    # 20 GB of float32, of which a block of tissue in the middle is there.
    shape, path = (320, 3968, 3968), tmp_path / "large.ome.zarr"
    save_omezarr(np.zeros((4, 4, 4), np.float32), path, 0.01)
    array = zarr.create_array(
        store=str(path), name="0", shape=shape, chunks=(64, 128, 128), dtype="float32",
        zarr_format=2, fill_value=0, overwrite=True,
        chunk_key_encoding={"name": "v2", "separator": "/"},
    )  # fmt: skip
    inner = (slice(100, 220), slice(1500, 2500), slice(1400, 2600))
    array[90:230, 1400:2600, 1300:2700] = 0.1
    array[inner] = 1.0
    checks = {"mrc": check_mrc, "nifti": check_nifti, "ome-tiff": check_tiff,
              "mesh": check_surface, "session": check_session}  # fmt: skip
    for kind, check in checks.items():
        folder = tmp_path / kind
        began_s = time.perf_counter()
        result = subprocess.run(
            [sys.executable, "-c", MEASURE, str(path), str(folder), kind],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        record_testsuite_property(f"{kind}: peak [GB]", result.stdout.strip())
        record_testsuite_property(f"{kind}: time [s]", round(time.perf_counter() - began_s))
        assert float(result.stdout) < 2  # GB
        assert check(folder, shape) == (1, 0)
        shutil.rmtree(folder)  # the disk need not hold all of them
