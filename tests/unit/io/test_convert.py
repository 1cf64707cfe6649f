"""A volume that goes to another format and back is the same volume."""

from __future__ import annotations

import json
import zipfile

import nibabel
import numpy as np
import pytest
import tifffile

from mosaicflow.cli.convert import convert
from mosaicflow.errors import InputError, MosaicflowError, ParameterError
from mosaicflow.io.zarr import open_level, read_omezarr, read_omezarr_info, save_omezarr
from mosaicflow.io.zarr.errors import OmeZarrWarning

from .conftest import RESOLUTION_MM, noise

DATA = noise((6, 40, 50))


@pytest.mark.parametrize("target", ["0.4", "0.5"])
def test_flavours_keep_levels_scales_and_attributes(tmp_path, flavour, target):
    source, output = tmp_path / "a.ome.zarr", tmp_path / "b.ome.zarr"
    save_omezarr(
        DATA,
        source,
        RESOLUTION_MM,
        n_levels=2,
        ngff_version=flavour,
        attrs={"kind": "slice", "something": {"unknown": [1, 2]}},
    )
    convert(str(source), str(output), ngff_version=target, chunks=(3, 16, 20), compressor="zstd")
    old, new = read_omezarr_info(source), read_omezarr_info(output)
    assert new.ngff_version == target
    assert (new.shapes, new.scales_um) == (old.shapes, old.scales_um)
    assert new.mosaicflow == old.mosaicflow
    assert new.levels[0].chunks == (3, 16, 20)
    assert new.levels[0].codec == "zstd"
    assert new.pyramid["method"] == "block mean"
    for level in range(3):
        np.testing.assert_array_equal(
            open_level(output, level)[...], open_level(source, level)[...]
        )


def test_translations_are_kept(tmp_path):
    from mosaicflow.io.zarr import AnalysisOmeZarrWriter

    writer = AnalysisOmeZarrWriter(tmp_path / "a.ome.zarr", DATA.shape)
    writer[:] = DATA
    writer.finalize(0.01)
    convert(str(tmp_path / "a.ome.zarr"), str(tmp_path / "b.ome.zarr"), ngff_version="0.5")
    infos = [read_omezarr_info(tmp_path / name) for name in ("a.ome.zarr", "b.ome.zarr")]
    assert infos[0].translations_um == infos[1].translations_um
    assert infos[0].pyramid["resolutions_um"] == infos[1].pyramid["resolutions_um"]


def test_the_lateral_order_of_older_software_is_put_right(tmp_path):
    source, output = tmp_path / "a.ome.zarr", tmp_path / "b.ome.zarr"
    save_omezarr(DATA, source, (0.01, 0.02, 0.03))
    convert(str(source), str(output), legacy_lateral_order=True)
    np.testing.assert_array_equal(open_level(output)[...], DATA.transpose(0, 2, 1))
    assert read_omezarr(output)[1] == (0.01, 0.03, 0.02)


@pytest.fixture
def grid(tmp_path) -> str:
    """A mosaic grid of 2 x 2 tiles with a coarser level."""
    block = {"kind": "mosaic_grid", "slice_id": 3, "tile_shape": [6, 20, 25], "grid_shape": [2, 2]}
    path = tmp_path / "mosaic_grid_3d_z03.ome.zarr"
    save_omezarr(DATA, path, RESOLUTION_MM, (6, 20, 25), n_levels=1, attrs=block)
    return str(path)


def test_axes_that_a_stage_wrote_are_not_swapped(tmp_path, grid):
    with pytest.raises(ParameterError, match="its lateral axes are right"):
        convert(grid, str(tmp_path / "b.ome.zarr"), legacy_lateral_order=True)
    assert not (tmp_path / "b.ome.zarr").exists()


def test_a_coarser_level_of_a_grid_is_no_grid(tmp_path, grid):
    """A tile of odd size straddles the pixels of a coarser level."""
    convert(grid, str(tmp_path / "b.ome.zarr"), level=1)
    block = open_level(tmp_path / "b.ome.zarr").attrs
    assert block["slice_id"] == 3
    assert not {"kind", "tile_shape", "grid_shape"} & set(block)
    convert(grid, str(tmp_path / "c.ome.zarr"), n_levels=0)
    assert open_level(tmp_path / "c.ome.zarr").attrs["tile_shape"] == [6, 20, 25]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64", "complex64"])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_nifti_there_and_back(tmp_path, dtype, suffix):
    data = noise((6, 20, 30), dtype)
    source, middle, back = (tmp_path / n for n in ("a.ome.zarr", f"a{suffix}", "b.ome.zarr"))
    save_omezarr(data, source, RESOLUTION_MM)
    convert(str(source), str(middle))
    image = nibabel.load(middle)
    assert image.shape == (30, 20, 6)
    np.testing.assert_array_equal(np.asarray(image.dataobj).transpose(2, 1, 0), data)
    assert image.header.get_zooms() == pytest.approx(RESOLUTION_MM[::-1])
    assert image.header.get_xyzt_units()[0] == "mm"
    np.testing.assert_allclose(image.affine, np.diag([*RESOLUTION_MM[::-1], 1]), rtol=1e-6)
    convert(str(middle), str(back))
    np.testing.assert_array_equal(open_level(back)[...], data)
    assert read_omezarr(back)[1] == RESOLUTION_MM


