"""Two slices of one scene, the second moved and turned by a known amount, and their package."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.ndimage import affine_transform, gaussian_filter

from mosaicflow.alignment.solution import Alignment
from mosaicflow.corrections.package import RunImages, read_package, write_package
from mosaicflow.corrections.projections import grey
from mosaicflow.io.previews import save_jpeg
from mosaicflow.io.tables import write_csv, write_document
from mosaicflow.io.zarr import OmeZarrWriter
from mosaicflow.rigid import Rigid2D
from mosaicflow.stages.solve_alignment import solve_alignment

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (12, 130, 170)
# Places (y, x) and radii of what stands out, in px of the first slice.
SPOTS = {(42.0, 48.0): 3.0, (92.0, 60.0): 5.0, (50.0, 120.0): 8.0}
# Where the second slice belongs: turned by 3 degrees, 6 px down and 4 px left of the stage's place.
MOTION = Rigid2D(3.0, ((SHAPE[1] - 1) / 2, (SHAPE[2] - 1) / 2), (6.0, -4.0))


@dataclass(frozen=True)
class Pair:
    """A folder with what a run of two slices leaves."""

    root: Path

    @property
    def slices(self):
        return tuple(self.root / f"slice_z{i:02d}_normalize.ome.zarr" for i in (0, 1))

    def solve(self, folder, overrides=None):
        """Place the slices; without a pair of images the stage decides."""
        solve_alignment(
            shifts=self.root / "shifts_xy.csv",
            slice_config=self.root / "slice_config.csv",
            slices=self.slices,
            overrides=overrides,
            output_dir=folder,
            slicing_interval_mm=0.08,
        )
        document = json.loads((folder / "alignment.json").read_text())
        return Alignment.from_json(document, "alignment.json")

    def miss_px(self, alignment):
        """Distance between the two images of each spot in the volume [px]."""
        first, second = sorted(alignment.slices, key=lambda one: one.slice_id)
        spots = np.array(list(SPOTS))
        away = first.transform.apply(spots) - second.transform.apply(MOTION.inverse().apply(spots))
        return np.hypot(*away.T)

    def images(self):
        return RunImages(self.root / "run.json", self.root / "alignment.json", self.slices)


def scene():
    rng = np.random.default_rng(5)
    y, x = np.mgrid[: SHAPE[1], : SHAPE[2]]
    image = 0.15 + 0.5 * gaussian_filter(rng.standard_normal(SHAPE[1:]), 3)
    for (cy, cx), radius in SPOTS.items():
        image = np.maximum(image, 1.5 * (np.hypot(y - cy, x - cx) < radius))
    inside = np.hypot((y - 65) / 62, (x - 85) / 80) < 1
    return np.where(inside, np.clip(gaussian_filter(image, 0.7), 0.02, None), 0)


def write_slice(path, plane, slice_id):
    block = {
        "schema": 1, "kind": "slice", "slice_id": slice_id, "canvas_origin_px": [0, 0],
        "stage": {"sign_y": 1, "sign_x": 1, "origin_mm": [0.0, 0.0]},
    }  # fmt: skip
    with OmeZarrWriter(path, SHAPE, chunks=(64, 64, 64), attrs=block) as writer:
        writer[:] = np.repeat(plane[None], SHAPE[0], axis=0).astype(np.float32)
        writer.finalize((0.01, 0.01, 0.01))


@pytest.fixture(scope="session")
def pair(tmp_path_factory):
    root = tmp_path_factory.mktemp("out") / "brain" / "tables"
    root.mkdir(parents=True)
    found = Pair(root)
    first = scene()
    second = affine_transform(first, MOTION.matrix, MOTION.offset, order=1)
    for slice_id, plane in enumerate((first, second)):
        write_slice(found.slices[slice_id], plane, slice_id)
    columns = ["fixed_id", "moving_id", "x_shift", "y_shift", "x_shift_mm", "y_shift_mm"]
    step = dict.fromkeys(columns, 0.0) | {"fixed_id": 0, "moving_id": 1}
    write_csv(
        root / "shifts_xy.csv",
        [*columns, "reliable", "source"],
        [{**step, "reliable": 1, "source": "stage"}],
    )
    (root / "slice_config.csv").write_text("slice_id,use\n00,true\n01,true\n")
    write_document(
        root / "run.json", {"parameters": {"resolution_um": 10.0}, "input": {"digest": "abc"}}
    )
    assert found.miss_px(found.solve(root)).min() > 3  # px: by the stage it is wrong
    return found


@pytest.fixture
def package(pair, tmp_path):
    folder = tmp_path / "package"
    write_package(pair.images(), folder, None, 1)
    return folder


@pytest.fixture
def package_with_tiles(package):
    """Four tiles of slice 1; the stage has the last one 4 px too low and 3 too far left."""
    image, side, step = scene(), (80, 100), (50, 70)
    atlas = np.zeros((2 * side[0], 2 * side[1]), np.float32)
    tiles = []
    for iy, ix in np.ndindex(2, 2):
        y, x = iy * step[0], ix * step[1]
        atlas[iy * side[0] :, ix * side[1] :][: side[0], : side[1]] = image[
            y : y + side[0], x : x + side[1]
        ]
        off = (4.0, -3.0) if (iy, ix) == (1, 1) else (0.0, 0.0)
        place = {"stage_yx": [y + off[0], x + off[1]], "shift_px": [0.0, 0.0]}
        tiles.append({"iy": iy, "ix": ix, "source": "stage", **place})
    for ending in (".jpg", "_edges.jpg"):
        save_jpeg(package / f"pictures/z01_tiles{ending}", grey(atlas))
    told = {"cell_yx": side, "tile_yx": side, "pictures": "pictures/z01_tiles", "tiles": tiles}
    write_document(package / "package.json", {**read_package(package), "tiles": {"1": told}})
    return package
