"""Planes of a real brain, cut into slices with known motion."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import affine_transform

from mosaicflow.rigid import Rigid2D
from mosaicflow.stages.register_pairwise import register_pairwise
from mosaicflow.stages.solve_alignment import solve_alignment

PLANES = Path(__file__).parents[5] / "shared" / "data" / "vol_mouse_brain_planes"
INTERVAL, DEPTH, SIDE = 10, 18, (176, 250)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PLANES.is_dir(), reason="real planes not on this machine"),
]


@pytest.mark.parametrize("seed", [1, 2])
def test_slices_of_a_real_brain_are_found_to_a_tenth_of_a_pixel(write_one_slice, tmp_path, seed):
    from skimage.io import imread

    brain = np.stack([imread(path) for path in sorted(PLANES.glob("*.tif"))]).astype(np.float32)
    brain /= np.percentile(brain, 99.9)
    rng = np.random.default_rng(seed)
    center = ((SIDE[0] - 1) / 2, (SIDE[1] - 1) / 2)
    motions, paths = [], []
    for i in range(1 + (len(brain) - DEPTH) // INTERVAL):
        shift = tuple(np.array([8.5, 10.5]) + rng.normal(0, 3, 2))
        motion = Rigid2D(float(rng.normal(0, 0.5)), center, shift)
        planes = brain[INTERVAL * i : INTERVAL * i + DEPTH]
        cut = [affine_transform(p, motion.matrix, motion.offset, SIDE, order=3) for p in planes]
        seen = np.maximum(np.stack(cut), 1e-3) * rng.gamma(8, 1 / 8, (DEPTH, *SIDE))
        path = tmp_path / f"slice_z{i:02d}_normalize.ome.zarr"
        paths.append(write_one_slice(path, seen, i))
        motions.append(motion)
    lines = ["fixed_id,moving_id,x_shift,y_shift,x_shift_mm,y_shift_mm,reliable,source"]
    lines += [f"{i},{i + 1},0,0,0,0,1,stage" for i in range(len(paths) - 1)]
    (tmp_path / "shifts.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "config.csv").write_text(
        "slice_id,use\n" + "".join(f"{i},true\n" for i in range(len(paths)))
    )
    interval_mm = INTERVAL * 0.01
    links = []
    for i in range(len(paths) - 1):
        links.append(tmp_path / f"z{i:02d}_z{i + 1:02d}_transform.json")
        register_pairwise(
            fixed=paths[i], moving=paths[i + 1], output=links[-1], slicing_interval_mm=interval_mm
        )
    solve_alignment(
        shifts=tmp_path / "shifts.csv",
        slice_config=tmp_path / "config.csv",
        slices=tuple(paths),
        transforms=tuple(links),
        output_dir=tmp_path,
        slicing_interval_mm=interval_mm,
    )
    placed = json.loads((tmp_path / "alignment.json").read_text())["slices"]
    found = [Rigid2D.from_json(one, "alignment.json") for one in placed]
    for i in range(len(paths) - 1):
        held_out = json.loads(links[i].read_text())
        assert held_out["held_out_refined"] >= held_out["held_out_stage"]
        true = motions[i + 1]
        by_truth = true.inverse().about((0.0, 0.0)).apply(motions[i].apply(center))
        by_run = found[i + 1].inverse().about((0.0, 0.0)).apply(found[i].apply(center))
        miss = float(np.hypot(*(by_run - by_truth)))
        turn = found[i].angle_deg - found[i + 1].angle_deg
        turn -= motions[i].angle_deg - motions[i + 1].angle_deg
        assert miss <= 0.1  # px
        assert abs(turn) <= 0.05  # deg
