"""No table, name or number of a raw folder takes for ever, or ends in other words than our own."""

import contextlib
import os
import time

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mosaicflow.acquisition.discover import discover
from mosaicflow.acquisition.drafts import raw_file
from mosaicflow.acquisition.place.lattice import index_positions
from mosaicflow.acquisition.place.tile_configuration import parse_tile_configuration
from mosaicflow.acquisition.settings import InspectSettings, parse_slice_ranges
from mosaicflow.errors import FormatError, MosaicflowError, ParameterError

# CPU seconds. Ten are promised, on a machine of its own; beside other work the same takes longer.
LIMIT_S = 20


def found(root, **settings):
    return discover(root, InspectSettings(**settings))


@contextlib.contextmanager
def within(seconds):
    start = time.process_time()
    yield
    assert time.process_time() - start < seconds


def image(root, name):
    tifffile.imwrite(root / name, np.zeros((20, 30), np.uint16))


def test_a_lattice_of_a_hundred_thousand_positions_is_indexed():
    rng = np.random.default_rng(0)
    index = np.stack(np.indices((400, 250)), axis=-1).reshape(-1, 2)
    positions = index * (80.0, 90.0) + rng.normal(0, 2, index.shape)
    with within(LIMIT_S):
        assert index_positions([tuple(p) for p in positions], (100, 110)) == [
            tuple(one) for one in index.tolist()
        ]


def test_a_hundred_thousand_stray_positions_are_indexed():
    positions = np.random.default_rng(0).uniform(0, 1e7, (100_000, 2))
    with within(LIMIT_S):
        assert len(index_positions([tuple(p) for p in positions], (100, 110))) == 100_000


@pytest.mark.parametrize("there", [2, 40])
def test_a_tile_configuration_of_a_hundred_thousand_lines_is_read(tmp_path, there):
    lines = ["dim = 2"]
    lines += [f"t_{n:06d}.tif; ; ({n % 300 * 24}.0, {n // 300 * 16}.0)" for n in range(100_000)]
    (tmp_path / "TileConfiguration.txt").write_text("\n".join(lines))
    for n in range(there):
        image(tmp_path, f"t_{n:06d}.tif")
    with within(LIMIT_S), contextlib.suppress(MosaicflowError):
        found(tmp_path, pixel_size_um=10.0)


@pytest.mark.slow
@pytest.mark.parametrize("tiles_each", [100_000, 100, 1])
def test_a_table_of_a_hundred_thousand_tiles_that_are_not_there_is_read(tmp_path, tiles_each):
    places = ((n, *divmod(n % tiles_each, 320)) for n in range(100_000))
    rows = [f"t_{n:06d}.tif,{n // tiles_each},{iy},{ix}" for n, iy, ix in places]
    (tmp_path / "tile_table.csv").write_text("\n".join(["path,slice,iy,ix", *rows]))
    for n in range(2):
        image(tmp_path, f"t_{n:06d}.tif")
    with within(LIMIT_S), contextlib.suppress(MosaicflowError):
        found(tmp_path, pixel_size_um=10.0).raise_on_stop()


def test_a_stage_position_far_off_is_taken_back_to_the_lattice(raw):
    raw.lattice(2, 2)
    raw.tile(2, 1, 0, stage_x_pos_mm=2000.0)
    acquisition = found(raw.root)
    acquisition.raise_on_stop()
    assert [p.code for p in acquisition.problems if "x02" in p.path] == ["position_outlier"]


def test_positions_of_tiles_far_off_stop_the_run(tmp_path):
    for name in "abcd":
        image(tmp_path, f"{name}.tif")
    rows = ["a.tif,0,0,0,0,0", "b.tif,0,0,1,0,0.24", "c.tif,0,1,0,0.16,0", "d.tif,0,9,9,1e4,1e4"]
    text = "path,slice,iy,ix,y_mm,x_mm\n" + "\n".join(rows) + "\n"
    (tmp_path / "tile_table.csv").write_text(text)
    acquisition = found(tmp_path, pixel_size_um=10.0)
    stage = acquisition.slices[0].stage
    wide = max(b - a for a, b in zip(stage.min_mm, stage.max_mm, strict=True))
    stopped = [p for p in acquisition.problems if p.action == "stop"]
    assert stopped or wide < 100  # mm