def test_nifti_by_others_with_scaling_and_other_types(tmp_path):
    data = np.arange(-60, 60, dtype=np.int16).reshape(4, 5, 6)
    image = nibabel.Nifti1Image(data, np.diag([10, 10, 5, 1]))
    image.header.set_xyzt_units("micron")
    nibabel.save(image, tmp_path / "a.nii.gz")
    with pytest.warns(OmeZarrWarning, match="int16 are written as float32"):
        convert(str(tmp_path / "a.nii.gz"), str(tmp_path / "a.ome.zarr"), n_levels=1)
    found, resolution = read_omezarr(tmp_path / "a.ome.zarr")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found.compute(), data.transpose(2, 1, 0))
    assert resolution == (0.005, 0.01, 0.01)
    assert len(read_omezarr_info(tmp_path / "a.ome.zarr").levels) == 2


@pytest.mark.parametrize("kind", ["tif", "nii"])
@pytest.mark.parametrize("dtype", ["int64", "uint64"])
def test_whole_numbers_of_eight_bytes_are_never_rounded(tmp_path, kind, dtype):
    """2**53 + 1 is the first that has no float64 of its own."""
    data = (np.arange(210).reshape(5, 6, 7) + 2**53).astype(dtype)
    source, output = tmp_path / f"a.{kind}", tmp_path / "b.nii"
    _write(source, data)
    for refused in ("b.ome.zarr", "b.ome.zarr.zip", "b.ome.tif"):
        with pytest.raises(MosaicflowError, match=f"{dtype}.*(32 bits|fewer bytes)"):
            convert(str(source), str(tmp_path / refused), resolution=(1.0,))
        assert not (tmp_path / refused).exists()
    convert(str(source), str(output), resolution=(1.0,))
    found = np.asarray(nibabel.load(output).dataobj).T
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, data)


@pytest.mark.parametrize("kind", ["tif", "nii"])
@pytest.mark.parametrize(
    ("dtype", "kept"),
    [("int8", "float32"), (">i2", "float32"), ("int32", "float64"), (">u4", "float64")],
)
def test_a_store_says_that_it_keeps_values_in_another_type(tmp_path, kind, dtype, kept):
    data = np.arange(-100, 110).reshape(5, 6, 7).astype(dtype)
    source = tmp_path / f"a.{kind}"
    _write(source, data)
    with pytest.warns(OmeZarrWarning, match=f"are written as {kept}"):
        convert(str(source), str(tmp_path / "b.ome.zarr"), resolution=(1.0,))
    found = open_level(tmp_path / "b.ome.zarr")
    assert found.dtype == kept
    np.testing.assert_array_equal(found[...], data)
    convert(str(source), str(tmp_path / "b.ome.tif"), resolution=(1.0,))
    back = tifffile.imread(tmp_path / "b.ome.tif")
    assert back.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(back, data)


def _write(path, data):
    if path.suffix == ".tif":
        order = ">" if data.dtype.byteorder == ">" else "<"
        tifffile.imwrite(path, data, photometric="minisblack", metadata=None, byteorder=order)
    else:
        image = nibabel.Nifti1Image(data.T, np.eye(4), dtype=data.dtype.newbyteorder("="))
        image.header.set_xyzt_units("mm")
        nibabel.save(image, path)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_ome_tiff_there_and_back(tmp_path, dtype):
    data = noise((6, 20, 30), dtype)
    source, middle, back = (tmp_path / n for n in ("a.ome.zarr", "a.ome.tif", "b.ome.zarr"))
    save_omezarr(data, source, RESOLUTION_MM)
    convert(str(source), str(middle))
    with tifffile.TiffFile(middle) as file:
        assert file.is_ome
        assert file.series[0].axes == "ZYX"
        assert 'PhysicalSizeZ="1.5"' in file.ome_metadata
        np.testing.assert_array_equal(file.asarray(), data)
    convert(str(middle), str(back))
    np.testing.assert_array_equal(open_level(back)[...], data)
    assert read_omezarr(back)[1] == RESOLUTION_MM


