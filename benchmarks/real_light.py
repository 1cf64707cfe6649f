"""Known shading on real tissue: how far off a flat field is, and what it says of itself.

The fused section of a finished run is cut into tiles again, at other places of the lattice, and
each tile is shaded with the flat field and the background that the run had found: then both are
known. Meant for the section that comes with the package::

    mosaicflow example brain-section
    mosaicflow run brain-section/raw -o brain-result -p brain-section/params.yml
    python benchmarks/real_light.py brain-result --folder /tmp/real_light
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.io.flatfields import load_flat_field
from mosaicflow.io.grids import MosaicGrid
from mosaicflow.io.zarr import OmeZarrWriter, open_level
from mosaicflow.stages.estimate_illumination import estimate_illumination

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mosaicflow.io.flatfields import FlatField

    Image = NDArray[np.float32]

# Shift of the lattice over the section [tiles], and which axes are turned round.
PLACES = (
    (0.5, 0.5, ""), (0.25, 0.75, ""), (0.5, 0.0, ""), (0.0, 0.5, ""),
    (0.3, 0.3, "y"), (0.6, 0.2, "x"), (0.1, 0.7, "yx"),
)  # fmt: skip
# By how much the brightness of tiles differs (log), as that of lamps does.
TILE_SPREAD = 0.02


def section(run: Path) -> Image:
    """Read the fused slice; glass where nothing was imaged."""
    image = np.asarray(open_level(run / "slices/stitch_3d/slice_z00_stitch_3d.ome.zarr")[0])
    return np.where(image > 0, image, np.percentile(image[image > 0], 2)).astype(np.float32)


def moved(image: Image, place: tuple[float, float, str], tile_yx: tuple[int, int]) -> Image:
    """Put the section somewhere else under the lattice."""
    *shift, turned = place
    image = np.flip(image, ["yx".index(axis) for axis in turned])
    return np.roll(image, [round(s * n) for s, n in zip(shift, tile_yx, strict=True)], (0, 1))


def write_tiles(source: MosaicGrid, image: Image, field: FlatField, path: Path, seed: int) -> None:
    """Cut shaded tiles and lay them out as those of the source are."""
    rng = np.random.default_rng(seed)
    n_y, n_x = source.tile_shape[1:]
    places = source.positions_px()
    corner = np.min(list(places.values()), axis=0)
    shape = (1, source.grid_shape[0] * n_y, source.grid_shape[1] * n_x)
    with OmeZarrWriter(path, shape, source.tile_shape, attrs=source.attrs) as writer:
        for iy, ix in source.tiles:
            wanted = np.round(np.subtract(places[iy, ix], corner)).astype(int)
            y, x = np.minimum(wanted, np.subtract(image.shape, (n_y, n_x))).tolist()
            lit = image[y : y + n_y, x : x + n_x] * field.gain
            tile = lit * math.exp(TILE_SPREAD * rng.standard_normal()) + field.offset
            writer[:, iy * n_y : (iy + 1) * n_y, ix * n_x : (ix + 1) * n_x] = tile[None]
        writer.finalize(source.pitch_mm)


def errors_of(folder: Path, grid: Path, truth: FlatField) -> tuple[float, float]:
    """Error of the field that is found in per cent, as it is and as it is said to be."""
    output = folder / "illumination.npz"
    estimate_illumination(grids=(grid,), output=output)
    ratio = load_flat_field(output).gain / truth.gain
    metrics = json.loads((folder / "illumination.metrics.json").read_text())["metrics"]
    return 100 * float((ratio / ratio.mean()).std()), float(metrics["flat_field_error"]["value"])


def main() -> None:
    """Print a line for each place of the lattice, and the sum."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path, help="output folder of a run of one flat section")
    parser.add_argument("--folder", type=Path, required=True, help="where tiles are written")
    parser.add_argument("--seed", type=int, default=2)
    given = parser.parse_args()
    source = MosaicGrid(given.run / "mosaic_grids/mosaic_grid_3d_z00.ome.zarr")
    truth = load_flat_field(given.run / "tables/illumination.npz")
    image = section(given.run)
    found = []
    for number, place in enumerate(PLACES):
        folder = given.folder / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        grid = folder / "mosaic_grid_3d_z00.ome.zarr"
        shifted = moved(image, place, source.tile_shape[1:])
        write_tiles(source, shifted, truth, grid, given.seed + number)
        true, said = errors_of(folder, grid, truth)
        found.append((true, said))
        print(
            f"{place}: true {true:.2f} %, said {said:.2f} % ({said / true:.2f} times)", flush=True
        )
    true, said = np.sqrt(np.mean(np.square(found), axis=0))
    print(f"together (rms): true {true:.2f} %, said {said:.2f} %")


if __name__ == "__main__":
    main()
