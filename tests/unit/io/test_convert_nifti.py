"""No volume is mirrored on its way from NIfTI to a store and back."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from mosaicflow.cli.convert import convert
from mosaicflow.errors import FormatError, ParameterError
from mosaicflow.io.zarr import open_level, read_omezarr, save_omezarr

from .conftest import RESOLUTION_MM, noise

nibabel = pytest.importorskip("nibabel")

SHAPE = (5, 6, 7)
ZOOMS = (0.05, 0.025, 0.2)
MM = {"mm": 1.0, "micron": 1e-3, "meter": 1e3, "unknown": 1.0}


def turned(codes: str) -> np.ndarray:
    """An affine whose axes run along some letters of R, L, A, P, S, I."""
    turns = nibabel.orientations.axcodes2ornt(codes)
    affine = np.zeros((4, 4))
    for axis, (world, sign) in enumerate(turns):
        affine[int(world), axis] = sign * ZOOMS[axis]
    affine[:3, 3] = (-3.0, 4.5, 11.0)
    affine[3, 3] = 1
    return affine


def oblique(shear: float = 0.0) -> np.ndarray:
    angle = np.radians(20)
    turn = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), shear], [0, 0, 1]]
    )
    affine = np.eye(4)
    affine[:3, :3] = turn / np.linalg.norm(turn, axis=0) * ZOOMS
    affine[:3, 3] = (1, 2, 3)
    return affine


def saved(path, affine_mm, *, unit="mm", sform=1, qform=None, dtype="float32"):
    """A NIfTI file of noise as nibabel writes it; returns its voxels (x, y, z)."""
    data = noise(SHAPE, dtype)
    affine = affine_mm.copy()
    affine[:3] /= MM[unit]
    image = nibabel.Nifti1Image(data, affine)
    image.header.set_xyzt_units(unit)
    image.set_sform(affine, code=sform)
    image.set_qform(affine if qform else None, code=qform or 0)
    nibabel.save(image, path)
    return data


@pytest.mark.parametrize("codes", ["LAS", "LPI", "PSR", "ASL", "IRP"])
@pytest.mark.parametrize("unit", ["mm", "micron", "meter"])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_turned_and_mirrored_axes_come_back(tmp_path, codes, unit, suffix):
    affine = turned(codes)
    data = saved(tmp_path / f"a{suffix}", affine, unit=unit, sform=2)
    store, back = tmp_path / "a.ome.zarr", tmp_path / f"b{suffix}"
    letters = ", ".join(codes)
    with pytest.warns(UserWarning, match=f"axes run along {letters} .*voxels keep their order"):
        convert(str(tmp_path / f"a{suffix}"), str(store))
    np.testing.assert_array_equal(open_level(store)[...], data.T)
    expected_mm = [abs(turned(codes)[:3, axis]).max() for axis in (2, 1, 0)]
    assert read_omezarr(store)[1] == tuple(expected_mm)
    convert(str(store), str(back))
    image = nibabel.load(back)
    assert "".join(nibabel.aff2axcodes(image.affine)) == codes
    np.testing.assert_allclose(image.affine, affine, rtol=1e-6)
    assert image.header.get_xyzt_units()[0] == "mm"
    assert int(image.header["sform_code"]) == int(image.header["qform_code"]) == 2
    np.testing.assert_array_equal(np.asarray(image.dataobj), data)


@pytest.mark.parametrize(("shear", "word"), [(0.0, "rotated; nearest"), (0.4, "with shear")])
def test_what_a_store_cannot_say_is_said_and_comes_back(tmp_path, shear, word):
    affine = oblique(shear)
    saved(tmp_path / "a.nii", affine)
    with pytest.warns(UserWarning, match=word):
        convert(str(tmp_path / "a.nii"), str(tmp_path / "a.ome.zarr"))
    convert(str(tmp_path / "a.ome.zarr"), str(tmp_path / "b.nii"))
    header = nibabel.load(tmp_path / "b.nii").header
    np.testing.assert_allclose(header.get_sform(), affine, rtol=1e-6, atol=1e-7)
    assert int(header["qform_code"]) == (0 if shear else 1)
    if not shear:
        np.testing.assert_allclose(header.get_qform(), affine, rtol=1e-5, atol=1e-6)


def test_a_qform_alone_counts(tmp_path):
    saved(tmp_path / "a.nii", turned("LPS"), sform=0, qform=1)
    with pytest.warns(UserWarning, match="run along L, P, S"):
        convert(str(tmp_path / "a.nii"), str(tmp_path / "a.ome.zarr"))
    convert(str(tmp_path / "a.ome.zarr"), str(tmp_path / "b.nii"))
    found = nibabel.load(tmp_path / "b.nii").affine
    np.testing.assert_allclose(found, turned("LPS"), rtol=1e-6)


def test_every_way_keeps_the_affine(tmp_path):
    """Between flavours, through an archive, and from NIfTI to NIfTI."""
    affine = turned("LAS")
    data = saved(tmp_path / "a.nii", affine, dtype="uint16")
    names = ["a.nii", "b.ome.zarr", "c.ome.zarr", "d.ome.zarr.zip", "e.nii.gz", "f.nii"]
    with pytest.warns(UserWarning, match="run along L, A, S"):
        convert(str(tmp_path / "a.nii"), str(tmp_path / "b.ome.zarr"), n_levels=1)
    for source, output in itertools.pairwise(names[1:]):
        convert(str(tmp_path / source), str(tmp_path / output), ngff_version="0.5")
    image = nibabel.load(tmp_path / "f.nii")
    np.testing.assert_allclose(image.affine, affine, rtol=1e-6)
    np.testing.assert_array_equal(np.asarray(image.dataobj), data)
    assert image.get_data_dtype() == np.uint16
    assert not [p.name for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_a_coarser_level_lies_where_its_voxels_are(tmp_path):
    affine = turned("LPS")
    saved(tmp_path / "a.nii", affine)
    with pytest.warns(UserWarning, match="run along"):
        convert(str(tmp_path / "a.nii"), str(tmp_path / "a.ome.zarr"), n_levels=1)
    convert(str(tmp_path / "a.ome.zarr"), str(tmp_path / "b.nii"), level=1)
    coarse = nibabel.load(tmp_path / "b.nii")
    assert coarse.shape == (2, 3, 7)
    parents = np.array([(2, 2, 3), (3, 2, 3), (2, 3, 3), (3, 3, 3)])
    expected = nibabel.affines.apply_affine(affine, parents).mean(axis=0)
    found = nibabel.affines.apply_affine(coarse.affine, (1, 1, 3))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_pitch_by_the_user_keeps_the_directions(tmp_path):
    saved(tmp_path / "a.nii", turned("LAS"))
    with pytest.warns(UserWarning, match="run along"):
        convert(str(tmp_path / "a.nii"), str(tmp_path / "a.ome.zarr"), resolution=(40, 20, 10))
    assert read_omezarr(tmp_path / "a.ome.zarr")[1] == (0.04, 0.02, 0.01)
    convert(str(tmp_path / "a.ome.zarr"), str(tmp_path / "b.nii"), resolution=(80, 20, 10))
    image = nibabel.load(tmp_path / "b.nii")
    assert nibabel.aff2axcodes(image.affine) == ("L", "A", "S")
    np.testing.assert_allclose(image.header.get_zooms(), (0.01, 0.02, 0.08), rtol=1e-6)


def test_without_a_known_space_nothing_is_recorded(tmp_path):
    saved(tmp_path / "a.nii", turned("LAS"), sform=0, unit="unknown")
    with pytest.warns(UserWarning, match="names no unit of length; mm is assumed"):
        convert(str(tmp_path / "a.nii"), str(tmp_path / "a.ome.zarr"))
    assert "nifti" not in open_level(tmp_path / "a.ome.zarr").attrs
    assert read_omezarr(tmp_path / "a.ome.zarr")[1] == ZOOMS[::-1]


def test_a_header_that_contradicts_itself_is_told(tmp_path):
    image = nibabel.Nifti1Image(noise(SHAPE), turned("RAS"))
    image.header.set_xyzt_units("mm")
    image.set_sform(turned("RAS"), code=1)
    image.header["pixdim"][1:4] = (0.9, 0.9, 0.9)
    nibabel.save(image, tmp_path / "a.nii")
    with pytest.warns(UserWarning, match="the affine is used"):
        convert(str(tmp_path / "a.nii"), str(tmp_path / "a.ome.zarr"))
    assert read_omezarr(tmp_path / "a.ome.zarr")[1] == ZOOMS[::-1]


def test_a_plain_orientation_needs_no_words(tmp_path):
    saved(tmp_path / "a.nii", turned("RAS"))
    convert(str(tmp_path / "a.nii"), str(tmp_path / "a.ome.zarr"))
    convert(str(tmp_path / "a.ome.zarr"), str(tmp_path / "b.nii"))
    np.testing.assert_allclose(nibabel.load(tmp_path / "b.nii").affine, turned("RAS"), rtol=1e-6)


def test_an_orientation_of_another_array_is_left_out(tmp_path):
    block = {"nifti": {"affine_mm": turned("LAS")[:3].tolist(), "code": 1, "shape": [9, 9, 9]}}
    save_omezarr(noise((6, 8, 8)), tmp_path / "a.ome.zarr", RESOLUTION_MM, attrs=block)
    with pytest.warns(UserWarning, match="belongs to an array of"):
        convert(str(tmp_path / "a.ome.zarr"), str(tmp_path / "a.nii"))
    affine = nibabel.load(tmp_path / "a.nii").affine
    np.testing.assert_allclose(affine, np.diag([*RESOLUTION_MM[::-1], 1]), rtol=1e-6)
    document = json.loads((tmp_path / "a.ome.zarr" / ".zattrs").read_text())
    document["mosaicflow"]["nifti"] = {"affine_mm": [1, 2]}
    (tmp_path / "a.ome.zarr" / ".zattrs").write_text(json.dumps(document))
    with pytest.raises(FormatError, match="attribute 'nifti' is malformed"):
        convert(str(tmp_path / "a.ome.zarr"), str(tmp_path / "b.nii"))


def test_recorded_axes_are_not_swapped(tmp_path):
    saved(tmp_path / "a.nii", turned("RAS"))
    convert(str(tmp_path / "a.nii"), str(tmp_path / "a.ome.zarr"))
    for output in ("b.nii", "b.ome.zarr"):
        with pytest.raises(ParameterError, match="cannot be swapped"):
            convert(str(tmp_path / "a.ome.zarr"), str(tmp_path / output), legacy_lateral_order=True)


def test_scaled_values_are_the_values_that_nibabel_gives(tmp_path):
    raw = np.arange(-105, 105, dtype=np.int16).reshape(SHAPE)
    image = nibabel.Nifti1Image(raw, turned("RAS"))
    image.header.set_xyzt_units("mm")
    image.header.set_slope_inter(0.5, 100)
    nibabel.save(image, tmp_path / "a.nii.gz")
    expected = np.asarray(nibabel.load(tmp_path / "a.nii.gz").dataobj)
    convert(str(tmp_path / "a.nii.gz"), str(tmp_path / "a.ome.zarr"))
    np.testing.assert_array_equal(open_level(tmp_path / "a.ome.zarr")[...], expected.T)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_damaged_files_are_named(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    saved(path, turned("RAS"))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(FormatError, match=rf"a\{suffix}: (is cut short|damaged gzip)"):
        convert(str(path), str(tmp_path / "a.ome.zarr"))
    colours = np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nibabel.save(nibabel.Nifti1Image(colours, np.eye(4)), path)
    with pytest.raises(FormatError, match="expected one each"):
        convert(str(path), str(tmp_path / "a.ome.zarr"))
    assert not (tmp_path / "a.ome.zarr").exists()
