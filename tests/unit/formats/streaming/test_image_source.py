"""What VTK sees of a pyramid: values, order, spacing, origin, type, and what it costs."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

vtk = pytest.importorskip("vtk", reason="needs VTK: pip install 'mosaicflow[view]'")
from vtk.util.numpy_support import vtk_to_numpy  # noqa: E402

from mosaicflow.formats import ZarrImageSource, ZarrPyramid, open_omezarr  # noqa: E402
from mosaicflow.io.zarr import save_omezarr  # noqa: E402

VTK_TYPES = ["|i1", "|u1", "<i2", ">i2", "<u2", ">u2", "<i4", ">i4", "<u4", ">u4", "<i8", ">i8"]
VTK_TYPES += ["<u8", ">u8", "<f4", ">f4", "<f8", ">f8"]


def zyx(image):
    """The values of an image as an array, by VTK's own addressing."""
    nx, ny, nz = image.GetDimensions()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(nz, ny, nx)


def source_of(values, chunks=(3, 4, 5), spacing=(2.5, 0.5, 0.75), **more):
    array = zarr.create_array({}, data=values, chunks=chunks)
    level = {"array": array, "shape": values.shape, "spacing": spacing, **more}
    return ZarrImageSource(ZarrPyramid([level]))


def random_values(kind, shape=(7, 9, 11)):
    rng = np.random.default_rng(5)
    dtype = np.dtype(kind)
    if dtype.kind == "f":
        return rng.normal(size=shape).astype(dtype)
    info = np.iinfo(dtype)
    native = dtype.newbyteorder("=")
    return rng.integers(info.min, info.max, shape, native, endpoint=True).astype(dtype)


def test_it_is_an_algorithm_without_input_and_one_image():
    source = source_of(random_values("<u2"))
    assert isinstance(source, vtk.vtkAlgorithm)
    assert (source.GetNumberOfInputPorts(), source.GetNumberOfOutputPorts()) == (0, 1)
    source.Update()
    assert source.GetOutputDataObject(0).IsA("vtkImageData")


@pytest.mark.parametrize("kind", VTK_TYPES)
def test_every_integer_and_float_type_keeps_its_values_and_type(kind):
    values = random_values(kind)
    source = source_of(values)
    source.Update()
    image = source.GetOutputDataObject(0)
    found = zyx(image)
    assert found.dtype == values.dtype.newbyteorder("=")
    np.testing.assert_array_equal(found, values)
    assert image.GetNumberOfScalarComponents() == 1
    info = source.GetOutputInformation(0)
    assert vtk.vtkImageData.GetScalarType(info) == image.GetScalarType()


@pytest.mark.parametrize("kind", ["<f2", "?", "<c8"])
def test_types_that_vtk_has_not_become_float32(kind):
    values = (np.arange(24).reshape(2, 3, 4) % 5).astype(kind)
    source = source_of(values)
    source.Update()
    found = zyx(source.GetOutputDataObject(0))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.abs(values).astype(np.float32))


@pytest.fixture(scope="module", params=["0.4", "0.5"])
def stored(request, tmp_path_factory):
    """A store with odd chunks and anisotropic spacing, and its levels as zarr reads them."""
    path = tmp_path_factory.mktemp("stored") / "v.ome.zarr"
    values = np.random.default_rng(3).integers(0, 65535, (11, 45, 52)).astype(np.uint16)
    values[2:5, 10:30, 10:30] = 0
    save_omezarr(
        values, path, (0.0035, 0.010, 0.011), chunks=(5, 13, 17), n_levels=1,
        ngff_version=request.param,
    )  # fmt: skip
    group = zarr.open_group(path, mode="r")
    return path, [np.asarray(group["0"]), np.asarray(group["1"])]


@given(data=st.data())
def test_random_sub_extents_equal_the_array(stored, data):
    path, levels = stored
    number = data.draw(st.integers(0, 1))
    truth = levels[number]
    z, y, x = (sorted(data.draw(st.tuples(*[st.integers(0, n - 1)] * 2))) for n in truth.shape)
    source, info = open_omezarr(path)
    source.set_level(number)
    source.UpdateExtent((*x, *y, *z))
    image = source.GetOutputDataObject(0)
    assert image.GetExtent() == (*x, *y, *z)
    expected = truth[z[0] : z[1] + 1, y[0] : y[1] + 1, x[0] : x[1] + 1]
    np.testing.assert_array_equal(zyx(image), expected)
    spacing = info["levels"][number]["spacing"]
    assert image.GetSpacing() == spacing[::-1]
    # By VTK's own addressing, of a voxel and of its place.
    voxel = image.GetScalarComponentAsDouble(x[1], y[0], z[1], 0)
    assert voxel == truth[z[1], y[0], x[1]]
    corner = image.GetPoint(0)
    assert corner == pytest.approx((x[0] * spacing[2], y[0] * spacing[1], z[0] * spacing[0]))
    source.pyramid.close()


def test_information_precedes_data():
    source = source_of(random_values("<i4"), translation=(10.0, 20.0, 30.0))
    source.UpdateInformation()
    info = source.GetOutputInformation(0)
    pipeline = vtk.vtkStreamingDemandDrivenPipeline
    assert info.Get(pipeline.WHOLE_EXTENT()) == (0, 10, 0, 8, 0, 6)
    assert info.Get(vtk.vtkDataObject.SPACING()) == (0.75, 0.5, 2.5)
    assert info.Get(vtk.vtkDataObject.ORIGIN()) == (30, 20, 10)
    source.Update()
    image = source.GetOutputDataObject(0)
    assert image.GetOrigin() == (30, 20, 10)
    assert image.GetPoint(image.FindPoint((30.75, 20, 12.5))) == (30.75, 20, 12.5)
    without = source_of(random_values("<i4"))
    without.UpdateInformation()
    assert without.GetOutputInformation(0).Get(vtk.vtkDataObject.ORIGIN()) == (0, 0, 0)


