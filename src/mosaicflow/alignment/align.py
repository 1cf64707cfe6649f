"""From stage positions and measured pairs to one decision per slice."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.alignment.graph import solve_graph
from mosaicflow.alignment.poses import stage_poses
from mosaicflow.alignment.solution import AlignedSlice
from mosaicflow.alignment.trust import measured_trust, within_reach
from mosaicflow.reasons import Doubt, Skip

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from mosaicflow.alignment.given import GivenPose
    from mosaicflow.alignment.graph import GraphSettings, LoopError
    from mosaicflow.alignment.links import SliceLink
    from mosaicflow.alignment.poses import GraphSlice, Pose
    from mosaicflow.alignment.sections import Faces
    from mosaicflow.alignment.solution import SliceFrame

__all__ = ["Placements", "SlicePlacement", "place_by_evidence", "to_aligned"]

# A link counts as held-out evidence only if the others fix at least this part of it.
_MIN_REDUNDANCY = 0.3
# The stage wins when links speak for it by 3 standard errors, counting at least this much of one
# for what registration cannot know [px].
_CLEAR, _LEAST_SIGMA_PX = 9.0, 0.3


@dataclass(frozen=True, slots=True)
class SlicePlacement:
    """Where a slice goes, and why there.

    Parameters
    ----------
    pose : Pose
        Its placement.
    source : str
        ``reference``, ``graph``, ``manual``, ``stage`` or ``previous``.
    confidence : float
        Mean confidence of its links, weighted by their precision; 1 where somebody gave its place.
    reasons : tuple of str
        What was not used.
    skip : Skip or None
        Why it lies where the stage has it.
    evidence : mapping
        Numbers behind the decision; null where nothing could be measured.
    """

    pose: Pose
    source: str
    confidence: float
    reasons: tuple[str, ...]
    unused_links: Mapping[str, Doubt]
    skip: Skip | None
    evidence: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Placements:
    """Where all slices go, and how sure that is.

    Parameters
    ----------
    slices : mapping
        By slice id.
    step_sigma_px : mapping
        Standard error per axis of the step from the slice before, by slice id; not of the first.
    settings : GraphSettings
        How far the stage was trusted in the end.
    links : tuple of SliceLink
        All links, with what of them was used.
    """

    slices: Mapping[int, SlicePlacement]
    step_sigma_px: Mapping[int, float]
    settings: GraphSettings
    links: tuple[SliceLink, ...]


def place_by_evidence(
    slices: Sequence[GraphSlice],
    links: Sequence[SliceLink],
    reference_id: int,
    settings: GraphSettings,
    given: Mapping[int, GivenPose] | None = None,
) -> Placements:
    """Solve the graph, and return a slice to the stage where the graph explains less.

    A slice's links are predicted twice: by the stage, and by the graph solved without the link in
    question. Where the stage predicts them better by more than their errors allow, the slice's
    links are dropped and the graph is solved again.

    Parameters
    ----------
    slices : sequence of GraphSlice
        Sorted by id.
    links : sequence of SliceLink
        Graded pairs between them; those that do not count only give reasons.
    reference_id : int
        Slice that stays where the stage has it.
    settings : GraphSettings
        Trust in the stage.
    given : mapping, optional
        Poses that somebody knows better, by slice id; such a slice keeps its links too.

    Returns
    -------
    Placements
    """
    given = given or {}
    if not settings.every_link:
        links = within_reach(slices, links, settings)
    settings = measured_trust(slices, links, settings, across=not settings.every_link)
    usable = [link for link in links if link.counts]
    solution = solve_graph(slices, usable, reference_id, settings, given)
    loops = solution.loops
    evidence = {one.slice_id: _weigh(one.slice_id, usable, loops, links) for one in slices}
    worse = {i for i, found in evidence.items() if _stage_is_better(found)} - given.keys()
    worse = set() if settings.every_link else worse
    if worse:
        usable = [link for link in usable if not worse & {link.fixed_id, link.moving_id}]
        solution = solve_graph(slices, usable, reference_id, settings, given)
    poses = solution.poses
    upright = stage_poses(slices)
    segments = [one.segment for one in slices]
    placed = {}
    for one in slices:
        i = one.slice_id
        own = [link for link in usable if i in (link.fixed_id, link.moving_id)]
        reliable = segments.count(one.segment) > 1 or len(slices) == 1
        move = np.subtract(poses[i].at_yx, upright[i].at_yx)
        source = "manual" if i in given else _source(i == reference_id, own, reliable)
        placed[i] = SlicePlacement(
            pose=poses[i],
            source=source,
            confidence=1.0 if i in given else _confidence(own),
            reasons=_reasons(i, links, worse, evidence[i], has_links=bool(own)),
            unused_links={
                link.name: link.refusal.code
                for link in links
                if link.refusal is not None and i in (link.fixed_id, link.moving_id)
            },
            skip=_skip(i, source, links, worse),
            evidence={
                **evidence[i],
                **({"note": given[i].note} if i in given else {}),
                "moved_from_stage_px": [round(float(value), 4) for value in move],
            },
        )
    return Placements(placed, solution.step_sigma_px, settings, tuple(links))


def _weigh(
    slice_id: int,
    usable: Sequence[SliceLink],
    loops: Sequence[LoopError],
    links: Sequence[SliceLink],
) -> dict[str, Any]:
    """Gather what speaks for the graph and what for the stage.

    Across a gap the graph without the link in question is the stage itself.
    """
    mine = [
        (link, loop)
        for link, loop in zip(usable, loops, strict=True)
        if slice_id in (link.fixed_id, link.moving_id)
        and loop.redundancy >= _MIN_REDUNDANCY
        and not link.distance_planes
    ]
    advantage = sum(
        (loop.by_stage_px**2 - loop.by_graph_px**2) / max(link.sigma_px, _LEAST_SIGMA_PX) ** 2
        for link, loop in mine
    )
    held_out = [
        link.held_out
        for link in links
        if slice_id in (link.fixed_id, link.moving_id) and not math.isnan(link.held_out[1])
    ]
    return {
        "loop_error_stage_px": _middle([loop.by_stage_px for _, loop in mine]),
        "loop_error_graph_px": _middle([loop.by_graph_px for _, loop in mine]),
        "loop_advantage": round(advantage, 2) if mine else None,
        "held_out_correlation_stage": _middle([stage for stage, _ in held_out]),
        "held_out_correlation_graph": _middle([graph for _, graph in held_out]),
    }


def _confidence(links: Sequence[SliceLink]) -> float:
    """Average, each link by its precision: one sure neighbour is enough to know the place."""
    if not links:
        return 0.0
    return fmean([link.confidence for link in links], [link.sigma_px**-2 for link in links])


def _middle(values: Sequence[float]) -> float | None:
    return round(median(values), 4) if values else None


def _stage_is_better(evidence: Mapping[str, Any]) -> bool:
    advantage = evidence["loop_advantage"]
    return advantage is not None and advantage < -_CLEAR


def _source(is_reference: bool, own: Sequence[SliceLink], reliable: bool) -> str:
    if is_reference:
        return "reference"
    if own:
        return "graph"
    return "stage" if reliable else "previous"


def _skip(
    slice_id: int, source: str, links: Sequence[SliceLink], worse: Collection[int]
) -> Skip | None:
    """Say by a code why a slice lies where the stage has it."""
    if source not in ("stage", "previous"):
        return None
    if any(link.failed for link in links if slice_id in (link.fixed_id, link.moving_id)):
        return Skip.STATUS_ERROR
    return Skip.STAGE_BETTER if slice_id in worse else Skip.MISSING


def _reasons(
    slice_id: int,
    links: Sequence[SliceLink],
    worse: Collection[int],
    evidence: Mapping[str, Any],
    *,
    has_links: bool,
) -> tuple[str, ...]:
    reasons = [
        f"link {link.name}: {link.reason}"
        for link in links
        if not link.counts and slice_id in (link.fixed_id, link.moving_id)
    ]
    if slice_id in worse:
        reasons.append(
            f"the stage predicts its links better ({evidence['loop_error_stage_px']} px) than the "
            f"graph ({evidence['loop_error_graph_px']} px)"
        )
    elif not has_links:
        reasons.append("no usable link to another slice")
    return tuple(reasons)


def to_aligned(
    placed: Mapping[int, SlicePlacement],
    frames: Mapping[int, SliceFrame],
    faces: Faces,
    plane_um: float,
) -> list[AlignedSlice]:
    """Combine lateral placements and depths into entries of ``alignment.json``."""
    return [
        AlignedSlice(
            slice_id=i,
            transform=replace(one.pose.transform),
            scale_yx=frames[i].scale_yx,
            z_plane=faces.depth_um[i] / plane_um,
            section=faces.sections.get(i),
            confidence=one.confidence,
            source=one.source,
            reasons=one.reasons,
            unused_links=one.unused_links,
            skip=one.skip,
            evidence=one.evidence,
        )
        for i, one in sorted(placed.items())
    ]
