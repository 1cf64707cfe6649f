"""How far stage and likeness are trusted, learnt from the pairs that saw the same tissue twice."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.reasons import Doubt, Refusal
from mosaicflow.spread import spread_about

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mosaicflow.alignment.graph import GraphSettings
    from mosaicflow.alignment.links import SliceLink
    from mosaicflow.alignment.poses import GraphSlice

__all__ = ["measured_trust", "within_reach"]

# What is claimed of the stage counts as this many measured steps.
_CLAIM = 2.0
# A step that likeness alone sees this many standard errors off the stage is chance, where the
# stage's error is well known; where few steps have shown it, as many more as are as rare by
# Fisher's distribution, and at most these: as far as registration looks at the stage's default
# error. Four numbers had said 15 um where 30 were true, and refused links that were right to 2 px.
_REACH, _LONGEST_REACH = 4.0, 8.0


def measured_trust(
    slices: Sequence[GraphSlice],
    links: Sequence[SliceLink],
    settings: GraphSettings,
    *,
    across: bool = False,
) -> GraphSettings:
    """Take the errors of stage and angle from the pairs that saw the same tissue twice.

    Parameters
    ----------
    slices : sequence of GraphSlice
        Sorted by id.
    links : sequence of SliceLink
        Graded links.
    settings : GraphSettings
        What is claimed of the stage.
    across : bool
        Whether pairs across unseen tissue tell of the stage, too, less what they may be off.

    Returns
    -------
    GraphSettings
        With what was measured; from steps and not from positions, so that a chain that drifts
        does not talk the stage down.
    """
    return _trusting(*_departures(slices, links, settings, across=across), settings)


def within_reach(
    slices: Sequence[GraphSlice], links: Sequence[SliceLink], settings: GraphSettings
) -> list[SliceLink]:
    """Leave out pairs that know less than the stage.

    That is where neither shift nor rotation is as certain as the stage's own, and where different
    tissue looks alike in a place where no stage would put a slice. Stage and angle are trusted as
    far as pairs that saw the same tissue twice tell.
    """
    of = {one.slice_id: one for one in slices}
    steps, turns = _departures(slices, links, settings, across=False)
    settings = _trusting(steps, turns, settings)
    reach_step, reach_turn = _reach(len(steps)), _reach(len(turns))
    step_px = math.sqrt(2) * settings.stage_sigma_px
    step_deg = math.sqrt(2) * settings.angle_sigma_deg

    def objection(link: SliceLink) -> Refusal | None:
        a, b = of[link.fixed_id], of[link.moving_id]
        if not link.counts or a.segment != b.segment:
            return None
        if link.sigma_px > step_px and link.sigma_deg > step_deg:
            return Refusal.of(Doubt.LESS_CERTAIN)
        if not link.distance_planes:
            return None
        off, turn = math.hypot(*_off_stage(link, a, b)), abs(link.angle_deg)
        if off > reach_step * step_px:
            return Refusal.of(Doubt.FAR_OFF, off, reach_step)
        if turn > reach_turn * step_deg:
            return Refusal.of(Doubt.FAR_TURNED, turn, reach_turn)
        return None

    return [link.judged(objection(link)) for link in links]


def _departures(
    slices: Sequence[GraphSlice],
    links: Sequence[SliceLink],
    settings: GraphSettings,
    *,
    across: bool,
) -> tuple[list[float], list[float]]:
    """List how far pairs that know better put slices from stage [px] and upright [deg]."""
    of = {one.slice_id: one for one in slices}
    steps: list[float] = []
    turns: list[float] = []
    for link in links:
        a, b = of[link.fixed_id], of[link.moving_id]
        if not link.counts or a.segment != b.segment or (link.distance_planes and not across):
            continue
        if link.distance_planes or link.sigma_px < settings.stage_sigma_px:
            steps += [_less(off, link.sigma_px) for off in _off_stage(link, a, b)]
        if link.sigma_deg < settings.angle_sigma_deg:
            turns.append(link.angle_deg)
    return steps, turns


def _trusting(
    steps: Sequence[float], turns: Sequence[float], settings: GraphSettings
) -> GraphSettings:
    return replace(
        settings,
        stage_sigma_px=_pooled(steps, settings.stage_sigma_px),
        angle_sigma_deg=_pooled(turns, settings.angle_sigma_deg),
    )


def _reach(seen: int) -> float:
    """Give the standard errors that two numbers exceed as rarely as `_REACH` when all is known."""
    freedom = _CLAIM + seen
    return min(math.sqrt(freedom * math.expm1(_REACH**2 / freedom)), _LONGEST_REACH)


def _off_stage(link: SliceLink, a: GraphSlice, b: GraphSlice) -> tuple[float, float]:
    """How far a link puts its slices from where the stage does [px]."""
    y, x = (
        (b.stage_yx[axis] + link.moving_yx[axis] - b.center_yx[axis])
        - (a.stage_yx[axis] + link.fixed_yx[axis] - a.center_yx[axis])
        for axis in (0, 1)
    )
    return y, x


def _less(off: float, sigma: float) -> float:
    """Take from an error what the measurement may itself be off."""
    return math.sqrt(max(off**2 - sigma**2, 0.0))


def _pooled(steps: Sequence[float], claimed: float) -> float:
    """Give the standard error of one end of a step; what is claimed counts as some of them."""
    seen = np.array(steps)
    if len(seen) > 4:
        limit = max(3 * spread_about(seen, 0.0), claimed)
        seen = np.clip(seen, -limit, limit)
    total = _CLAIM * claimed**2 + float((seen**2).sum()) / 2
    return math.sqrt(total / (_CLAIM + len(seen)))
