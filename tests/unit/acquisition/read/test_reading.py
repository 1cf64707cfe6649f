import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mosaicflow.acquisition.orientation import Orientation
from mosaicflow.acquisition.read.camera import Marker
from mosaicflow.acquisition.read.reading import read_tile, sample_bscans
from mosaicflow.acquisition.stage import StageAxis, StageModel
from mosaicflow.acquisition.tiles import (
    Geometry,
    RawFile,
    Reader,
    SliceTiles,
    Tile,
)

AXIS = StageAxis(1, 1.0, 0.2)
NOWHERE = StageModel(AXIS, AXIS, (0, 0), (0, 0), (0, 0))
TURNED = Orientation.parse("-fast,-slow")


def written(root, stored, *, n_kept, n_bscans, n_files=1, n_repeat=1, z_offset=0):
    """Write a stream [B-scan, A-line, depth] and describe it as one tile."""
    pieces = np.array_split(stored, n_files)
    files = []
    for number, piece in enumerate(pieces):
        path = root / f"image_{number}.bin"
        piece.tofile(path)
        files.append(RawFile(path.name, path.stat().st_size, 0))
    n_extra = stored.shape[1] - n_kept
    geometry = Geometry(stored.shape[2], n_kept, n_bscans, n_extra, n_repeat, 1.0, 1.0)
    return Tile(".", tuple(files), geometry, (0, 0), None, z_offset=z_offset)


def in_slice(tile, orientation, dtype="<f4", shape=None):
    g = tile.geometry
    shape = shape or (g.n_z, *orientation.yx(g.n_alines, g.n_bscans))
    return SliceTiles(
        0, "flat", "raw", Reader("oct", dtype, orientation), (1, 1), (0, 0), shape, (1, 1, 1),
        "nominal", 0.2, NOWHERE, (tile,),
    )  # fmt: skip


def read(root, tile, orientation=TURNED, dtype="<f4", shape=None, **options):
    tiles = in_slice(tile, orientation, dtype, shape)
    out = np.full(tiles.tile_shape, np.nan, np.float32)
    read_tile(root, tiles, tile, out, **options)
    return out


def expected(stored, orientation, n_kept, n_bscans, shift=0):
    """Follow the definition sample by sample."""
    rolled = np.roll(stored, shift, axis=1)[:n_bscans, :n_kept]
    n_y, n_x = orientation.yx(n_kept, n_bscans)
    tile = np.zeros((stored.shape[2], n_y, n_x), np.float32)
    for b in range(n_bscans):
        for a in range(n_kept):
            i, j = orientation.yx(a, b)
            i = n_y - 1 - i if orientation.reverse_y else i
            j = n_x - 1 - j if orientation.reverse_x else j
            tile[:, i, j] = rolled[b, a]
    return tile


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_stream_is_read_as_defined(tmp_path_factory, data):
    draw = data.draw
    n_z, n_kept, n_bscans = (draw(st.integers(1, 9)) for _ in range(3))
    n_extra, spare = draw(st.integers(0, 5)), draw(st.integers(0, 2))
    shift = draw(st.integers(-(n_kept + n_extra), n_kept + n_extra))
    orientation = Orientation(*(draw(st.booleans()) for _ in range(3)))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    stored = rng.random((n_bscans + spare, n_kept + n_extra, n_z)).astype("<f4")
    root = tmp_path_factory.mktemp("raw")
    tile = written(root, stored, n_kept=n_kept, n_bscans=n_bscans, n_files=draw(st.integers(1, 4)))

    found = read(root, tile, orientation, aline_shift=shift)

    np.testing.assert_array_equal(found, expected(stored, orientation, n_kept, n_bscans, shift))


def test_repeats_are_averaged_even_across_files(tmp_path):
    stored = np.arange(6 * 4 * 2, dtype="<f4").reshape(6, 4, 2)
    tile = written(tmp_path, stored, n_kept=4, n_bscans=3, n_repeat=2, n_files=5)

    mean = stored.reshape(3, 2, 4, 2).mean(axis=1)

    np.testing.assert_array_equal(read(tmp_path, tile), expected(mean, TURNED, 4, 3))


