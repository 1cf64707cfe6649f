"""Slices cut from one block of tissue with known motions, as the stages across slices get them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.ndimage import affine_transform, gaussian_filter

from mosaicflow.io.zarr import OmeZarrWriter
from mosaicflow.rigid import Rigid2D

if TYPE_CHECKING:
    from pathlib import Path

INTERVAL_MM = 0.08  # 8 planes of 10 um
SHAPE = (20, 132, 120)
# Reported by the stage: where each slice's corner lies [px]; not reported: turn and residual shift.
REPORTED = ((0, 0), (3, -2), (-1, 4), (2, 1))
UNREPORTED = ((0.0, 0.0, 0.0), (1.2, 2.3, -1.4), (-0.8, -1.7, 0.6), (0.5, 0.4, 2.1))


@dataclass(frozen=True)
class CutBlock:
    """A folder of slices and tables, and the motions that made them."""

    root: Path
    motions: tuple[Rigid2D, ...]  # slice px -> px of the block
    tissue: np.ndarray

    def slice(self, slice_id):
        return self.root / f"slice_z{slice_id:02d}_normalize.ome.zarr"

    @property
    def slices(self):
        return tuple(self.slice(i) for i in range(len(self.motions)))

    def relative(self, fixed, moving, points):
        """Where points of one slice lie in another, in truth."""
        back = self.motions[moving].inverse().about((0.0, 0.0))
        return back.apply(self.motions[fixed].apply(points))


def block_of_tissue(rng, shape):
    noise = rng.standard_normal(shape).astype(np.float32)
    texture = sum(gaussian_filter(noise, (1.5, s, s)) * s for s in (1.5, 4.0))
    texture = (texture - texture.min()) / np.ptp(texture)
    y, x = np.mgrid[: shape[1], : shape[2]]
    middle = (shape[1] - 1) / 2, (shape[2] - 1) / 2
    inside = np.hypot((y - middle[0]) / 60, (x - middle[1]) / 54) < 1
    return (texture * gaussian_filter(inside * 1.0, 1.0) + 0.02).astype(np.float32)


def write_slice(path, data, slice_id, *, origin_mm=(0.0, 0.0), pitch_mm=(0.01, 0.01, 0.01)):
    block = {
        "schema": 1,
        "kind": "slice",
        "slice_id": slice_id,
        "canvas_origin_px": [0, 0],
        "stage": {"sign_y": 1, "sign_x": 1, "origin_mm": list(origin_mm)},
    }
    with OmeZarrWriter(path, data.shape, chunks=(64, 64, 64), attrs=block) as writer:
        writer[:] = data.astype(np.float32)
        writer.finalize(pitch_mm)
    return path


@pytest.fixture(scope="session")
def cut_block(tmp_path_factory):
    rng = np.random.default_rng(11)
    root = tmp_path_factory.mktemp("cut_block")
    tissue = block_of_tissue(rng, (8 * 3 + SHAPE[0], 172, 160))
    center = ((SHAPE[1] - 1) / 2, (SHAPE[2] - 1) / 2)
    motions, corners = [], []
    for i, ((down, right), (angle, dy, dx)) in enumerate(zip(REPORTED, UNREPORTED, strict=True)):
        motion = Rigid2D(angle, center, (20.0 + down + dy, 20.0 + right + dx))
        planes = tissue[8 * i : 8 * i + SHAPE[0]]
        data = np.stack(
            [affine_transform(p, motion.matrix, motion.offset, SHAPE[1:], order=1) for p in planes]
        )
        data *= rng.gamma(25, 1 / 25, data.shape)
        corner = (5.0 + 0.01 * down, 10.0 + 0.01 * right)
        write_slice(root / f"slice_z{i:02d}_normalize.ome.zarr", data, i, origin_mm=corner)
        motions.append(motion)
        corners.append(corner)
    lines = ["fixed_id,moving_id,x_shift,y_shift,x_shift_mm,y_shift_mm,reliable,source"]
    for i in range(3):
        y, x = (round(a - b, 6) for a, b in zip(corners[i], corners[i + 1], strict=True))
        lines.append(f"{i},{i + 1},{100 * x},{100 * y},{x},{y},1,stage")
    (root / "shifts_xy.csv").write_text("\n".join(lines) + "\n")
    rows = "".join(f"{i:02d},true,mine\n" for i in range(4))
    (root / "slice_config.csv").write_text("slice_id,use,remark\n" + rows)
    return CutBlock(root, tuple(motions), tissue)


@pytest.fixture(scope="session")
def write_one_slice():
    return write_slice