def test_only_the_chunks_of_the_update_extent_are_read(counting_array):
    array = counting_array(np.zeros((20, 20, 20), np.uint8), (5, 5, 5))
    level = {"array": array, "shape": array.shape, "spacing": (1, 1, 1)}
    source = ZarrImageSource(ZarrPyramid([level]))
    source.UpdateInformation()
    assert array.reads == []
    source.UpdateExtent((7, 12, 0, 4, 19, 19))
    assert set(array.reads) == {((15, 20), (0, 5), (5, 10)), ((15, 20), (0, 5), (10, 15))}
    assert len(array.reads) == 2


def test_a_volume_with_true_zeros_shows_zeros(halves):
    levels = halves(np.zeros((8, 8, 8), np.uint8), (4, 4, 4))
    levels[1]["array"].values[:] = 200
    gate = levels[0]["array"].gate = threading.Event()
    source = ZarrImageSource(ZarrPyramid(levels))
    source.Update()  # the coarsest
    assert (zyx(source.GetOutputDataObject(0)) == 200).all()
    ready = threading.Semaphore(0)
    source.set_on_chunk_ready(ready.release)
    source.set_level(0)
    source.Update()
    assert (zyx(source.GetOutputDataObject(0)) == 200).all()
    gate.set()
    for _ in range(8):
        assert ready.acquire(timeout=20)
    source.Modified()
    source.Update()
    assert not zyx(source.GetOutputDataObject(0)).any()
    source.pyramid.close()


def test_levels_are_clamped_and_make_the_source_modified(halves):
    levels = halves(np.arange(512.0).reshape(8, 8, 8), (4, 4, 4), (3, 2, 1), n_levels=3)
    pyramid = ZarrPyramid(levels)
    source = ZarrImageSource(pyramid)
    assert source.pyramid is pyramid
    assert (source.level, source.num_levels) == (2, 3)
    assert (source.shape, source.spacing) == ((2, 2, 2), (12, 8, 4))
    assert source.level_spacings == pyramid.level_spacings()
    for asked, level in ((99, 2), (-7, 0), (1, 1)):
        before = source.GetMTime()
        source.set_level(asked)
        assert source.level == level
        assert source.GetMTime() > before
    source.Update()
    assert source.GetOutputDataObject(0).GetDimensions() == (4, 4, 4)
    assert ZarrImageSource(pyramid, initial_level=1).level == 1
    assert ZarrImageSource(pyramid, initial_level=9).level == 2


def test_the_image_outlives_its_source():
    values = random_values("<u2", (40, 41, 42))
    source = source_of(values)
    source.Update()
    image = vtk.vtkImageData()
    image.ShallowCopy(source.GetOutputDataObject(0))
    del source
    gc.collect()
    np.random.default_rng(0).random(1 << 20)  # what would have taken the place of freed memory
    np.testing.assert_array_equal(zyx(image), values)


def test_a_pipeline_downstream_gets_what_it_asks_for():
    values = random_values("<i2", (6, 8, 10))
    clip = vtk.vtkExtractVOI()
    source = source_of(values)
    clip.SetInputConnection(source.GetOutputPort())
    del source  # the pipeline keeps it
    gc.collect()
    clip.SetVOI(2, 5, 1, 6, 3, 3)
    clip.Update()
    np.testing.assert_array_equal(zyx(clip.GetOutput()), values[3:4, 1:7, 2:6])


def test_a_failed_read_is_kept_and_told(counting_array, caplog, capfd):
    array = counting_array(np.zeros((4, 4, 4)), (4, 4, 4), fail=OSError("gone"))
    source = ZarrImageSource(
        ZarrPyramid([{"array": array, "shape": array.shape, "spacing": (1, 1, 1)}])
    )
    source.Update()
    assert isinstance(source.error, OSError)
    assert "gone" in caplog.text
    assert "Traceback" not in capfd.readouterr().err
    array.fail = None
    source.Modified()
    source.Update()
    assert source.error is None


def test_without_vtk_the_error_names_the_extra(tmp_path):
    script = """
import sys
sys.modules["vtkmodules"] = None
import mosaicflow.formats as formats
formats.ZarrPyramid, formats.pick_level
for use in (lambda: formats.ZarrImageSource, lambda: formats.open_omezarr(sys.argv[1])):
    try:
        use()
    except ImportError as error:
        assert "[view]" in str(error), error
    else:
        raise SystemExit("no error")
"""
    save_omezarr(np.ones((2, 2, 2), np.uint8), tmp_path / "a.ome.zarr", 0.01)
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "a.ome.zarr")], check=True)


def test_names_are_there_without_vtk_or_zarr_being_imported():
    script = """
import sys
import mosaicflow.formats as formats
assert {"open_omezarr", "ZarrPyramid", "ZarrImageSource", "pick_level"} <= set(formats.__all__)
formats.ZarrPyramid, formats.pick_level, formats.open_omezarr
loaded = {"vtk", "vtkmodules", "zarr", "dask", "fsspec"} & set(sys.modules)
assert not loaded, loaded
"""
    subprocess.run([sys.executable, "-c", script], check=True)
