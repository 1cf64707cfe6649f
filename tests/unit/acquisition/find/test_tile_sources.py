"""A package can add a reader of tiles in one file, as docs/input.md shows it."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from mosaicflow.acquisition import image_sources
from mosaicflow.acquisition.discover import discover
from mosaicflow.acquisition.read.reading import read_tile
from mosaicflow.acquisition.settings import InspectSettings

DOCS = Path(__file__).parents[4] / "docs" / "input.md"


@pytest.fixture
def lab_package(tmp_path, monkeypatch):
    """The example of the documentation, installed."""
    text = DOCS.read_text(encoding="utf-8").split("## Readers of your own")[1]
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    point = re.search(r"\n(\w+) = \"(\w+)\"\n```", text)
    site = tmp_path / "site"
    info = site / "lab_grid-1.0.dist-info"
    info.mkdir(parents=True)
    (site / f"{point[2]}.py").write_text(code)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-grid\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[mosaicflow.tile_sources]\n{point[1]} = {point[2]}\n")
    monkeypatch.syspath_prepend(str(site))
    image_sources._added.cache_clear()
    yield point[1]
    image_sources._added.cache_clear()
    sys.modules.pop(point[2], None)


def test_the_documented_reader_gives_tiles_with_their_places(tmp_path, lab_package):
    images = np.random.default_rng(0).integers(0, 900, (2, 2, 20, 30), dtype=np.uint16)
    raw = tmp_path / "raw"
    raw.mkdir()
    for (iy, ix), _ in np.ndenumerate(images[..., 0, 0]):
        head = np.array([20, 30, 100 + 8 * iy, 50 + 12 * ix], "<i4")
        content = head.tobytes() + images[iy, ix].tobytes()
        (raw / f"scan{iy}{ix}.{lab_package}").write_bytes(content)

    acquisition = discover(raw, InspectSettings())
    acquisition.raise_on_stop()
    (tiles,) = acquisition.slices

    assert tiles.positions == "stage"
    assert tiles.pitch_um[1:] == (0.5, 0.5)
    assert tiles.used[1, 1].centre_mm == (0.108, 0.062)
    for index, tile in tiles.used.items():
        out = np.empty(tiles.tile_shape, np.float32)
        read_tile(raw, tiles, tile, out)
        np.testing.assert_array_equal(out[0], images[index])


def test_a_reader_whose_library_is_absent_is_named(tmp_path, lab_package):
    (tmp_path / "site" / "lab_grid_reader.py").write_text("import a_library_nobody_has\n")
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / f"a.{lab_package}").write_bytes(b"0000")

    (tiles,) = discover(raw, InspectSettings()).slices

    assert "the reader lab_grid_reader cannot be loaded" in tiles.tiles[0].problem
