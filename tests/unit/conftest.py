"""Mosaics and slices with known content, shared by all unit tests."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from scipy.ndimage import gaussian_filter, map_coordinates

from mosaicflow.io.zarr import OmeZarrWriter, save_omezarr

# A loaded machine is slow, not wrong.
settings.register_profile("mosaicflow", deadline=None)
settings.load_profile("mosaicflow")

PITCH_MM = (0.010, 0.010, 0.010)


def texture(shape_zyx, seed=0, sigma_px=2.0, contrast=0.35):
    """Tissue-like positive texture of mean 1 that is the same in all planes, plus fine grain."""
    rng = np.random.default_rng(seed)
    flat = gaussian_filter(rng.standard_normal(shape_zyx[1:]), sigma_px)
    flat *= contrast / flat.std()
    grain = 0.02 * rng.standard_normal(shape_zyx)
    return np.exp(flat[None] + grain).astype(np.float32)


def lattice(n_iy, n_ix, step_px):
    """Tile -> (y, x) on an even lattice."""
    return {
        (iy, ix): (iy * step_px[0], ix * step_px[1]) for iy in range(n_iy) for ix in range(n_ix)
    }


def cut(scene, corner_px, tile_yx):
    """A tile of the scene, by cubic interpolation where the corner is not a whole pixel."""
    y, x = corner_px
    if y == int(y) and x == int(x):
        return scene[:, int(y) : int(y) + tile_yx[0], int(x) : int(x) + tile_yx[1]]
    rows, columns = np.meshgrid(y + np.arange(tile_yx[0]), x + np.arange(tile_yx[1]), indexing="ij")
    planes = [map_coordinates(plane, (rows, columns), order=3, mode="nearest") for plane in scene]
    return np.stack(planes).astype(np.float32)


@dataclass(frozen=True)
class GridWriter:
    """Writes mosaic grids below `root`."""

    root: Path
    made: list = field(default_factory=list)

    def __call__(
        self,
        tiles,
        *,
        reported_px=None,
        slice_id=0,
        pitch_mm=PITCH_MM,
        missing=(),
        name=None,
        **attrs,
    ):
        """Write `tiles`, (iy, ix) -> array (z, y, x); `reported_px` is what the stage says."""
        n_iy, n_ix = (max(tile[axis] for tile in tiles) + 1 for axis in (0, 1))
        shape = next(iter(tiles.values())).shape
        block = {
            "kind": "mosaic_grid",
            "slice_id": slice_id,
            "tile_shape": list(shape),
            "grid_shape": [n_iy, n_ix],
            "missing_tiles": [list(tile) for tile in missing],
            **attrs,
        }
        if reported_px is not None:
            block["tile_positions_mm"] = {
                f"{iy},{ix}": [y * pitch_mm[1], x * pitch_mm[2]]
                for (iy, ix), (y, x) in reported_px.items()
            }
        path = self.root / (name or f"mosaic_grid_3d_z{slice_id:02d}.ome.zarr")
        full = (shape[0], n_iy * shape[1], n_ix * shape[2])
        with OmeZarrWriter(path, full, chunks=shape, attrs=block) as writer:
            for (iy, ix), data in tiles.items():
                rows = slice(iy * shape[1], (iy + 1) * shape[1])
                writer[:, rows, ix * shape[2] : (ix + 1) * shape[2]] = data
            writer.finalize(pitch_mm)
        return path

    def cut(self, scene, positions_px, tile_yx, *, strange=None, **options):
        """Write the grid whose tiles lie at `positions_px` in `scene`; `strange` ones do not."""
        tiles = {tile: cut(scene, corner, tile_yx) for tile, corner in positions_px.items()}
        return self({**tiles, **(strange or {})}, **options)


@pytest.fixture
def write_grid(tmp_path):
    return GridWriter(tmp_path)


@pytest.fixture
def write_slice_store(tmp_path):
    def write(volume, *, name="slice_z03_stitch_3d.ome.zarr", chunks=(64, 64, 64), **attrs):
        block = {"kind": "slice", "slice_id": 3, "canvas_origin_px": [0, 0], **attrs}
        path = tmp_path / name
        save_omezarr(np.asarray(volume, np.float32), path, PITCH_MM, chunks=chunks, attrs=block)
        return path

    return write


@pytest.fixture
def make_texture():
    return texture


@pytest.fixture
def make_lattice():
    return lattice


@pytest.fixture
def cut_tile():
    return cut


@pytest.fixture
def content():
    """Every file below a folder with its bytes."""

    def read(folder):
        files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}

    return read


@dataclass(frozen=True)
class Ended:
    stdout: str
    stderr: str


@pytest.fixture
def invoke(monkeypatch, capsys):
    """Call a command's entry point with arguments; check its exit code.

    In the test's own process: a new one costs a second each.
    """

    def call(entry, *arguments, code=0):
        monkeypatch.setattr(sys, "argv", ["command", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            entry()
        found = Ended(*capsys.readouterr())
        assert (ended.value.code or 0) == code, found.stderr
        return found

    return call


@pytest.fixture(scope="session")
def acquisition(tmp_path_factory):
    """A toy: two slices of four tiles, simulated once for all tests that do not change it."""
    from mosaicflow.simulation import preset, simulate

    folder = tmp_path_factory.mktemp("toy") / "sim"
    return simulate(folder, settings=preset("toy", truth_volume=False), threads=2)
