"""Measured relations between two slices, and how far each may be trusted."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from mosaicflow.alignment.pair_record import PairRecord
from mosaicflow.groups import joined
from mosaicflow.reasons import Doubt, Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mosaicflow.alignment.island_point import IslandPoint

__all__ = [
    "LinkRules",
    "Preset",
    "SliceLink",
    "grade_link",
    "link_of",
    "low_runs",
    "mismatches",
    "parse_link",
    "shared_tissue",
    "sides_of",
    "unjoined",
    "without_detours",
]

YX = tuple[float, float]
Preset = Literal["conservative", "standard", "aggressive", "minimal"]

# No registration is surer than this, whatever a record says [px, deg].
_LEAST_SIGMA = 0.01, 0.001
# Standard errors by which a pair must beat the stage where nothing less is asked for: chance does
# so once in 700 pairs.
_PROVEN = 3.0
# Of the pairs that bridge one gap, those across this much more unseen tissue only add errors: such
# a pair was 24 px off at a sigma of 3.8.
_DETOUR = 1.25


@dataclass(frozen=True, slots=True)
class SliceLink:
    """One registered pair, in pixels of the canvas pitch.

    Parameters
    ----------
    fixed_id, moving_id : int
        The slices; the moving one lies deeper.
    angle_deg : float
        Pull rotation: the moving slice's angle plus this is the fixed slice's angle.
    fixed_yx, moving_yx : tuple of float
        One point of the tissue in the frame of either slice.
    sigma_px, sigma_deg : float
        Standard errors.
    confidence, correlation : float
        As registration judged it.
    held_out : tuple of float
        Correlation on parts not used for the fit: by the stage, by registration.
    advantage : float
        How far registration beats the stage on those parts [standard errors]; NaN if unknown.
    drift : tuple of float
        Depth beyond the expected one and its standard error [um].
    distance_planes : float
        Tissue between the planes that were compared; 0 when both slices show the same tissue.
    refusal : Refusal or None
        Why it does not count; None where it does: its shift and its rotation then each by their own
        standard error.
    islands : tuple of IslandPoint
        Where each island of one of the slices lies on the other.
    """

    fixed_id: int
    moving_id: int
    angle_deg: float
    fixed_yx: YX
    moving_yx: YX
    sigma_px: float
    sigma_deg: float
    confidence: float
    correlation: float
    held_out: YX
    drift: YX
    advantage: float = math.nan
    distance_planes: float = 0.0
    refusal: Refusal | None = None
    islands: tuple[IslandPoint, ...] = ()

    @property
    def name(self) -> str:
        """The pair as people write it."""
        return f"{self.fixed_id}-{self.moving_id}"

    @property
    def counts(self) -> bool:
        """Whether nothing speaks against it."""
        return self.refusal is None

    @property
    def failed(self) -> bool:
        """Whether registration itself gave up."""
        return self.refusal is not None and self.refusal.code.is_of_registration

    @property
    def reason(self) -> str:
        """Why it does not count, for people; empty where it does."""
        if self.refusal is None:
            return ""
        return f"status_error: {self.refusal.sentence}" if self.failed else self.refusal.sentence

    @property
    def is_put_off(self) -> bool:
        """Whether its slices were not compared, or in vain, as others join them."""
        return self.refusal is not None and self.refusal.code == Doubt.DETOUR

    def judged(self, refusal: Refusal | None) -> SliceLink:
        """Let it count no more, where there is a reason."""
        return self if refusal is None else replace(self, refusal=refusal)


@dataclass(frozen=True, slots=True)
class LinkRules:
    """Which links count.

    Parameters
    ----------
    max_rotation_deg : float
        A larger rotation is wrong.
    min_correlation : float
        A lower correlation is not used; 0 switches this off.
    preset : {'conservative', 'standard', 'aggressive', 'minimal'}
        How much a pair must prove to count against the stage: that it beats it by three standard
        errors on parts it has not seen; no more than the limits above; nothing; or none counts.
    """

    max_rotation_deg: float = 5.0
    min_correlation: float = 0.0
    preset: Preset = "standard"


def parse_link(
    record: Mapping[str, Any], where: str, *, canvas_um: float, skip_error: bool = True
) -> SliceLink:
    """Read a transform file written by `register_pairwise`, or by hand.

    Parameters
    ----------
    record : mapping
        Content of ``zII_zJJ_transform.json``. Beyond angle, centre, translation, ids and pitch
        everything is optional, so that a person can write one.
    where : str
        Its name, for messages.
    canvas_um, skip_error
        As of `link_of`.

    Raises
    ------
    FormatError
        When a needed entry is missing.
    """
    return link_of(PairRecord.from_json(record, where), canvas_um=canvas_um, skip_error=skip_error)


def link_of(pair: PairRecord, *, canvas_um: float, skip_error: bool = True) -> SliceLink:
    """Express what was measured of a pair in pixels of the canvas.

    Parameters
    ----------
    pair : PairRecord
        Content of ``zII_zJJ_transform.json``.
    canvas_um : float
        Pitch of the canvas.
    skip_error : bool
        False takes the motion that registration found and turned down, where there is one.

    Returns
    -------
    SliceLink
        It does not count where registration failed.
    """
    pair = pair if skip_error else pair.with_rejected()
    pitch, motion, numbers = pair.pitch_um, pair.transform, pair.numbers
    scale = pitch[1] / canvas_um, pitch[2] / canvas_um
    there = motion.apply(motion.center_yx) - pair.stage_offset_yx
    islands = tuple(one.scaled(scale) for one in pair.islands)
    sigma_px = max(numbers.sigma_px, _LEAST_SIGMA[0]) * scale[0]
    return SliceLink(
        fixed_id=pair.fixed_id,
        moving_id=pair.moving_id,
        angle_deg=motion.angle_deg,
        fixed_yx=_scaled(motion.center_yx, scale),
        moving_yx=_scaled((float(there[0]), float(there[1])), scale),
        sigma_px=sigma_px,
        sigma_deg=max(numbers.sigma_deg, _LEAST_SIGMA[1]),
        confidence=numbers.confidence,
        correlation=numbers.correlation,
        held_out=(numbers.held_out_stage, numbers.held_out_refined),
        drift=(numbers.z_drift_planes * pitch[0], numbers.z_sigma_planes * pitch[0]),
        advantage=numbers.held_out_advantage,
        distance_planes=numbers.distance_planes,
        refusal=pair.failure,
        islands=islands,
    )


def _scaled(point: YX, scale: YX) -> YX:
    y, x = ((value + 0.5) * factor - 0.5 for value, factor in zip(point, scale, strict=True))
    return y, x


def grade_link(link: SliceLink, rules: LinkRules) -> SliceLink:
    """Decide whether a link may be used, and say why not.

    Returns
    -------
    SliceLink
        A copy with its `refusal` set.
    """
    return link.judged(_objection(link, rules)) if link.counts else link


def _objection(link: SliceLink, rules: LinkRules) -> Refusal | None:
    if rules.preset == "minimal":
        return Refusal.of(Doubt.STAGE_ALONE)
    if rules.preset == "aggressive":
        return None
    if rules.preset == "conservative" and not link.advantage >= _PROVEN:
        shown = "unknown" if math.isnan(link.advantage) else f"{link.advantage:.1f} sigma"
        return Refusal.of(Doubt.UNPROVEN, shown, _PROVEN)
    if abs(link.angle_deg) > rules.max_rotation_deg:
        return Refusal.of(Doubt.TURNED, link.angle_deg)
    if rules.min_correlation > 0 and not link.correlation >= rules.min_correlation:
        return Refusal.of(Doubt.UNLIKE, link.correlation)
    return None


def without_detours(links: Sequence[SliceLink]) -> list[SliceLink]:
    """Of the links across unseen tissue keep the nearest, and only where nothing else joins.

    Two faces of different tissue resemble each other in outline only, the less the further they
    lie apart.

    Parameters
    ----------
    links : sequence of SliceLink
        Graded links.

    Returns
    -------
    list of SliceLink
        All of them, with `refusal` set.
    """
    group = shared_tissue(links)
    nearest: dict[tuple[int, int], float] = {}
    for link in links:
        if link.counts and link.distance_planes:
            sides = sides_of(link, group)
            nearest[sides] = min(nearest.get(sides, math.inf), link.distance_planes)

    def objection(link: SliceLink) -> Refusal | None:
        if not link.counts or not link.distance_planes:
            return None
        sides = sides_of(link, group)
        if sides[0] == sides[1]:
            return Refusal.of(Doubt.DETOUR)
        is_farther = link.distance_planes > _DETOUR * nearest[sides]
        return Refusal.of(Doubt.FARTHER) if is_farther else None

    return [link.judged(objection(link)) for link in links]


def sides_of(link: SliceLink, group: Mapping[int, int]) -> tuple[int, int]:
    """Name what a link joins, by the groups of `shared_tissue`.

    A slice that no shared tissue joins to another is a side of its own.
    """
    one, other = (group.get(i, -1 - i) for i in (link.fixed_id, link.moving_id))
    return min(one, other), max(one, other)


def unjoined(links: Sequence[SliceLink], ids: Sequence[int]) -> list[tuple[int, int]]:
    """Find neighbours whose relative position no common tissue fixes.

    Parameters
    ----------
    links : sequence of SliceLink
        Graded links.
    ids : sequence of int
        Slices in use, sorted.

    Returns
    -------
    list of tuple
        Pairs of consecutive slices that no chain of links between shared tissue joins: only the
        stage and the likeness of different tissue say how they lie on each other.
    """
    group = shared_tissue(links)
    return [
        (one, other)
        for one, other in itertools.pairwise(ids)
        if group.get(one, -1) != group.get(other, -2)
    ]


def shared_tissue(links: Sequence[SliceLink]) -> dict[int, int]:
    """Group the slices that links between shared tissue join; slice -> its group."""
    shared = (link for link in links if link.counts and not link.distance_planes)
    return joined((link.fixed_id, link.moving_id) for link in shared)


def low_runs(
    links: Sequence[SliceLink], ids: Sequence[int], *, min_correlation: float, length: int
) -> list[int]:
    """Find slices that match none of their neighbours, in runs of consecutive bad pairs.

    Parameters
    ----------
    links : sequence of SliceLink
        All registered pairs.
    ids : sequence of int
        Slices in use, sorted.
    min_correlation : float
        A pair below this is bad.
    length : int
        Number of bad pairs in a row that make a run.

    Returns
    -------
    list of int
        Moving slices of the runs, but for those that match some other slice: a good slice is not
        lost to a bad neighbour.
    """
    best: dict[int, float] = dict.fromkeys(ids, -1.0)
    pair: dict[tuple[int, int], float] = {}
    for link in links:
        value = link.correlation if math.isfinite(link.correlation) else 1.0
        pair[link.fixed_id, link.moving_id] = value
        for one in (link.fixed_id, link.moving_id):
            best[one] = max(best.get(one, -1.0), value)
    found: list[int] = []
    run: list[int] = []
    for fixed, moving in [*itertools.pairwise(ids), (-1, -1)]:
        if pair.get((fixed, moving), 1.0) < min_correlation:
            run.append(moving)
            continue
        if len(run) >= length:
            found += [one for one in run if best[one] < min_correlation]
        run = []
    return found


def mismatches(
    links: Sequence[SliceLink], ids: Sequence[int], *, min_correlation: float
) -> list[int]:
    """Find slices that match nothing although the slices around them match each other.

    Parameters
    ----------
    links : sequence of SliceLink
        All registered pairs.
    ids : sequence of int
        Slices in use, sorted.
    min_correlation : float
        A pair below this is bad.

    Returns
    -------
    list of int
        Slices with two bad pairs or more, no good one, and a good pair that reaches across them:
        the tissue is there, so it is their image that is wrong.
    """
    known = [link for link in links if math.isfinite(link.correlation)]
    good = [link for link in known if link.correlation >= min_correlation]
    found = []
    for one in ids:
        own = [link for link in known if one in (link.fixed_id, link.moving_id)]
        bad = [link for link in own if link.correlation < min_correlation]
        spanned = any(link.fixed_id < one < link.moving_id for link in good)
        if len(bad) >= 2 and len(bad) == len(own) and spanned:
            found.append(one)
    return found
