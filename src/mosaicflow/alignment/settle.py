"""Settling which slices are used, where each goes, and that none is lost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mosaicflow import names
from mosaicflow.alignment.align import Placements, place_by_evidence, to_aligned
from mosaicflow.alignment.canvas import canvas_depth, canvas_pitch, find_gaps
from mosaicflow.alignment.given import slice_poses
from mosaicflow.alignment.graph import GraphSettings
from mosaicflow.alignment.links import (
    SliceLink,
    grade_link,
    link_of,
    low_runs,
    mismatches,
    without_detours,
)
from mosaicflow.alignment.metrics import report_alignment
from mosaicflow.alignment.moves import as_sure_as_islands, island_moves
from mosaicflow.alignment.pair_record import PairRecord
from mosaicflow.alignment.poses import GraphSlice
from mosaicflow.alignment.put_off import compare_put_off
from mosaicflow.alignment.sections import DepthRules, solve_depths
from mosaicflow.alignment.solution import (
    AlignedSlice,
    Alignment,
    SliceFrame,
    fit_canvas,
    frame_of,
)
from mosaicflow.errors import QualityError
from mosaicflow.io.ledger_rows import LedgerRow, write_rows
from mosaicflow.io.tables import write_document
from mosaicflow.ledger.census import (
    LeftOut,
    final_rows,
    take_census,
)
from mosaicflow.ledger.overrides import excluded_slices
from mosaicflow.reasons import Concern, Reason
from mosaicflow.steps.table import place_slices

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from mosaicflow.alignment.inputs import AlignmentInputs
    from mosaicflow.alignment.rules import AlignmentRules, ExcludeRules
    from mosaicflow.io.report import StageReport
    from mosaicflow.ledger.census import Census

    Compare = Callable[[int, int], PairRecord]

__all__ = ["align_slices", "write_alignment"]

# Never leave out more than this share of the slices without being told to.
_MOST_EXCLUDED = 0.2


@dataclass(frozen=True, slots=True)
class Solved:
    """The alignment and what goes into the ledger."""

    alignment: Alignment
    config: list[LedgerRow]


class _Links:
    """All pairs of a run; those that were put off are compared when they are asked for."""

    def __init__(
        self, inputs: AlignmentInputs, rules: AlignmentRules, canvas_um: float, compare: Compare
    ) -> None:
        self._rules, self._canvas_um, self._compare = rules, canvas_um, compare
        self.islands = {
            i: one.islands.count for i, one in inputs.slices.items() if one.islands is not None
        }
        records = [PairRecord.from_json(record, name) for name, record in inputs.transforms]
        self._links = [self._graded(record) for record in records]
        self.compared: list[PairRecord] = []

    def _graded(self, record: PairRecord) -> SliceLink:
        """Say how far a pair counts."""
        rules = self._rules
        link = link_of(record, canvas_um=self._canvas_um, skip_error=rules.skip_error)
        return as_sure_as_islands(grade_link(link, rules.links), self.islands)

    def between(self, used: Sequence[int]) -> list[SliceLink]:
        """Give the pairs of some slices, compared where nothing else joins them."""
        exclude = self._rules.exclude
        least = exclude.correlation if exclude.enabled else -1.0
        self._links = compare_put_off(self._links, used, self._rules.links, least, self._look)
        ids = frozenset(used)
        return [link for link in self._links if {link.fixed_id, link.moving_id} <= ids]

    def _look(self, fixed_id: int, moving_id: int) -> SliceLink:
        record = self._compare(fixed_id, moving_id)
        self.compared.append(record)
        return self._graded(record)


def align_slices(
    inputs: AlignmentInputs, rules: AlignmentRules, compare: Compare, report: StageReport
) -> Solved:
    """Settle who is used, where they go, and prove that nobody is lost.

    Parameters
    ----------
    inputs : AlignmentInputs
        Everything read from disk.
    rules : AlignmentRules
        Settings of the stage.
    compare : callable
        Takes the ids of two slices that were not compared yet, and says how they lie.
    report : StageReport
        Takes metrics and warnings.

    Raises
    ------
    QualityError
        When no slice is left.
    """
    census = take_census(inputs.config, inputs.slices, inputs.failures, strict=rules.strict)
    if not census.used:
        raise QualityError(
            "no slice is left to align", remedy="see the failure records and slice_config.csv"
        )
    pitch = canvas_pitch(inputs.slices[census.used[0]], rules.resolution_um, rules.interval_um)
    pairs = _Links(inputs, rules, pitch[1], compare)
    by_images = _auto_exclude(census.used, pairs.between(census.used), rules.exclude, report)
    notes = excluded_slices(inputs.overrides)
    by_hand = sorted(notes.keys() & set(census.used))
    why_by_hand = {i: ": ".join(filter(None, (Reason.BY_HAND, notes[i]))) for i in by_hand}
    dropped = by_images | why_by_hand
    used = [i for i in census.used if i not in dropped]
    if not used:
        raise QualityError("overrides leave no slice to align", remedy="exclude fewer slices")
    links = pairs.between(used)
    if rules.links.preset != "aggressive":
        links = without_detours(links)
    placed, frames = _place(used, links, inputs, rules, pitch, report)
    links = list(placed.links)
    measured = [link for link in links if link.counts]
    depths = DepthRules(rules.expected_depths, rules.interval_um, pitch[0])
    faces = solve_depths(used, measured, depths)
    reference = used[len(used) // 2]
    drawn = to_aligned(placed.slices, frames, faces, pitch[0])
    drawn = _with_islands_moved(drawn, measured, pairs.islands)
    aligned, canvas = fit_canvas(drawn, frames, reference)
    n_planes = max(
        one.first_plane + canvas_depth(inputs.slices[one.slice_id], pitch[0]) for one in aligned
    )
    left_out = [*census.left_out, *(LeftOut(i, "excluded", why) for i, why in dropped.items())]
    _warn_of_unused(inputs, used, report)
    alignment = Alignment(
        reference_id=reference,
        pitch_um=pitch,
        canvas_yx=canvas,
        n_planes=n_planes,
        interval_planes=rules.interval_um / pitch[0],
        slices=aligned,
        left_out=tuple(sorted(left_out, key=lambda one: one.slice_id)),
        gaps=find_gaps(aligned, inputs.slices, pitch[0], placed.step_sigma_px, links),
        depths="expected" if rules.expected_depths else "measured",
        bridges=tuple(record.to_json() for record in pairs.compared),
    )
    _check_counts(inputs, alignment)
    _tell(report, alignment, placed, (inputs, census))
    by_images = {i: why for i, why in by_images.items() if i not in by_hand}
    config = final_rows(_ledger(inputs, used), left_out, by_images)
    return Solved(alignment, config)


def _with_islands_moved(
    slices: Sequence[AlignedSlice], links: Sequence[SliceLink], counts: Mapping[int, int]
) -> list[AlignedSlice]:
    poses = {one.slice_id: one.transform for one in slices}
    moves = island_moves(poses, links, counts)
    return [replace(one, island_moves_yx=moves.get(one.slice_id, ())) for one in slices]


def _tell(
    report: StageReport,
    alignment: Alignment,
    placed: Placements,
    told: tuple[AlignmentInputs, Census],
) -> None:
    """Report what came out, and what was odd on the way."""
    inputs, census = told
    sigma_um = placed.settings.stage_sigma_px * alignment.pitch_um[1]
    report.metric("stage_sigma", sigma_um)
    for text in inputs.warnings:
        report.warn(text, Concern.LEDGER)
    for text in inputs.pair_failures:
        report.warn(text, Concern.PAIR_FAILED)
    for text in census.warnings:
        report.warn(text, Concern.LEDGER)
    report_alignment(report, alignment, list(placed.links))


def _ledger(inputs: AlignmentInputs, used: Sequence[int]) -> list[LedgerRow]:
    """Rows of the ledger, with one for every slice that has none and is used all the same."""
    listed = {row.slice_id for row in inputs.config}
    return [*inputs.config, *(LedgerRow.of(i, use=True) for i in used if i not in listed)]


def _place(
    used: Sequence[int],
    links: Sequence[SliceLink],
    inputs: AlignmentInputs,
    rules: AlignmentRules,
    pitch: tuple[float, float, float],
    report: StageReport,
) -> tuple[Placements, dict[int, SliceFrame]]:
    """Sum the stage's steps and let the links correct them."""
    reference = used[len(used) // 2]
    signs = {inputs.slices[i].stage_sign for i in used}
    if len(signs) > 1:
        report.warn(
            "the stage runs in different directions on different slices", Concern.TURNED_STAGE
        )
    # Slices that failed or were excluded before leave no store behind, but their steps stay.
    known = {i for step in inputs.steps.steps for i in (step.fixed_id, step.moving_id)}
    stage = place_slices(
        inputs.steps,
        used,
        reference,
        sign_yx=inputs.slices[reference].stage_sign,
        excluded=known - set(used),
        excluded_mode=rules.steps.mode,
        window=rules.steps.window,
        strict=rules.strict,
    )
    for warning in (*inputs.steps.warnings, *stage.warnings):
        report.warn(warning, Concern.STEPS)
    frames, graph = {}, []
    for i in used:
        store = inputs.slices[i]
        frames[i] = frame_of(store.shape, store.pitch_um, pitch[1])
        corner = (
            1000 * (position + origin) / pitch[1]
            for position, origin in zip(stage.position_mm[i], store.origin_mm, strict=True)
        )
        y, x = (place + middle for place, middle in zip(corner, frames[i].center_yx, strict=True))
        graph.append(GraphSlice(i, frames[i].center_yx, (y, x), stage.segment[i]))
    settings = GraphSettings(
        stage_sigma_px=rules.stage_sigma_um / pitch[1],
        every_link=rules.links.preset == "aggressive",
    )
    # Rows count in px of the working pitch, which is the canvas's.
    given = {i: pose for i, pose in slice_poses(inputs.overrides).items() if i in frames}
    return place_by_evidence(graph, links, reference, settings, given), frames


def _warn_of_unused(inputs: AlignmentInputs, used: Sequence[int], report: StageReport) -> None:
    """Name the rows of overrides that have nothing to act on."""
    arrived = set(inputs.slices)
    for i in sorted({row.slice_id for row in inputs.overrides if row.kind == "slice"}):
        if i not in arrived:
            report.warn(
                f"overrides: slice {i} did not arrive; its row does nothing", Concern.IDLE_OVERRIDE
            )
        elif i not in used and i not in excluded_slices(inputs.overrides):
            report.warn(
                f"overrides: slice {i} is not used; its row does nothing", Concern.IDLE_OVERRIDE
            )


def _auto_exclude(
    used: Sequence[int], links: Sequence[SliceLink], rules: ExcludeRules, report: StageReport
) -> dict[int, str]:
    """Choose the slices to leave out because they match nothing; never too many."""
    if not rules.enabled:
        return {}
    runs = low_runs(links, used, min_correlation=rules.correlation, length=rules.consecutive)
    lone = mismatches(links, used, min_correlation=rules.correlation)
    found = {
        **dict.fromkeys(lone, Reason.LONE),
        **dict.fromkeys(runs, Reason.WEAK_RUN),
    }
    if len(found) > _MOST_EXCLUDED * len(used):
        names = ", ".join(str(i) for i in sorted(found))
        report.warn(
            f"slices {names} match nothing, but are too many to leave out: all are kept",
            Concern.UNLIKE_KEPT,
        )
        return {}
    if any(used[0] < one < used[-1] for one in runs):
        report.error(
            f"slices {runs} inside the stack match nothing and were left out",
            Concern.UNLIKE_LEFT_OUT,
        )
    return dict(sorted(found.items()))


def _check_counts(inputs: AlignmentInputs, alignment: Alignment) -> None:
    arrived = set(inputs.slices) | {failure.slice_id for failure in inputs.failures}
    placed = [one.slice_id for one in alignment.slices]
    listed = [one.slice_id for one in alignment.left_out]
    out = [*placed, *listed]
    if len(set(out)) != len(out) or not arrived <= set(out):
        raise QualityError(
            f"{len(arrived)} slices arrived, {len(placed)} were placed and {len(listed)} listed "
            f"as left out: lost {sorted(arrived - set(out))}",
            remedy="report this as a bug",
        )


def write_alignment(result: Solved, inputs: AlignmentInputs, output_dir: Path) -> None:
    """Write ``alignment.json`` and ``slice_config_final.csv``."""
    output_dir.mkdir(parents=True, exist_ok=True)
    write_document(output_dir / names.ALIGNMENT.of(), result.alignment.to_json())
    write_rows(output_dir / names.FINAL_LEDGER.of(), result.config)