def test_a_table_with_one_tile_far_off_stops_the_run(tmp_path):
    for name in "abcd":
        image(tmp_path, f"{name}.tif")
    rows = ["a.tif,0,0,0", "b.tif,0,0,1", "c.tif,0,1,0", "d.tif,0,1,10000"]
    (tmp_path / "tile_table.csv").write_text("path,slice,iy,ix\n" + "\n".join(rows) + "\n")
    acquisition = found(tmp_path, pixel_size_um=10.0)
    with pytest.raises(MosaicflowError, match=r"d.tif: the tile indices span 2 x 10001 places"):
        acquisition.raise_on_stop()


def test_a_sparse_mosaic_is_no_mistake(raw):
    for x, y in ((0, 0), (9, 0), (0, 9), (9, 9)):
        raw.tile(x, y, 0)
    found(raw.root).raise_on_stop()


def test_an_index_beyond_all_numbers_is_no_lattice_index(raw):
    raw.lattice(1, 2)
    raw.tile(10**29, 0, 0)
    (piece,) = found(raw.root).slices
    assert [t.problem for t in piece.tiles if t.index is None] == ["its number is no lattice index"]


def test_a_pitch_of_almost_nothing_is_named(raw):
    raw.but(info={"width": 1e-300}).lattice(1, 2)
    with pytest.raises(MosaicflowError, match=r"pitch along the .* axis would be"):
        found(raw.root).raise_on_stop()


@pytest.mark.parametrize("text", ["nan, 1", "1, inf", "1e308, 0", "0, -1e9"])
def test_a_position_that_is_no_place_is_named(text):
    with pytest.raises(FormatError, match=r"T, line 1: .*expected pixels below 1e\+09"):
        parse_tile_configuration(f"a.tif; ; ({text})", "T")


def test_a_folder_named_like_a_tile_is_left_out(tmp_path):
    image(tmp_path, "tile_001.tif")
    image(tmp_path, "tile_002.tif")
    (tmp_path / "tile_003.tif").mkdir()
    lines = [f"tile_00{n}.tif; ; ({24 * n}.0, 0.0)" for n in (1, 2, 3)]
    (tmp_path / "TileConfiguration.txt").write_text("\n".join(["dim = 2", *lines]))
    acquisition = found(tmp_path, pixel_size_um=10.0, max_missing_fraction=0.5)
    assert len(acquisition.slices[0].used) == 2
    assert any("is a folder without images" in p.message for p in acquisition.problems)


def test_a_pipe_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "image_00000.bin")
    with pytest.raises(OSError, match="not a file"):
        raw_file(tmp_path / "image_00000.bin")


@pytest.mark.parametrize("depth", [100_000, 1])
def test_a_hint_that_cannot_be_read_is_none(raw, depth):
    raw.lattice(1, 2)
    (raw.root / "state.json").write_text("[" * depth)
    found(raw.root).raise_on_stop()


@pytest.mark.parametrize("text", ["0-999999999999", "9" * 5000, "3," + "1" * 9])
def test_slice_ranges_are_bounded(text):
    with within(1), pytest.raises(ParameterError, match="expected ids up to 999999"):
        parse_slice_ranges(text)


@settings(suppress_health_check=list(HealthCheck), max_examples=60)
@given(data=st.data())
def test_any_bytes_of_a_scan_info_may_be_others(raw, data):
    if not raw.root.exists():
        raw.lattice(2, 2)
    file = raw.folder(1, 1, 0) / "info.txt"
    content = bytearray(raw.folder(0, 0, 0).joinpath("info.txt").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file.write_bytes(bytes(content))
    with within(5), contextlib.suppress(MosaicflowError):
        found(raw.root).raise_on_stop()


@settings(max_examples=200)
@given(data=st.data())
def test_any_characters_of_a_tile_configuration_may_be_others(data):
    text = list("dim = 2\na.tif; ; (1.5, 2)\nb.tif; ; (3, 4)\n")
    for _ in range(data.draw(st.integers(1, 6))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.characters())
    with contextlib.suppress(MosaicflowError):
        parse_tile_configuration("".join(text), "T")
