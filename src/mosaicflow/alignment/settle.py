"""Reading everything that speaks about where the slices go, and settling it."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow import names
from mosaicflow.alignment.align import Placements, place_by_evidence, to_aligned
from mosaicflow.alignment.given import slice_poses
from mosaicflow.alignment.graph import GraphSettings
from mosaicflow.alignment.links import (
    Link,
    LinkRules,
    grade_link,
    low_runs,
    mismatches,
    parse_link,
    unjoined,
    without_detours,
)
from mosaicflow.alignment.poses import GraphSlice
from mosaicflow.alignment.sections import DepthRules, solve_depths
from mosaicflow.alignment.solution import (
    AlignedSlice,
    Alignment,
    Gap,
    SliceFrame,
    fit_canvas,
    frame_of,
)
from mosaicflow.errors import InputError, QualityError
from mosaicflow.io.tables import read_csv, read_document, write_csv, write_document
from mosaicflow.ledger.census import (
    Failure,
    LeftOut,
    final_rows,
    merge_fragments,
    take_census,
)
from mosaicflow.ledger.overrides import Override, excluded_slices
from mosaicflow.ledger.proposal import CONFIG_COLUMNS
from mosaicflow.names import format_slice_id
from mosaicflow.reasons import Reason
from mosaicflow.slices.stored import SliceStore, open_slice
from mosaicflow.steps.table import ExcludedMode, StepTable, parse_steps, place_slices

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mosaicflow.io.report import StageReport

__all__ = [
    "AlignmentInputs",
    "AlignmentRules",
    "ExcludeRules",
    "StepRules",
    "align_slices",
    "write_alignment",
]

# A pitch this near to the one asked for is what resampling whole tiles gives.
_NEAR = 0.05
# Never leave out more than this share of the slices without being told to.
_MOST_EXCLUDED = 0.2
# Pairs of common tissue agree to a tenth of this.
_LOOP_ERROR_PX = 1.0
# Departure from the stage [um] that is worth a look: simulated stages that err by 12 um rms per
# axis give 60, by 30 um 130 (nine sets); a slice that lies 400 um beside its report gives 430. At
# twice this a tile's width would pass on small fields of view.
_CORRECTION_UM = 200.0


@dataclass(frozen=True, slots=True)
class StepRules:
    """What a stage step at an excluded slice counts."""

    mode: ExcludedMode
    window: int


@dataclass(frozen=True, slots=True)
class ExcludeRules:
    """When slices are left out because they match nothing."""

    enabled: bool
    consecutive: int
    correlation: float


@dataclass(frozen=True, slots=True)
class AlignmentRules:
    """Settings of the stage, grouped."""

    resolution_um: float
    skip_error: bool
    interval_um: float
    stage_sigma_um: float
    links: LinkRules
    steps: StepRules
    exclude: ExcludeRules
    expected_depths: bool
    strict: bool


@dataclass(frozen=True, slots=True)
class AlignmentInputs:
    """Everything read from disk.

    Parameters
    ----------
    steps : StepTable
        Stage steps.
    config : list of dict
        Ledger with the fragments merged in.
    slices : dict of int to SliceStore
        Geometry of the slices by id.
    transforms : sequence of tuple
        Name and content of every transform file.
    failures : list of Failure
        Slices that failed.
    pair_failures : list of str
        Sentences about pairs that failed.
    warnings : list of str
        What was odd.
    overrides : tuple of Override
        What somebody knows better.
    """

    steps: StepTable
    config: list[dict[str, str]]
    slices: dict[int, SliceStore]
    transforms: Sequence[tuple[str, Mapping[str, object]]]
    failures: list[Failure]
    pair_failures: list[str]
    warnings: list[str] = field(default_factory=list)
    overrides: tuple[Override, ...] = ()

    @classmethod
    def read(
        cls,
        shifts: Path,
        slice_config: Path,
        fragments: Sequence[Path],
        slices: Sequence[Path],
        transforms: Sequence[Path],
        failures: Sequence[Path],
    ) -> AlignmentInputs:
        """Open the slices and read all tables."""
        rows = read_csv(shifts, ["fixed_id", "moving_id", "x_shift_mm", "y_shift_mm"])
        steps = parse_steps(rows, shifts.name)
        stamps = [row for path in sorted(fragments) for row in read_csv(path, ["slice_id"])]
        stores: dict[int, SliceStore] = {}
        for path in sorted(slices, key=lambda path: path.name):
            store = open_slice(path)
            if store.slice_id in stores:
                raise InputError(
                    f"{path.name}: slice {store.slice_id} was given twice",
                    remedy="give one store per slice",
                )
            stores[store.slice_id] = store
        stamps += [_galvo_stamp(store) for store in stores.values()]
        config, warnings = merge_fragments(read_csv(slice_config, ["slice_id", "use"]), stamps)
        records = [(path.name, read_document(path)) for path in sorted(transforms)]
        of_slices, of_pairs = _read_failures(failures)
        ordered = dict(sorted(stores.items()))
        return cls(steps, config, ordered, records, of_slices, of_pairs, warnings)


def _galvo_stamp(store: SliceStore) -> dict[str, str]:
    """Give what create_mosaic_grid decided about the galvo; every later store carries it."""
    galvo = store.level.attrs.get("galvo", {})
    stamp = {"slice_id": str(store.slice_id)}
    if galvo.get("confidence") is not None:
        stamp |= {
            "galvo_confidence": f"{galvo['confidence']:.4g}",
            "galvo_fix": "true" if galvo["applied"] else "false",
        }
    return stamp


def _read_failures(paths: Sequence[Path]) -> tuple[list[Failure], list[str]]:
    of_slices, of_pairs = [], []
    for path in sorted(paths):
        record = read_document(path)
        stage, reason = str(record["stage"]), str(record["reason"])
        if stage == "register_pairwise":
            ids = "-".join(map(str, names.about(path.name)))
            of_pairs.append(f"pair {ids or record['slice_id']}: {reason}")
        else:
            of_slices.append(Failure(int(record["slice_id"]), stage, reason))
    return of_slices, of_pairs


def canvas_pitch(
    store: SliceStore, resolution_um: float, interval_um: float
) -> tuple[float, float, float]:
    """Choose the pitch of the canvas (z, y, x) [um].

    The pitch asked for, wherever the slices were resampled to it; an axis of another pitch keeps
    its own. Slices one plane deep lie one interval apart.
    """
    lateral = max(store.pitch_um[1:])
    if resolution_um > 0 and all(abs(p / resolution_um - 1) <= _NEAR for p in store.pitch_um[1:]):
        lateral = resolution_um
    depth = store.pitch_um[0]
    if store.shape[0] == 1:
        depth = interval_um
    elif resolution_um > 0 and abs(depth / resolution_um - 1) <= _NEAR:
        depth = resolution_um
    return depth, lateral, lateral


@dataclass(frozen=True, slots=True)
class Solved:
    """The alignment and what goes into the ledger."""

    alignment: Alignment
    config: list[dict[str, str]]


def _graded_links(inputs: AlignmentInputs, rules: AlignmentRules, canvas_um: float) -> list[Link]:
    records = [
        parse_link(record, name, canvas_um=canvas_um, skip_error=rules.skip_error)
        for name, record in inputs.transforms
    ]
    return [grade_link(record, rules.links) for record in records]


def align_slices(inputs: AlignmentInputs, rules: AlignmentRules, report: StageReport) -> Solved:
    """Settle who is used, where they go, and prove that nobody is lost.

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
    links = _graded_links(inputs, rules, pitch[1])
    by_images = _auto_exclude(census.used, links, rules.exclude, report)
    by_hand = sorted(excluded_slices(inputs.overrides) & set(census.used))
    dropped = by_images | dict.fromkeys(by_hand, Reason.BY_HAND)
    used = [i for i in census.used if i not in dropped]
    if not used:
        raise QualityError("overrides leave no slice to align", remedy="exclude fewer slices")
    links = [link for link in links if {link.fixed_id, link.moving_id} <= set(used)]
    if rules.links.preset != "aggressive":
        links = without_detours(links)
    placed, frames = _place(used, links, inputs, rules, pitch, report)
    links = list(placed.links)
    measured = [link for link in links if link.use != "none"]
    faces = solve_depths(used, measured, DepthRules(rules.expected_depths, rules.interval_um))
    reference = used[len(used) // 2]
    drawn = to_aligned(placed.slices, frames, faces, pitch[0])
    aligned, canvas = fit_canvas(drawn, frames, reference)
    n_planes = max(
        one.first_plane + _canvas_depth(inputs.slices[one.slice_id], pitch[0]) for one in aligned
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
        gaps=_gaps(aligned, inputs.slices, pitch[0], placed.step_sigma_px, links),
        depths="expected" if rules.expected_depths else "measured",
    )
    _check_counts(inputs, alignment)
    report.metric(
        "stage_sigma",
        placed.settings.stage_sigma_px * pitch[1],
        "um",
        "error of the stage, measured",
    )
    _report(report, alignment, links, [*inputs.warnings, *inputs.pair_failures, *census.warnings])
    by_images = {i: why for i, why in by_images.items() if i not in by_hand}
    config = final_rows(_ledger(inputs, used), left_out, by_images)
    return Solved(alignment, config)


def _ledger(inputs: AlignmentInputs, used: Sequence[int]) -> list[dict[str, str]]:
    """Rows of the ledger, with one for every slice that has none and is used all the same."""
    listed = {int(row["slice_id"]) for row in inputs.config}
    unlisted = [{"slice_id": format_slice_id(i), "use": "true"} for i in used if i not in listed]
    return [*inputs.config, *unlisted]


def _canvas_depth(store: SliceStore, plane_um: float) -> int:
    """Count whole canvas planes in a slice."""
    if store.shape[0] == 1:
        return 1
    return max(1, math.floor(store.shape[0] * store.pitch_um[0] / plane_um + 0.5))


def _place(
    used: Sequence[int],
    links: Sequence[Link],
    inputs: AlignmentInputs,
    rules: AlignmentRules,
    pitch: tuple[float, float, float],
    report: StageReport,
) -> tuple[Placements, dict[int, SliceFrame]]:
    """Sum the stage's steps and let the links correct them."""
    reference = used[len(used) // 2]
    signs = {inputs.slices[i].stage_sign for i in used}
    if len(signs) > 1:
        report.warn("the stage runs in different directions on different slices")
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
        report.warn(warning)
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
            report.warn(f"overrides: slice {i} did not arrive; its row does nothing")
        elif i not in used and i not in excluded_slices(inputs.overrides):
            report.warn(f"overrides: slice {i} is not used; its row does nothing")


def _auto_exclude(
    used: Sequence[int], links: Sequence[Link], rules: ExcludeRules, report: StageReport
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
        report.warn(f"slices {names} match nothing, but are too many to leave out: all are kept")
        return {}
    if any(used[0] < one < used[-1] for one in runs):
        report.error(f"slices {runs} inside the stack match nothing and were left out")
    return dict(sorted(found.items()))


def _gaps(
    aligned: Sequence[AlignedSlice],
    stores: Mapping[int, SliceStore],
    plane_um: float,
    sigma_px: Mapping[int, float],
    links: Sequence[Link],
) -> tuple[Gap, ...]:
    """Mark where planes are empty or no tissue that two slices show alike joins the stack."""
    apart = {moving for _, moving in unjoined(links, [one.slice_id for one in aligned])}
    ordered = sorted(aligned, key=lambda one: (one.z_plane, one.slice_id))
    covered, gaps = 0, []
    for number, one in enumerate(ordered):
        store, face = stores[one.slice_id], one.first_plane
        if number and (one.slice_id in apart or face > covered):
            above, section = ordered[number - 1], one.section
            gaps.append(
                Gap(
                    min(covered, face),
                    face,
                    above.slice_id,
                    one.slice_id,
                    sigma_px.get(one.slice_id),
                    None if section is None else section.sigma_um,
                )
            )
        filled = 1.0 if store.shape[0] == 1 else float(np.median(store.filled_planes()))
        planes = filled if store.shape[0] == 1 else filled * store.pitch_um[0] / plane_um
        covered = max(covered, face + max(1, math.floor(planes + 0.5)))
    return tuple(gaps)


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


def _report(
    report: StageReport, alignment: Alignment, links: Sequence[Link], warnings: Sequence[str]
) -> None:
    for text in warnings:
        report.warn(text)
    for one in alignment.left_out:
        report.warn(f"slice {one.slice_id} {one.status}: {one.reason}")
    sources = [one.source for one in alignment.slices]
    for name in ("graph", "manual", "stage", "previous"):
        report.metric(f"slices_by_{name}", sources.count(name), "", f"slices placed by {name}")
    report.metric("slices_placed", len(sources), "", "slices in the volume")
    report.metric("slices_left_out", len(alignment.left_out), "", "slices listed with a reason")
    _report_links(report, alignment, links)
    placed = alignment.slices
    angles = [one.transform.angle_deg for one in placed]
    report.metric("max_rotation", max(angles, key=abs), "deg", "largest rotation")
    moved = np.array([one.evidence["moved_from_stage_px"] for one in placed], np.float64)
    # Places are counted from one slice: where that is the one that lies apart, all others would.
    away = np.hypot(*(moved - np.median(moved, axis=0)).T)
    farthest = int(away.argmax())
    text = f"largest departure from the stage (slice {placed[farthest].slice_id})"
    limit = _CORRECTION_UM / alignment.pitch_um[1]
    report.metric("max_correction", float(away[farthest]), "px", text, warning=limit)
    drifts = [
        link.drift[0] / alignment.pitch_um[0] for link in links if math.isfinite(link.drift[1])
    ]
    if drifts:
        report.metric("z_offset_std", float(np.std(drifts)), "voxels", "spread of measured depths")
        report.metric("z_offset_range", float(np.ptp(drifts)), "voxels", "range of measured depths")
    empty = sum(gap.stop_plane - gap.first_plane for gap in alignment.gaps)
    report.metric("gap_planes", empty, "planes", "empty planes")
    sections = [one.section for one in alignment.slices if one.section is not None]
    measured = sum(one.source == "measured" for one in sections)
    report.metric("sections_measured", measured, "", "faces whose depth below the last is measured")
    report.metric("sections", len(sections), "", "faces below the first")


def _report_links(report: StageReport, alignment: Alignment, links: Sequence[Link]) -> None:
    """Say how far the pairs fix the slices, and where nothing does."""
    report.metric("links_used", sum(link.use == "full" for link in links), "", "pairs used in full")
    report.metric("links", len(links), "", "pairs registered")
    loose = unjoined(links, [one.slice_id for one in alignment.slices])
    text = "neighbours that no pair with common tissue joins"
    report.metric("unjoined_neighbours", len(loose), "", text)
    for gap in alignment.gaps:
        if gap.sigma_px is not None and (gap.fixed_id, gap.moving_id) in loose:
            deep = "" if gap.sigma_um is None else f" and {gap.sigma_um:.1f} um in depth"
            report.warn(
                f"slices {gap.fixed_id}-{gap.moving_id} are joined by no pair that shows the same "
                f"tissue: their places are known to {gap.sigma_px:.1f} px per axis{deep}"
            )
    used = [link.held_out for link in links if link.use == "full"]
    seen = [values for values in used if all(map(math.isfinite, values))]
    for row, how in ((0, "_stage"), (1, "")) if seen else ():
        text = "median over the pairs used, on parts not used for the fit"
        value = float(np.median([values[row] for values in seen]))
        report.metric(f"held_out_correlation{how}", value, "", text)
    text = "median distance by which links miss when predicted without themselves"
    for name, limit in (("loop_error_stage_px", None), ("loop_error_graph_px", _LOOP_ERROR_PX)):
        values = [one.evidence[name] for one in alignment.slices]
        known = [value for value in values if value is not None]
        if known:
            report.metric(name, float(np.median(known)), "px", text, warning=limit)


def write_alignment(result: Solved, inputs: AlignmentInputs, output_dir: Path) -> None:
    """Write ``alignment.json`` and ``slice_config_final.csv``."""
    output_dir.mkdir(parents=True, exist_ok=True)
    write_document(output_dir / names.ALIGNMENT.of(), result.alignment.to_json())
    known = dict.fromkeys(itertools.chain(CONFIG_COLUMNS, *result.config))
    write_csv(output_dir / names.FINAL_LEDGER.of(), list(known), result.config)
