"""The parameters that an acquisition asks for, as the text of a ``params.yml``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from mosaicflow.io.tables import SCHEMA

if TYPE_CHECKING:
    from mosaicflow.acquisition.discover import Acquisition
    from mosaicflow.acquisition.tiles import SliceTiles

__all__ = ["Suggestion", "suggested_parameters"]

# Working pitch and finest level without a setting [um].
_USUAL_UM = 10.0
# Slices that a pair spans at most without a setting, and the longest step of the stage from slice
# to slice that is not looked at as a jump [mm].
_SPAN, _STEP_MM = 3, 0.5
# Levels of the volume, each about twice as coarse as the one before [um].
_LEVELS_UM = (25, 50, 100)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One line of a parameters file.

    Parameters
    ----------
    name, value : str
        The parameter, and its value as YAML.
    reason : str
        Why, in one line.
    is_known : bool
        False where only somebody who was there can say: the line is then a comment.
    """

    name: str
    value: str
    reason: str
    is_known: bool = True

    def lines(self) -> str:
        """Write it with its reason above."""
        mark = "" if self.is_known else "# "
        return f"# {self.reason}\n{mark}{self.name}: {self.value}\n"


def suggested_parameters(found: Acquisition) -> str:
    """Write the parameters that differ from the defaults for these data, with reasons.

    Parameters
    ----------
    found : Acquisition
        What the raw folder holds.

    Returns
    -------
    str
        YAML; a line that begins with # has to be filled in by somebody who knows.
    """
    whole = [one for one in found.slices if not one.failure]
    lines = [one.lines() for one in _suggestions(whole)] if whole else []
    head = (
        f"# For {found.root_name}: {len(whole)} slices that can be used."
        " Lines that begin with # are for you to decide.\n"
        f"schema: {SCHEMA}\n"
    )
    return "\n".join([head, *(lines or ["# Nothing: the defaults suit these data.\n"])])


def _suggestions(slices: list[SliceTiles]) -> list[Suggestion]:
    first = slices[0]
    return [
        *_depth(first), *_sections(slices), *_gaps(slices), *_steps(slices),
        *_pitch(first), *_overlap(first),
    ]  # fmt: skip


def _depth(first: SliceTiles) -> list[Suggestion]:
    if first.tile_shape[0] == 1 or not first.depth_spacing.startswith("not given"):
        return []
    reason = f"no file says the depth spacing; a run takes {first.pitch_um[0]:g} um"
    return [Suggestion("axial_resolution_um", f"{first.pitch_um[0]:g}", reason, is_known=False)]


def _sections(slices: list[SliceTiles]) -> list[Suggestion]:
    if len(slices) < 2:
        return []
    deep = slices[0].tile_shape[0] * slices[0].pitch_um[0]
    reason = (
        f"no file says how thick a section is; a run takes 0.2 mm, and {deep / 1000:.3g} mm are"
        " imaged in depth"
    )
    return [Suggestion("slicing_interval_mm", "0.2", reason, is_known=False)]


def _gaps(slices: list[SliceTiles]) -> list[Suggestion]:
    """Say how far pairs have to reach where several slices in a row are absent."""
    ids = [one.slice_id for one in slices]
    span, last = max(((b - a, a) for a, b in pairwise(ids)), default=(1, 0))
    if span <= _SPAN:
        return []
    reason = (
        f"no slice {last + 1} to {last + span - 1}: only pairs that reach {span} slices join what"
        " lies above and below"
    )
    return [Suggestion("graph_span", str(span), reason)]


def _steps(slices: list[SliceTiles]) -> list[Suggestion]:
    """Say where the stage steps farther from slice to slice than the search for jumps allows."""
    steps = [
        math.dist(a.stage.min_mm, b.stage.min_mm)
        for a, b in pairwise(slices)
        if a.positions == b.positions == "stage" and a.grid_shape == b.grid_shape
    ]
    if not steps or (usual := median(steps)) <= _STEP_MM:
        return []
    reason = (
        f"the stage steps by {usual:.2f} mm from slice to slice (median): beyond"
        f" {_STEP_MM:g} mm a step is looked at as a jump"
    )
    return [Suggestion("rehoming_max_shift_mm", f"{2 * usual:.2g}", reason, is_known=False)]


def _pitch(first: SliceTiles) -> list[Suggestion]:
    """Say where tiles are coarser than the usual working pitch, or much finer."""
    finest, coarsest = min(first.pitch_um[1:]), max(first.pitch_um[1:])
    levels = ", ".join(f"{one:g}" for one in (coarsest, *_LEVELS_UM) if one >= coarsest)
    if finest > _USUAL_UM:
        reason = f"tiles have {finest:g} um per pixel: nothing finer can be had from them"
        return [
            Suggestion("resolution_um", "-1", reason),
            Suggestion("pyramid_resolutions", f"[{levels}]", "levels that such tiles can fill"),
        ]
    if 2 * coarsest > _USUAL_UM:
        return []
    times = (_USUAL_UM / coarsest) ** 2
    reason = (
        f"tiles have {coarsest:g} um per pixel; a run works at {_USUAL_UM:g} um. At the native"
        f" pitch a plane has {times:.0f} times as many pixels"
    )
    return [Suggestion("resolution_um", "-1", reason, is_known=False)]


def _overlap(first: SliceTiles) -> list[Suggestion]:
    if first.positions != "nominal" or max(first.grid_shape) == 1:
        return []
    reason = "no file says where tiles lie: their overlap is what you tell (share of a tile)"
    value = f"{first.overlap_fraction:g}"
    return [Suggestion("stitch_overlap_fraction", value, reason, is_known=False)]
