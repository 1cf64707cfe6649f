"""Pictures of volumes: what is in them, at which level, and what was read for them."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("vtk", reason="needs VTK: pip install 'mosaicflow[view]'")
from PIL import Image

from mosaicflow.cli.view3d import view3d
from mosaicflow.errors import MosaicflowError, ParameterError, StoreError
from mosaicflow.formats import ZarrPyramid
from mosaicflow.formats.streaming import viewer as viewer_module
from mosaicflow.formats.streaming.contrast import overview_of, robust_range
from mosaicflow.formats.streaming.scale_bar import bar_of, length_text
from mosaicflow.formats.streaming.scene import Bounds, Plane, bounds_of
from mosaicflow.formats.streaming.viewer import Viewer
from mosaicflow.io.zarr import save_omezarr

SIZE = (480, 400)


@pytest.fixture(autouse=True)
def _quiet():
    from vtkmodules.vtkCommonCore import vtkLogger

    vtkLogger.SetStderrVerbosity(vtkLogger.VERBOSITY_ERROR)


def volume():
    """A bright block off the centre of an empty volume; every octant of it differs."""
    values = np.zeros((32, 48, 64), np.uint16)
    values[8:24, 6:30, 30:60] = 1000
    values[8:16, 6:18, 30:45] = 2000
    return values


def pixels(viewer):
    from vtkmodules.util.numpy_support import vtk_to_numpy

    image = viewer.picture()
    columns, rows, _ = image.GetDimensions()
    flat = vtk_to_numpy(image.GetPointData().GetScalars())
    return flat.reshape(rows, columns, -1)[::-1, :, 0].astype(int)


def panel(image, name):
    rows, columns = image.shape[0] // 2, image.shape[1] // 2
    top, left = {"z": (0, 0), "y": (1, 0), "x": (0, 1), "body": (1, 1)}[name]
    # Without the words above and the scale bar below.
    return image[top * rows : (top + 1) * rows, left * columns : (left + 1) * columns][40:-40]


def test_the_planes_show_the_block_where_it_lies_and_the_body_shows_it(halves):
    pyramid = ZarrPyramid(halves(volume(), (16, 16, 16), (2.0, 1.0, 1.0)))
    viewer = Viewer(pyramid, "micrometer", size_px=SIZE, off_screen=True)
    image = pixels(viewer)
    z, y, x = (viewer.planes[axis].drawn_at for axis in range(3))
    assert 16 <= z <= 46
    assert 6 <= y <= 29
    assert 30 <= x <= 59
    # Across z: x to the right, y down; the block is right of the middle and its bright part left.
    lateral = panel(image, "z")
    columns = np.flatnonzero((lateral > 60).any(axis=0))
    assert columns.min() > 0.45 * lateral.shape[1]
    rows = np.flatnonzero((lateral > 60).sum(axis=1) > 5)
    assert rows.mean() < 0.55 * lateral.shape[0]
    # Across y: z down. Across x: z to the right, y down.
    assert (panel(image, "y") > 60).any()
    assert (panel(image, "x") > 60).any()
    body = panel(image, "body")
    assert (body > 40).sum() > 100
    pyramid.close()


def test_an_empty_volume_gives_an_empty_picture(halves):
    pyramid = ZarrPyramid(halves(np.zeros((16, 16, 16), np.uint8), (8, 8, 8)))
    viewer = Viewer(pyramid, None, size_px=SIZE, off_screen=True)
    image = pixels(viewer)
    for axis, name in enumerate("zyx"):
        inside = panel(image, name)
        assert np.percentile(inside, 90) == 0, axis
    pyramid.close()


def test_a_close_view_reads_the_finest_level_of_what_is_visible_only(halves):
    values = np.random.default_rng(0).integers(1, 255, (64, 256, 256)).astype(np.uint8)
    levels = halves(values, (16, 16, 16), n_levels=4)
    pyramid = ZarrPyramid(levels)
    viewer = Viewer(pyramid, None, size_px=SIZE, off_screen=True)
    for shown in (*viewer.panels, viewer.body):
        shown.renderer.GetActiveCamera().SetParallelScale(250)
    viewer.picture()
    coarse = viewer.planes[0].source.level
    assert coarse >= 1
    assert levels[0]["array"].reads == []
    camera = viewer.panels[0].renderer.GetActiveCamera()
    camera.SetParallelScale(20)
    viewer.picture()
    assert viewer.planes[0].source.level == 0
    assert viewer.planes[1].source.level == coarse
    z = int(viewer.planes[0].drawn_at)
    visible = viewer.panels[0].visible(0, viewer.whole)
    for (z0, z1), (y0, y1), (x0, x1) in levels[0]["array"].reads:
        assert z0 <= z < z1
        assert y0 <= visible.high[1]
        assert y1 >= visible.low[1]
        assert x0 <= visible.high[2]
        assert x1 >= visible.low[2]
    assert len(set(levels[0]["array"].reads)) == len(levels[0]["array"].reads)
    camera.SetParallelScale(2000)
    viewer.picture()
    assert viewer.planes[0].source.level == 3
    pyramid.close()


def test_the_view_is_refined_as_the_data_comes_in(halves):
    values = np.random.default_rng(0).integers(100, 255, (32, 32, 32)).astype(np.uint8)
    levels = halves(values, (16, 16, 16))
    levels[1]["array"].values[:] = 150  # not what the finer level says
    gate = levels[0]["array"].gate = threading.Event()
    pyramid = ZarrPyramid(levels)
    viewer = Viewer(pyramid, None, size_px=SIZE, off_screen=True)
    assert viewer.refresh()
    assert viewer.planes[0].source.level == 0
    assert (viewer.planes[0].values() == 150).all()
    assert "loading" in viewer.body._label.GetInput()
    assert not viewer.refresh()  # neither moved nor news
    gate.set()
    viewer.picture()
    z = int(viewer.planes[0].drawn_at)
    np.testing.assert_array_equal(viewer.planes[0].values()[0], values[z])
    assert "loading" not in viewer.body._label.GetInput()
    pyramid.close()


def test_a_picture_that_lacks_chunks_is_tried_again_without_a_move(halves, monkeypatch):
    monkeypatch.setattr("mosaicflow.formats.streaming.loading._FIRST_PAUSE_S", 0.01)
    levels = halves(np.full((8, 8, 8), 9, np.uint8), (8, 8, 8), n_levels=1)
    pyramid = ZarrPyramid(levels)
    viewer = Viewer(pyramid, None, size_px=SIZE, off_screen=True)
    viewer.window.Render = lambda: [part.values() for part in viewer._parts]
    pyramid._cache.__init__(pyramid.cache_bytes)  # what was read to begin with is forgotten
    levels[0]["array"].fail = OSError("gone")
    viewer.refresh()
    while pyramid.pending:
        pass
    viewer.refresh()
    assert pyramid.errors
    levels[0]["array"].fail = None
    assert not viewer.refresh()
    monkeypatch.setattr(viewer_module, "_RETRY_S", 0.02)
    end = time.monotonic() + 20
    while pyramid.errors and time.monotonic() < end:
        viewer.refresh()
    assert not pyramid.errors
    pyramid.close()


def test_level_memory_position_and_scale_are_written(halves):
    pyramid = ZarrPyramid(halves(volume(), (16, 16, 16), (20.0, 10.0, 10.0)))
    viewer = Viewer(pyramid, "micrometer", size_px=SIZE, off_screen=True)
    viewer.picture()
    words = viewer.panels[0]._label.GetInput()
    assert f"z = {length_text(viewer.planes[0].drawn_at, 'micrometer')}" in words
    assert f"level {viewer.planes[0].source.level}, pitch" in words
    assert "memory" in viewer.body._label.GetInput()
    assert "of 1024 MiB" in viewer.body._label.GetInput()
    shown = viewer.panels[0]
    width_px, text = bar_of(shown.world_per_pixel, shown.size_px[0], "micrometer")
    corners = shown._corners
    assert corners.GetPoint(1)[0] - corners.GetPoint(0)[0] == pytest.approx(width_px, abs=0.01)
    assert shown._bar_text.GetInput() == text
    pyramid.close()


def test_the_clipping_box_bounds_planes_and_body(halves):
    levels = halves(np.ones((32, 32, 32), np.uint8), (8, 8, 8), n_levels=1)
    pyramid = ZarrPyramid(levels)
    box = Bounds((0.0, 8.0, 16.0), (7.0, 15.0, 40.0))
    viewer = Viewer(pyramid, None, size_px=SIZE, box=box, off_screen=True)
    assert viewer.box.high == (7, 15, 31.5)
    levels[0]["array"].reads.clear()
    viewer.picture()
    assert viewer.volume.box == (slice(0, 8), slice(8, 16), slice(16, 32))
    for plane in viewer.planes:
        assert plane.shown
        inside = zip(plane.box, viewer.volume.box, strict=True)
        assert all(a.start >= b.start and a.stop <= b.stop for a, b in inside)
    viewer.set_box(Bounds((20.0, 20.0, 20.0), (30.0, 30.0, 30.0)))
    viewer.refresh()
    assert "out of view" in viewer.panels[2]._label.GetInput()
    viewer.reset_cameras()
    viewer.picture()
    assert viewer.volume.box == (slice(20, 31),) * 3
    assert all(20 <= plane.drawn_at <= 30 for plane in viewer.planes)
    pyramid.close()


def test_a_volume_without_a_pyramid_that_is_too_large_is_not_rendered(halves, monkeypatch):
    monkeypatch.setattr("mosaicflow.formats.streaming.scene._VOLUME_VOXELS", 1000)
    pyramid = ZarrPyramid(halves(np.ones((16, 16, 16), np.uint8), (8, 8, 8), n_levels=1))
    viewer = Viewer(pyramid, None, size_px=SIZE, off_screen=True)
    viewer.picture()
    assert not viewer.volume.shown
    assert "too large" in viewer.body._label.GetInput()
    assert viewer.planes[0].shown
    pyramid.close()


def test_a_volume_longer_than_a_texture_is_not_rendered(capfd):
    values = np.full((2, 2, 2049), 7, np.uint8)
    level = {"array": values, "shape": values.shape, "spacing": (1.0, 1.0, 1.0)}
    with ZarrPyramid([level]) as pyramid:
        viewer = Viewer(pyramid, "micrometer", size_px=(120, 90), off_screen=True)
        viewer.picture()
        assert not viewer.volume.shown
        assert "too large" in viewer.body._label.GetInput()
        assert viewer.planes[0].shown
    assert "ERR" not in capfd.readouterr().err


def test_what_is_shown_fits_the_cache(halves):
    values = np.random.default_rng(0).integers(1, 255, (64, 64, 64)).astype(np.uint8)
    levels = halves(values, (16, 16, 16), n_levels=3)
    pyramid = ZarrPyramid(levels, cache_bytes=100_000)
    viewer = Viewer(pyramid, None, size_px=(1200, 900), off_screen=True)
    viewer.window.Render = lambda: None  # nothing is drawn here, only chosen
    viewer.refresh()
    shown = {(p.source.level, i) for p in viewer._parts if p.shown for i in _chunks(pyramid, p)}
    assert sum(pyramid._levels[n].bytes_of(i) for n, i in shown) <= 100_000
    assert viewer.planes[0].source.level == 1
    pyramid.close()


def _chunks(pyramid, part):
    return pyramid._levels[part.source.level].chunks_of(part.box)


@given(
    position=st.floats(-50, 150),
    spacing=st.floats(0.3, 4),
    translation=st.floats(-20, 20),
)
def test_a_plane_shows_the_voxels_nearest_to_its_position(position, spacing, translation):
    values = np.zeros((20, 4, 4), np.uint8)
    pyramid = ZarrPyramid(
        [
            {
                "array": values,
                "shape": values.shape,
                "spacing": (spacing, 1, 1),
                "translation": (translation, 0, 0),
            }
        ]
    )
    plane = Plane(pyramid, 0)
    plane.position = position
    box = plane.box_at(0, bounds_of(pyramid))
    places = translation + spacing * np.arange(20)
    gaps = np.abs(places - position)
    assert gaps[box[0].start] == pytest.approx(gaps.min(), abs=1e-9)
    plane.show(0, box)
    assert plane.drawn_at == pytest.approx(places[box[0].start])


@pytest.mark.parametrize("kind", ["<f4", "<u2", "<i8"])
def test_contrast_is_that_of_real_data(kind):
    data = np.random.default_rng(0).normal(1000, 50, 20000)
    values = np.zeros(60000, kind)
    values[:20000] = data
    values[0] = 30000  # a speck of dust
    if kind == "<f4":
        values[30000:40000] = np.nan
        values[1] = np.inf
    low, high = robust_range(values)
    assert low == pytest.approx(1000 - 2.33 * 50, abs=5)
    assert high == pytest.approx(1000 + 2.75 * 50, abs=10)


def test_labels_differ_from_no_data():
    assert robust_range(np.array([0, 0, 1, 1])) == (0, 1)
    assert robust_range(np.array([0, 1000, 1000, 2000, 2000])) == (0, 2000)
    assert robust_range(np.zeros(5)) == (0, 1)
    assert robust_range(np.array([-3.0, -3.0])) == (-3, 0)


def test_a_large_coarsest_level_is_sampled(monkeypatch, counting_array):
    monkeypatch.setattr("mosaicflow.formats.streaming.contrast._MAX_VOXELS", 2000)
    values = np.full((40, 100, 100), 7, np.uint8)
    array = counting_array(values, (1, 100, 100))
    pyramid = ZarrPyramid([{"array": array, "shape": values.shape, "spacing": (1, 1, 1)}])
    overview = overview_of(pyramid)
    assert len(array.reads) == 1
    assert overview.limits == (0, 7)
    assert overview.centre_zyx == pytest.approx((20, 49.5, 49.5), abs=2)


@given(
    world_per_pixel=st.floats(1e-7, 1e7),
    width=st.integers(200, 4000),
)
def test_a_scale_bar_is_a_round_length_that_fits(world_per_pixel, width):
    width_px, text = bar_of(world_per_pixel, width, "micrometer")
    assert 0.11 * width <= width_px <= 0.3 * width + 1e-6
    number, unit = text.split(" ")
    micrometres = float(number) * {"pm": 1e-6, "nm": 1e-3, "\u00b5m": 1, "mm": 1e3, "m": 1e6}[unit]
    assert micrometres == pytest.approx(width_px * world_per_pixel, rel=1e-3)
    assert number.lstrip("0.").rstrip("0.")[:1] in "125"


def test_lengths_are_written_with_a_unit_that_suits_them():
    assert length_text(1500, "micrometer") == "1.5 mm"
    assert length_text(0.25, "um") == "250 nm"
    assert length_text(0, "micrometer") == "0 \u00b5m"
    assert length_text(12, None) == "12 (no unit)"
    assert length_text(12, "parsec") == "12 parsec"


def test_the_command_writes_a_picture_of_a_store(tmp_path, monkeypatch):
    save_omezarr(volume(), tmp_path / "v.ome.zarr", (0.002, 0.001, 0.001), n_levels=1)
    small = viewer_module.Viewer.__init__.__kwdefaults__
    monkeypatch.setitem(small, "size_px", SIZE)
    output = tmp_path / "new" / "picture.png"
    view3d(str(tmp_path / "v.ome.zarr"), screenshot=output, box=(0, 60, 0, 40, 20, 60))
    image = np.asarray(Image.open(output))
    assert image.shape[:2] == SIZE[::-1]
    assert (panel(image[..., 0].astype(int), "z") > 60).sum() > 100
    assert [path.name for path in output.parent.iterdir()] == ["picture.png"]


def test_a_picture_that_lacks_chunks_says_so(tmp_path, monkeypatch):
    store = tmp_path / "v.ome.zarr"
    save_omezarr(volume(), store, 0.001, n_levels=1, chunks=(32, 24, 32))
    monkeypatch.setitem(viewer_module.Viewer.__init__.__kwdefaults__, "size_px", SIZE)
    for file in (store / "0" / "0").rglob("*"):
        if file.is_file():
            file.write_bytes(b"damaged")
    monkeypatch.setattr(
        "mosaicflow.formats.streaming.scene.pick_level", lambda spacings, world_per_pixel: 0
    )
    with pytest.raises(StoreError, match=r"picture\.png: written, but .* chunks are missing"):
        view3d(str(store), screenshot=tmp_path / "picture.png")
    assert (tmp_path / "picture.png").is_file()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"screenshot": "a.jpg"}, "ends in .png"),
        ({}, "no display here"),
        ({"screenshot": "a.png", "box": (5, 1, 0, 1, 0, 1)}, "first position below"),
    ],
)
def test_wrong_usage_is_named(tmp_path, monkeypatch, options, words):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    save_omezarr(volume(), tmp_path / "v.ome.zarr", 0.001)
    with pytest.raises(ParameterError, match=words):
        view3d("v.ome.zarr", **options)
    with pytest.raises(MosaicflowError, match="no such store"):
        view3d("absent.ome.zarr", screenshot="a.png")