def test_missing_bscans_are_zero(tmp_path):
    stored = np.ones((9, 4, 2), "<f4")
    tile = written(tmp_path, stored, n_kept=4, n_bscans=10)

    found = read(tmp_path, tile, shape=(2, 4, 10))

    assert found[:, :, 0].max() == 0  # the last B-scan, as X runs against the slow axis
    assert found[:, :, 1:].min() == 1


@pytest.mark.parametrize("z_offset", [2, -2])
def test_another_depth_moves_the_planes(tmp_path, z_offset):
    stored = np.random.default_rng(0).random((3, 4, 6)).astype("<f4")
    still = read(tmp_path, written(tmp_path, stored, n_kept=4, n_bscans=3))

    moved = read(tmp_path, written(tmp_path, stored, n_kept=4, n_bscans=3, z_offset=z_offset))

    kept = slice(2, None) if z_offset > 0 else slice(None, -2)
    source = slice(None, -2) if z_offset > 0 else slice(2, None)
    np.testing.assert_array_equal(moved[kept], still[source])
    assert np.count_nonzero(moved) == moved[kept].size


@pytest.mark.parametrize("shape", [(5, 3, 2), (7, 6, 4)])
def test_an_odd_tile_is_cropped_or_padded(tmp_path, shape):
    stored = np.random.default_rng(0).random((3, 4, 6)).astype("<f4") + 1
    tile = written(tmp_path, stored, n_kept=4, n_bscans=3)

    found = read(tmp_path, tile, Orientation.parse("+fast,+slow"), shape=shape)

    full = expected(stored, Orientation.parse("+fast,+slow"), 4, 3)
    n_z, n_y, n_x = (min(a, b) for a, b in zip(shape, full.shape, strict=True))
    np.testing.assert_array_equal(found[:n_z, :n_y, :n_x], full[:n_z, :n_y, :n_x])
    assert np.count_nonzero(found) == n_z * n_y * n_x


@pytest.mark.parametrize("dtype", [">f4", "<u2", "|u1"])
def test_other_sample_types_become_float32(tmp_path, dtype):
    stored = np.arange(24).reshape(3, 4, 2).astype(dtype)
    tile = written(tmp_path, stored, n_kept=4, n_bscans=3)

    found = read(tmp_path, tile, dtype=dtype)

    np.testing.assert_array_equal(found, expected(stored, TURNED, 4, 3))


def test_a_camera_marker_comes_first_and_is_hidden(tmp_path):
    stored = np.random.default_rng(0).random((3, 5, 2)).astype("<f4") + 1
    truth = expected(stored, TURNED, 5, 3)
    shifted = np.roll(stored, 2, axis=1)
    shifted[0, 2] = 1000
    tile = written(tmp_path, shifted, n_kept=5, n_bscans=3)

    found = read(tmp_path, tile, marker=Marker(2, 100.0))

    truth[:, -1, -1] = truth[:, -2, -1]
    np.testing.assert_array_equal(found, truth)


def test_a_file_that_shrank_is_an_error(tmp_path):
    tile = written(tmp_path, np.ones((3, 4, 2), "<f4"), n_kept=4, n_bscans=3)
    (tmp_path / "image_0.bin").write_bytes(b"\0" * 32)

    with pytest.raises(OSError, match="run inspect_acquisition again"):
        read(tmp_path, tile)


def test_sampled_bscans_span_the_tile(tmp_path):
    stored = np.arange(10 * 3 * 2, dtype="<f4").reshape(10, 3, 2)
    tile = written(tmp_path, stored, n_kept=2, n_bscans=10, n_files=3)

    scans = sample_bscans(tmp_path, in_slice(tile, TURNED), tile, 4)

    np.testing.assert_array_equal(scans, stored[[0, 3, 6, 9]])
