"""Stacks at the edge of what an acquisition may be: placed right, or said to be uncertain."""

import itertools
import json
from dataclasses import dataclass, field

import numpy as np
import pytest
from scipy.ndimage import affine_transform
from tests.unit.stages.across_slices.conftest import block_of_tissue

from mosaicflow.alignment.solution import Alignment
from mosaicflow.rigid import Rigid2D
from mosaicflow.stages.register_pairwise import register_pairwise
from mosaicflow.stages.solve_alignment import solve_alignment

pytestmark = pytest.mark.slow

SIDE = (132, 120)
CENTER = ((SIDE[0] - 1) / 2, (SIDE[1] - 1) / 2)
POINTS = np.array([CENTER, (40.0, 45.0), (90.0, 80.0)])


@dataclass(frozen=True)
class Stack:
    """Which slices there are, how they were cut, and where nobody says they lie [deg, px, px]."""

    ids: tuple[int, ...] = (0, 1, 2, 3)
    interval: int = 8
    depth: int = 20
    unreported: dict[int, tuple[float, float, float]] = field(default_factory=dict)

    def joined(self):
        """Neighbours in the stack that show common tissue."""
        pairs = itertools.pairwise(self.ids)
        return [(a, b) for a, b in pairs if (b - a) * self.interval < self.depth]


STACKS = {
    "one slice turned by 4.8 deg": Stack(unreported={2: (4.8, 0.7, -1.1)}),
    "re-homed by 40 px": Stack(unreported={2: (0.3, 32.0, -24.0), 3: (0.1, 32.5, -23.0)}),
    "overlaps of half a slice": Stack(interval=10, unreported={1: (-0.4, 1.0, -2.0)}),
    "overlaps of four planes": Stack(interval=16),
    "overlaps of four planes, one slice turned": Stack(
        interval=16, unreported={2: (0.4, 1.2, -0.8)}
    ),
    "two dropped side by side": Stack((0, 1, 4, 5), unreported={4: (0.3, 1.5, 1.0)}),
    "two slices": Stack((0, 1), unreported={1: (0.5, -2.0, 1.4)}),
    "one slice": Stack((3,)),
}


def cut(stack, folder, write_one_slice):
    """Write the slices of a stack and its tables; give the true motion of each."""
    rng = np.random.default_rng(11)
    tissue = block_of_tissue(rng, (stack.interval * max(stack.ids) + stack.depth, 172, 160))
    motions = {}
    for i in stack.ids:
        angle, down, right = stack.unreported.get(i, (0.0, 0.0, 0.0))
        motions[i] = Rigid2D(angle, CENTER, (20.0 + down, 20.0 + right))
        first = stack.interval * i
        planes = tissue[first : first + stack.depth]
        seen = [affine_transform(p, motions[i].matrix, motions[i].offset, SIDE) for p in planes]
        data = np.maximum(np.stack(seen), 1e-3) * rng.gamma(25, 1 / 25, (stack.depth, *SIDE))
        write_one_slice(folder / f"slice_z{i:02d}_normalize.ome.zarr", data, i)
    steps = [f"{i},{i + 1},0,0,0,0,1,stage" for i in range(max(stack.ids))]
    head = "fixed_id,moving_id,x_shift,y_shift,x_shift_mm,y_shift_mm,reliable,source"
    (folder / "shifts.csv").write_text("\n".join([head, *steps]) + "\n")
    rows = "".join(f"{i},true\n" for i in stack.ids)
    (folder / "config.csv").write_text("slice_id,use\n" + rows)
    return motions


def aligned(stack, folder):
    """Register all pairs up to three apart and settle them."""
    paths = {i: folder / f"slice_z{i:02d}_normalize.ome.zarr" for i in stack.ids}
    links = []
    for a, b in itertools.combinations(stack.ids, 2):
        if b - a <= 3:
            links.append(folder / f"z{a:02d}_z{b:02d}_transform.json")
            register_pairwise(
                fixed=paths[a], moving=paths[b], output=links[-1],
                slicing_interval_mm=0.01 * stack.interval,
            )  # fmt: skip
    solve_alignment(
        shifts=folder / "shifts.csv", slice_config=folder / "config.csv",
        slices=tuple(paths.values()), transforms=tuple(links), output_dir=folder,
        slicing_interval_mm=0.01 * stack.interval,
    )  # fmt: skip
    document = json.loads((folder / "alignment.json").read_text())
    return Alignment.from_json(document, "alignment.json")


@pytest.mark.parametrize("name", STACKS)
def test_neighbours_lie_right_and_gaps_are_told(name, write_one_slice, tmp_path):
    stack = STACKS[name]
    motions = cut(stack, tmp_path, write_one_slice)
    found = aligned(stack, tmp_path)
    poses = {one.slice_id: one.transform for one in found.slices}
    faces = {one.slice_id: one.z_plane for one in found.slices}
    doubt = {one.slice_id: one.section.sigma_um / 10 for one in found.slices if one.section}
    assert tuple(poses) == stack.ids
    for a, b in stack.joined():
        back, true = (of[b].inverse().about((0.0, 0.0)) for of in (poses, motions))
        miss = back.apply(poses[a].apply(POINTS)) - true.apply(motions[a].apply(POINTS))
        assert np.hypot(*miss.T).max() < 0.2  # px
        off = faces[b] - faces[a] - (b - a) * stack.interval
        assert abs(off) < max(0.2, 2.5 * doubt[b])  # planes
    apart = set(itertools.pairwise(stack.ids)) - set(stack.joined())
    gaps = {(gap.fixed_id, gap.moving_id): gap for gap in found.gaps}
    assert set(gaps) == apart
    assert all(gap.sigma_px > 0.3 and gap.sigma_um >= 3 for gap in gaps.values())
