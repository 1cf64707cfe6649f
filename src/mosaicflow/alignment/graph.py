"""One position and angle per slice that agree with all measured pairs and with the stage.

A robust pose graph in the plane: links between slices up to three apart outvote wrong ones and
bridge bad slices, and the stage's positions keep the whole from drifting into a curve, which
chained registrations do (Yushkevich et al., Workshop on Biomedical Image Registration 2006).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse.linalg import splu

from mosaicflow.alignment.given import home_of, ties_of
from mosaicflow.alignment.poses import Pose
from mosaicflow.alignment.rows import Rows, lever, solve_step
from mosaicflow.rigid import rotation
from mosaicflow.spread import spread_about

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from scipy import sparse

    from mosaicflow.alignment.given import GivenPose, Home, Tie
    from mosaicflow.alignment.links import SliceLink
    from mosaicflow.alignment.poses import GraphSlice

__all__ = [
    "GraphSettings",
    "GraphSolution",
    "LoopError",
    "solve_graph",
]

YX = tuple[float, float]

# Iterations in which all links count fully before the loss forgives large ones, by judgement.
# Doubled, some more time.
_PLAIN_STEPS = 5
# A stage this many times less certain keeps unlinked slices in place and moves no linked one.
_FREE = 30.0


@dataclass(frozen=True, slots=True)
class GraphSettings:
    """How much the stage and the upright position are trusted.

    Parameters
    ----------
    stage_sigma_px : float
        Standard error of a reliable stage position.
    angle_sigma_deg : float
        Spread of the slices' angles about that of the whole.
    step_sigma_px : float
        Spread of a step that nothing has measured.
    link_sigma_px : float
        Least error of a link, added to its own: tissue deforms from cut to cut, and such errors
        add up along the stack where noise would not.
    every_link : bool
        Whether links count that the stage contradicts, each by its own error.
    """

    stage_sigma_px: float = 1.5
    angle_sigma_deg: float = 1.0
    step_sigma_px: float = 100.0
    link_sigma_px: float = 0.1
    every_link: bool = False


@dataclass(frozen=True, slots=True)
class LoopError:
    """How well a link is predicted without itself.

    Parameters
    ----------
    by_stage_px, by_graph_px : float
        Distance between the two images of the link's point, placed by the stage alone and by the
        graph solved without this link.
    redundancy : float
        1 when everything else fixes the link, 0 when nothing does.
    """

    by_stage_px: float
    by_graph_px: float
    redundancy: float


@dataclass(frozen=True, slots=True)
class GraphSolution:
    """All slices placed at once.

    Parameters
    ----------
    poses : mapping of int to Pose
        By slice id.
    loops : list of LoopError
        One per link.
    step_sigma_px : mapping of int to float
        Standard error per axis of the step from the slice before, by slice id.
    """

    poses: Mapping[int, Pose]
    loops: list[LoopError]
    step_sigma_px: Mapping[int, float]


def solve_graph(
    slices: Sequence[GraphSlice],
    links: Sequence[SliceLink],
    reference_id: int,
    settings: GraphSettings,
    given: Mapping[int, GivenPose] | None = None,
) -> GraphSolution:
    """Place all slices at once.

    Parameters
    ----------
    slices : sequence of GraphSlice
        Sorted by id.
    links : sequence of SliceLink
        Those that count, between slices in `slices`.
    reference_id : int
        This slice ends upright, where the stage has it.
    settings : GraphSettings
        Trust in the stage.
    given : mapping, optional
        Poses that somebody knows better, by slice id; they hold whatever links say.

    Returns
    -------
    GraphSolution
    """
    home = home_of(slices, given or {}, reference_id)
    ties = ties_of(slices, given or {}, home)
    problem = _Problem(slices, links, (home, ties), settings)
    # How well the links agree is asked where the stage has no say: else a stage that is off would
    # make links look wrong that agree with each other, and win.
    free = replace(settings, stage_sigma_px=_FREE * settings.stage_sigma_px)
    _, agreement = _descend(_Problem(slices, links, (home, ties), free), {})
    state, spreads = _descend(problem, {"shift": agreement["shift"]})
    loops = problem.loop_errors(state, spreads)
    return GraphSolution(problem.anchored(state), loops, problem.step_sigma(state, spreads))


def _descend(
    problem: _Problem, known: Mapping[str, float]
) -> tuple[NDArray[np.float64], dict[str, float]]:
    """Solve a problem; also give the spread of each kind of evidence, those `known` as they are."""
    state, spreads = problem.start(), dict(known)
    for iteration in range(50):
        residual, jacobian = problem.linearize(state)
        spreads = {**problem.spreads(residual), **known}
        # Far from the solution every link looks wrong: judge them only after a plain fit.
        trusting = iteration < _PLAIN_STEPS
        weight = np.ones_like(residual) if trusting else problem.weights(residual, spreads)
        step = solve_step(jacobian, residual, weight)
        state = state + step
        if not trusting and np.abs(step).max(initial=0.0) < 1e-7:
            break
    return state, spreads


class _Problem:
    """Residuals in units of their standard error.

    Unknowns: (y, x, angle [rad]) per slice, then (y, x) of the unknown offset of every segment but
    the reference's. Angles are scaled by `reach` inside the state, so that all unknowns are px.
    """

    def __init__(
        self,
        slices: Sequence[GraphSlice],
        links: Sequence[SliceLink],
        held: tuple[Home, Sequence[Tie]],
        settings: GraphSettings,
    ) -> None:
        self.slices, self.links, self.settings = slices, links, settings
        self.index = {one.slice_id: k for k, one in enumerate(slices)}
        self.home, self.ties = held
        self.reference = self.index[self.home.slice_id]
        home = slices[self.reference].segment
        sizes = {
            key: sum(1 for _ in group)
            for key, group in itertools.groupby(sorted(one.segment for one in slices))
        }
        others = [key for key in sorted(sizes) if key != home and sizes[key] > 1]
        self.offset = {key: 3 * len(slices) + 2 * k for k, key in enumerate(others)}
        self.offset[home] = -1
        self.n_unknowns = 3 * len(slices) + 2 * len(others)

    def sigma(self, link: SliceLink) -> float:
        return math.hypot(link.sigma_px, self.settings.link_sigma_px)

    def start(self) -> NDArray[np.float64]:
        state = np.zeros(self.n_unknowns)
        for k, one in enumerate(self.slices):
            state[3 * k : 3 * k + 2] = one.stage_yx
        return state

    def linearize(self, state: NDArray[np.float64]) -> tuple[NDArray[np.float64], sparse.csc_array]:
        rows = Rows()
        for link in self.links:
            self._add_link(rows, link, state)
        self._add_stage(rows, state)
        self._add_steps(rows, state)
        for tie in self.ties:
            self._add_tie(rows, tie, state)
        self.groups = np.array(rows.groups)
        self.kinds = np.array(rows.kinds)
        return rows.assemble(self.n_unknowns)

    def _add_link(self, rows: Rows, link: SliceLink, state: NDArray[np.float64]) -> None:
        i, j = self.index[link.fixed_id], self.index[link.moving_id]
        turn = 1 / math.radians(link.sigma_deg)
        angle = state[3 * j + 2] + math.radians(link.angle_deg) - state[3 * i + 2]
        rows.add(angle * turn, {3 * j + 2: turn, 3 * i + 2: -turn}, "turn")
        lever_i, d_i = lever(self.slices[i].center_yx, link.fixed_yx, state[3 * i + 2])
        lever_j, d_j = lever(self.slices[j].center_yx, link.moving_yx, state[3 * j + 2])
        scale = 1 / self.sigma(link)
        for axis in (0, 1):
            value = lever_j[axis] + state[3 * j + axis] - lever_i[axis] - state[3 * i + axis]
            terms = {
                3 * j + axis: scale,
                3 * i + axis: -scale,
                3 * j + 2: d_j[axis] * scale,
                3 * i + 2: -d_i[axis] * scale,
            }
            # Nothing else joins the two sides of a gap: forgiving it would be to believe the stage.
            kind = "bridge" if link.distance_planes else "shift"
            rows.add(value * scale, terms, kind, joined=axis == 1)

    def _add_stage(self, rows: Rows, state: NDArray[np.float64]) -> None:
        scale = 1 / self.settings.stage_sigma_px
        turn = 1 / math.radians(self.settings.angle_sigma_deg)
        for k, one in enumerate(self.slices):
            rows.add(state[3 * k + 2] * turn, {3 * k + 2: turn}, "upright")
            if one.segment not in self.offset:
                continue  # alone in its segment: the stage says nothing about it
            start = self.offset[one.segment]
            for axis in (0, 1):
                value = state[3 * k + axis] - one.stage_yx[axis]
                terms = {3 * k + axis: scale}
                if start >= 0:
                    value -= state[start + axis]
                    terms[start + axis] = -scale
                rows.add(value * scale, terms, "stage", joined=axis == 1)

    def _add_steps(self, rows: Rows, state: NDArray[np.float64]) -> None:
        """Tie neighbours loosely, so that a slice nothing else holds follows the one before."""
        scale = 1 / self.settings.step_sigma_px
        for k, (one, other) in enumerate(itertools.pairwise(self.slices)):
            for axis in (0, 1):
                expected = other.stage_yx[axis] - one.stage_yx[axis]
                value = state[3 * k + 3 + axis] - state[3 * k + axis] - expected
                rows.add(value * scale, {3 * k + 3 + axis: scale, 3 * k + axis: -scale}, "step")

    def _add_tie(self, rows: Rows, tie: Tie, state: NDArray[np.float64]) -> None:
        """Hold a slice where it was given, seen from the home slice as that will lie."""
        i, k = 3 * self.reference, 3 * self.index[tie.slice_id]
        if tie.turn_deg is not None:
            turn = 1 / math.radians(tie.sigma_deg)
            value = state[k + 2] - state[i + 2] - math.radians(tie.turn_deg)
            rows.add(value * turn, {k + 2: turn, i + 2: -turn}, "given")
        if tie.step_yx is None:
            return
        scale = 1 / tie.sigma_px
        # The whole will be turned until the home slice lies as it was given.
        angle = state[i + 2] - math.radians(self.home.angle_deg)
        step, slope = lever((0.0, 0.0), tie.step_yx, angle)
        for axis in (0, 1):
            value = state[k + axis] - state[i + axis] - step[axis]
            terms = {k + axis: scale, i + axis: -scale, i + 2: -slope[axis] * scale}
            rows.add(value * scale, terms, "given")

    def spreads(self, residual: NDArray[np.float64]) -> dict[str, float]:
        """Say how far each kind of evidence misses, in units of what it claims; at least 1.

        The stage is taken at its word: were its spread taken from the residuals, a drift of the
        chain would talk it down.
        """
        size = self._sizes(residual)
        found = {"stage": 1.0}
        for kind in ("turn", "shift", "upright"):
            mine = size[self.kinds == kind]
            found[kind] = max(1.0, spread_about(mine, 0.0)) if mine.size else 1.0
        return found

    def weights(
        self, residual: NDArray[np.float64], spreads: Mapping[str, float]
    ) -> NDArray[np.float64]:
        """Cauchy weights, each kind of evidence judged by its own spread."""
        size = self._sizes(residual)
        weight = np.ones_like(residual)
        for kind, spread in spreads.items():
            mine = self.kinds == kind
            weight[mine] = 1 / (1 + (size[mine] / (2 * spread)) ** 2) / spread**2
        return weight

    def _sizes(self, residual: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give every row the length of the residual vector that it belongs to."""
        squared = np.bincount(self.groups, residual**2)
        lengths: NDArray[np.float64] = np.sqrt(squared)[self.groups]
        return lengths

    def loop_errors(
        self, state: NDArray[np.float64], spreads: Mapping[str, float]
    ) -> list[LoopError]:
        """Predict each link from all the others, without solving again (leverage formula)."""
        residual, jacobian = self.linearize(state)
        weight = self.weights(residual, spreads)
        normal = splu(((jacobian.T * weight) @ jacobian).tocsc())
        at_start, _ = self.linearize(self.start())
        rows = jacobian.tocsr()
        errors = []
        position = 0
        for link in self.links:
            count = 3
            own = np.arange(position, position + count)
            position += count
            block = rows[own].toarray()
            root = np.sqrt(weight[own])
            leverage = (block @ normal.solve(block.T)) * root[:, None] * root[None, :]
            rest = np.eye(count) - leverage
            redundancy = float(np.linalg.eigvalsh((rest + rest.T) / 2)[0])
            stage = float(np.hypot(*at_start[own[1:]])) * self.sigma(link)
            if redundancy < 1e-6:
                errors.append(LoopError(stage, math.nan, 0.0))
                continue
            without = np.linalg.solve(rest, root * residual[own]) / root
            errors.append(
                LoopError(stage, float(np.hypot(*without[1:])) * self.sigma(link), redundancy)
            )
        return errors

    def step_sigma(
        self, state: NDArray[np.float64], spreads: Mapping[str, float]
    ) -> dict[int, float]:
        """Say how well each slice is known against the one before it."""
        residual, jacobian = self.linearize(state)
        weight = self.weights(residual, spreads)
        normal = splu(((jacobian.T * weight) @ jacobian).tocsc())
        found = {}
        for k, (_, other) in enumerate(itertools.pairwise(self.slices)):
            # Where the middle of the lower slice lies in the upper one: a turn of it counts too.
            middle = state[3 * k + 3 : 3 * k + 5] - state[3 * k : 3 * k + 2]
            arm = np.array([-middle[1], middle[0]])
            step = np.zeros((self.n_unknowns, 2))
            for axis in (0, 1):
                step[3 * k + 3 + axis, axis] = 1.0
                step[3 * k + axis, axis] = -1.0
                step[3 * k + 2, axis] = -arm[axis]
            covariance = step.T @ normal.solve(step)
            found[other.slice_id] = math.sqrt(max(float(np.trace(covariance)) / 2, 0.0))
        return found

    def anchored(self, state: NDArray[np.float64]) -> dict[int, Pose]:
        """Move the whole so that the home slice lies where it belongs."""
        home = state[3 * self.reference : 3 * self.reference + 3]
        back = math.radians(self.home.angle_deg) - home[2]
        turn = rotation(back)
        target = np.array(self.home.at_yx)
        poses = {}
        for k, one in enumerate(self.slices):
            at = turn @ (state[3 * k : 3 * k + 2] - home[:2]) + target
            angle = math.degrees(state[3 * k + 2] + back)
            poses[one.slice_id] = Pose(angle, one.center_yx, (float(at[0]), float(at[1])))
        return poses