def test_a_series_of_planes_there_and_back(tmp_path):
    source, folder, back = (tmp_path / n for n in ("a.ome.zarr", "planes", "b.ome.zarr"))
    save_omezarr(noise((12, 20, 30), "uint16"), source, RESOLUTION_MM)
    convert(str(source), str(folder))
    names = sorted(p.name for p in folder.iterdir())
    assert names[0] == "plane_0000.tif"
    assert len(names) == 12
    for number in range(12):  # numbers without padding are put in order, too
        (folder / f"plane_{number:04d}.tif").rename(folder / f"p{number}.tif")
    convert(str(folder), str(back), resolution=(1.5, 10, 10))
    np.testing.assert_array_equal(open_level(back)[...], noise((12, 20, 30), "uint16"))
    assert read_omezarr(back)[1] == RESOLUTION_MM
    with pytest.warns(UserWarning, match="no pixel size"):
        convert(str(folder), str(back), overwrite=True)
    tifffile.imwrite(folder / "p5.tif", np.zeros((3, 3), np.uint16))
    with pytest.raises(InputError, match=r"p5\.tif: found \(3, 3\)"):
        convert(str(folder), str(tmp_path / "c.ome.zarr"), resolution=(10,))


def test_a_coarser_level_can_be_exported(tmp_path):
    save_omezarr(DATA, tmp_path / "a.ome.zarr", RESOLUTION_MM, n_levels=1)
    convert(str(tmp_path / "a.ome.zarr"), str(tmp_path / "a.ome.tif"), level=1)
    assert tifffile.imread(tmp_path / "a.ome.tif").shape == (6, 20, 25)


def test_an_archive_has_root_content_and_no_second_compression(tmp_path, flavour):
    save_omezarr(DATA, tmp_path / "a.ome.zarr", RESOLUTION_MM)
    output = tmp_path / "a.ome.zarr.zip"
    convert(str(tmp_path / "a.ome.zarr"), str(output), ngff_version=flavour)
    with zipfile.ZipFile(output) as archive:
        assert (".zattrs" if flavour == "0.4" else "zarr.json") in archive.namelist()
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
    np.testing.assert_array_equal(open_level(output)[...], DATA)
    convert(str(output), str(tmp_path / "b.ome.zarr"))
    np.testing.assert_array_equal(open_level(tmp_path / "b.ome.zarr")[...], DATA)
    assert {p.name for p in tmp_path.iterdir()} == {"a.ome.zarr", "a.ome.zarr.zip", "b.ome.zarr"}


def test_wrong_use_is_explained(tmp_path):
    source = tmp_path / "a.ome.zarr"
    save_omezarr(DATA, source, RESOLUTION_MM)
    with pytest.raises(ParameterError, match="no format has this suffix"):
        convert(str(source), str(tmp_path / "a.jpg"))
    with pytest.raises(InputError, match="is also the input"):
        convert(str(source), str(source))
    with pytest.raises(InputError, match="does not exist"):
        convert(str(tmp_path / "x.nii"), str(tmp_path / "b.ome.zarr"))
    (tmp_path / "b.nii").write_text("")
    with pytest.raises(FileExistsError, match="--overwrite"):
        convert(str(source), str(tmp_path / "b.nii"))
    with pytest.raises(MosaicflowError, match="is not a NIfTI file"):
        convert(str(tmp_path / "b.nii"), str(tmp_path / "c.ome.zarr"))
    (tmp_path / "b.tif").write_text("no")
    with pytest.raises(MosaicflowError, match="not a readable TIFF"):
        convert(str(tmp_path / "b.tif"), str(tmp_path / "c.ome.zarr"))
    (tmp_path / "folder").mkdir()
    with pytest.raises(MosaicflowError, match="holds no TIFF files"):
        convert(str(tmp_path / "folder"), str(tmp_path / "c.ome.zarr"))
    assert not (tmp_path / "c.ome.zarr").exists()


def test_units_of_a_source_can_be_corrected(tmp_path):
    """A store whose numbers were meant in millimetres."""
    source = tmp_path / "a.ome.zarr"
    save_omezarr(DATA, source, RESOLUTION_MM)
    document = json.loads((source / ".zattrs").read_text())
    transform = document["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]
    transform["scale"] = [0.0015, 0.01, 0.01]
    (source / ".zattrs").write_text(json.dumps(document))
    with pytest.warns(UserWarning, match="units look wrong"):
        convert(str(source), str(tmp_path / "b.ome.zarr"), resolution=(1.5, 10, 10))
    assert read_omezarr(tmp_path / "b.ome.zarr")[1] == RESOLUTION_MM
