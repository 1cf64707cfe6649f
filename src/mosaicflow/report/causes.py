"""What was noticed, grouped by cause, with what usually lies behind it and what to change."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import chain, repeat
from typing import TYPE_CHECKING

from mosaicflow.reasons import Concern
from mosaicflow.report.records import spelled_out, worst
from mosaicflow.report.verdict import listed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from mosaicflow.report.records import Measured, Metric

__all__ = ["Advice", "Finding", "by_severity", "findings"]


@dataclass(frozen=True, slots=True)
class Advice:
    """Likely cause of a symptom, and the switch to try.

    Parameters
    ----------
    cause : str
        What usually lies behind it.
    remedy : str
        What to look at or to change.
    """

    cause: str
    remedy: str


# By metric, or by the code of a sentence; the stage's page (docs/stages/STAGE.md) says more.
_ADVICE = {
    "bin_truncated": Advice(
        "a file that ends early: an interrupted copy or acquisition",
        "copy the file again; until then what is missing is 0",
    ),
    "blank_tile": Advice(
        "the light was off, or the file was written without an image",
        "look at the slice's preview; image or copy the tile again, or correct its file",
    ),
    "no_positions": Advice(
        "the files carry no stage positions",
        "tiles are placed by what they show; a tile table, or stitch_overlap_fraction, says more",
    ),
    "correlation": Advice(
        "one of the two slices is damaged, or they share little tissue",
        "look at both previews; set use to false in slice_config.csv",
    ),
    "registration_confidence": Advice(
        "the two slices look alike in too few places",
        "look at both previews; a larger graph_span bridges a bad slice",
    ),
    "rms_residual": Advice(
        "tiles are distorted, or a repeated texture misled links",
        "look at the link residuals; mosaicflow align puts right what lies wrong",
    ),
    "seam_ratio": Advice(
        "shading is left in the tiles, or tiles are misplaced",
        "look at flat_field_error and rms_residual; fix_illum_enabled: true",
    ),
    "lattice_shading": Advice(
        "the flat field does not fit this slice: light that changed, or too few tiles for it",
        "compare with fix_illum_enabled: false; image more tiles, or the slice again",
    ),
    "empty_fraction": Advice(
        "tiles are missing or blank", "look at the list of exclusions and at layout.png"
    ),
    "tissue_coverage": Advice(
        "the slice shows almost no tissue", "look at its preview; exclude it if it is empty"
    ),
    "below_display": Advice(
        "the dark level lies above dark tissue, or there is no gel",
        "normalize_enabled: false keeps the recorded values",
    ),
    "above_display": Advice(
        "very bright structures, or a slice brighter than the others",
        "values are stored as they are: widen the display; clip_percentile_upper",
    ),
    "std_background": Advice(
        "tissue or dirt was taken for gel", "look at the preview; normalize_enabled: false"
    ),
    "interface_min_depth": Advice(
        "the block face leaves the imaged depth at the top", "image with more water above it"
    ),
    "interface_max_depth_fraction": Advice(
        "the block face lies deep in the image", "move the focus down, or give surface"
    ),
    "flat_field_error": Advice(
        "too few tiles for a flat field, or light that changes from tile to tile",
        "more tiles; compare with fix_illum_enabled: false",
    ),
    "max_correction": Advice(
        "the stage is worse than it says, or a slice was matched wrongly",
        "look at the slice with the largest correction; stage_sigma_um, max_rotation_deg",
    ),
    "seam_correlation": Advice(
        "neighbouring slices do not continue each other",
        "check the slicing interval (slicing_interval_mm) and crop_depth_um",
    ),
    "seam_step": Advice(
        "brightness differs from slice to slice", "stack_overlap_z_gain: true; bleaching, lamp"
    ),
    "profile_sigma": Advice(
        "too little common tissue to tell light from specimen",
        "brightness along z is uncertain; cut thinner or image deeper",
    ),
    "loop_error_graph_px": Advice(
        "pairs of slices contradict each other", "look at the pairs with a low confidence"
    ),
    "gain_max": Advice(
        "a slice was imaged with far less light than the others",
        "look at the plot of brightness factors; check the lamp; its noise was raised alike",
    ),
    "gain_min": Advice(
        "a slice was imaged with far more light or noise than the others",
        "look at the plot of brightness factors, and at the slice's preview",
    ),
    "largest_step": Advice(
        "the stage was moved or lost its zero", "look at shifts_xy.csv; detect_rehoming: true"
    ),
    "max_step": Advice("the stage was moved or lost its zero", "look at rehoming_report.json"),
    "median_step": Advice(
        "the stage drifts from slice to slice, or its positions are in another unit",
        "look at shifts_xy.csv; detect_rehoming: true",
    ),
    "unreliable_shifts": Advice(
        "the files carry no stage positions", "slices are placed by their images alone"
    ),
    "unreliable_fraction": Advice(
        "the files carry no stage positions", "slices are placed by their images alone"
    ),
    "mean_intensity_change": Advice(
        "resampling changed the mean brightness", "report it: this should not happen"
    ),
    "min_slice_coverage": Advice(
        "a slice fills almost nothing of the volume", "look at its preview and its place"
    ),
    Concern.LOOSE_TILES: Advice(
        "gel, blank or missing tiles: these overlaps show nothing to compare",
        "look at the slice's preview; mosaicflow align puts right what lies wrong",
    ),
    Concern.OFF_PITCH: Advice(
        "the pixel size, or the steps of the stage, are declared wrong",
        "compare with the microscope's settings; mosaicflow inspect says what was taken",
    ),
}


_CONCERNS = frozenset(Concern)


@dataclass(frozen=True, slots=True)
class Finding:
    """One cause, however often it was met.

    Parameters
    ----------
    status : str
        ``warning``, ``error`` or ``note``.
    text : str
        The sentence or number, of the first that was met.
    stage : str
        Stage that noticed it; its page is ``docs/stages/STAGE.md``.
    where : str
        Slices or pairs concerned, and how many; empty for the whole run.
    advice : Advice or None
        Likely cause and switch, where they are known.
    count : int
        How often.
    """

    status: str
    text: str
    stage: str
    where: str
    advice: Advice | None
    count: int


@dataclass(frozen=True, slots=True)
class _Noticed:
    status: str
    text: str
    code: str
    key: str
    source: Measured
    is_number: bool = False


def findings(measured: Sequence[Measured], lost: Collection[int]) -> tuple[Finding, ...]:
    """Group what all stages noticed by its cause, the worst first.

    Parameters
    ----------
    measured : sequence of Measured
        All metrics files of a run.
    lost : collection of int
        Slices without image: what was noticed on them, and on pairs with them, are notes.

    Returns
    -------
    tuple of Finding
        Errors, warnings, notes; of each the most frequent first.
    """
    groups: dict[tuple[str, str], list[_Noticed]] = {}
    told = set()
    # Of two that say the same, the one that names the slice.
    ordered = sorted(measured, key=lambda one: one.slice_id is None)
    for one in (one for source in ordered for one in _noticed(source, lost)):
        if one.is_number or (one.text, one.source.pair) not in told:
            told.add((one.text, one.source.pair))
            kind = "note" if one.status == "note" else "counts"
            groups.setdefault((kind, one.key), []).append(one)
    return by_severity([_finding(group) for group in groups.values()])


def by_severity(found: Sequence[Finding]) -> tuple[Finding, ...]:
    """Order findings: errors, warnings, notes; of each the most frequent first."""
    order = {"error": 0, "warning": 1, "note": 2}
    return tuple(
        sorted(found, key=lambda one: (order[one.status], -one.count, one.stage, one.text))
    )


def _noticed(source: Measured, lost: Collection[int]) -> Iterator[_Noticed]:
    about = source.pair or (source.slice_id,)
    is_note = any(one in lost for one in about)
    for metric in source.metrics.values():
        if metric.status in ("warning", "error"):
            yield _Noticed(
                "note" if is_note else metric.status,
                _judged(metric),
                metric.name,
                metric.name,
                source,
                is_number=True,
            )
    named = (
        ("error", source.errors, source.codes.get("errors", ())),
        ("warning", source.warnings, source.codes.get("warnings", ())),
        ("note", source.notes, ()),
    )
    for status, sentences, codes in named:
        for sentence, given in zip(sentences, chain(codes, repeat("")), strict=False):
            code = given or _problem_in(sentence)
            # What is about a slice may have several reasons: all are said.
            key = _shape(sentence) if not code or code in _CONCERNS else code
            text = spelled_out(sentence)
            yield _Noticed("note" if is_note else status, text, code, key, source)


def _judged(metric: Metric) -> str:
    limit = metric.error_at if metric.status == "error" else metric.warning_at
    side = "below" if metric.direction == "high" else "above"
    value = "" if metric.number is None else f" {metric.number:.3g} {metric.unit}".rstrip()
    beyond = "" if limit is None else f", {side} {limit:.4g}"
    return f"{metric.name}{value}{beyond}: {metric.description}"


def _problem_in(sentence: str) -> str:
    """Find the code that a problem of the raw data ends with, in files that list no codes."""
    found = re.search(r"\[(\w+), \w+\]$", sentence)
    return found[1] if found else ""


def _shape(sentence: str) -> str:
    """Give a sentence without its numbers and names."""
    return re.sub(r"\S*\d[\w./-]*", "#", sentence)


def _finding(group: Sequence[_Noticed]) -> Finding:
    first = next(one for one in group if one.status == _worst([other.status for other in group]))
    return Finding(
        first.status,
        first.text,
        first.source.stage,
        _where(group),
        _ADVICE.get(first.code),
        len(group),
    )


def _worst(statuses: Sequence[str]) -> str:
    return "note" if set(statuses) == {"note"} else worst(statuses)


def _where(group: Sequence[_Noticed]) -> str:
    pairs = [one.source.pair for one in group if one.source.pair is not None]
    if pairs:
        names = ", ".join(f"{fixed}-{moving}" for fixed, moving in pairs[:6])
        more = f" and {len(pairs) - 6} more" if len(pairs) > 6 else ""
        return f"{len(pairs)} pair{'s' * (len(pairs) > 1)}: {names}{more}"
    ids = sorted({one.source.slice_id for one in group if one.source.slice_id is not None})
    return (
        f"{len(ids)} of the slices: {listed(ids)}" if len(ids) > 1 else listed(ids) if ids else ""
    )
