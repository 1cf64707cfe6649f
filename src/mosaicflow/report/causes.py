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
    Concern.NO_NUMBER: Advice(
        "there was nothing to measure it on", "report it with the metrics folder"
    ),
    Concern.UNREPORTED_TILES: Advice(
        "the files carry no stage positions",
        "tiles are placed by what they show; a tile table, or stitch_overlap_fraction, says more",
    ),
    Concern.NO_CONTRAST: Advice(
        "every tile is empty or saturated", "look at the previews; check lamp and exposure"
    ),
    Concern.REPEATED_TILES: Advice(
        "the camera stood still, or a slice was copied under a second name",
        "compare the files of these slices; set use to false for one that is none",
    ),
    Concern.NO_SHADING: Advice(
        "the light is even, or there are too few tiles to tell",
        "compare with fix_illum_enabled: false; image more tiles",
    ),
    Concern.OTHER_TILES: Advice(
        "the table was made of another acquisition", "leave it out, or make it of these tiles"
    ),
    Concern.NOT_TAKEN: Advice(
        "that run lost the slice", "look at that run's report; place this slice by its images"
    ),
    Concern.THIN: Advice(
        "the slice is too few planes deep for this stage", "nothing, where so few were imaged"
    ),
    Concern.NO_BEAM_PROFILE: Advice(
        "little gel beside the tissue, or its light is no profile of depth",
        "image more gel; compensate_psf_enabled: false",
    ),
    Concern.NO_WATER: Advice(
        "the block face lies above the imaged depth, or nothing was imaged below it",
        "image with more water above it, or give surface",
    ),
    Concern.SHALLOW: Advice(
        "the face is tilted, or lies deep in the image", "lower crop_depth_um, or image deeper"
    ),
    Concern.STEPS: Advice(
        "steps between slices are missing or contradict each other", "look at shifts_xy.csv"
    ),
    Concern.LEDGER: Advice(
        "the table is of another run, or was edited", "compare slice_config.csv with the raw folder"
    ),
    Concern.IDLE_OVERRIDE: Advice(
        "the slice has another id, or is not in the volume", "correct the id in the table"
    ),
    Concern.GEL_ONLY: Advice(
        "the slice lies beyond the specimen, or was imaged beside it",
        "look at its preview; set use to false in slice_config.csv",
    ),
    Concern.NOT_REGISTERED: Advice(
        "one of the two slices is damaged, or they share little tissue",
        "look at both previews; mosaicflow align puts right what lies wrong",
    ),
    Concern.PAIR_FAILED: Advice(
        "a slice of another pitch, or a bug", "look at the reason; resolution_um makes pitches one"
    ),
    Concern.TURNED_STAGE: Advice(
        "the acquisition was set up anew in between",
        "run mosaicflow check-orientation; give orientation",
    ),
    Concern.UNLIKE_KEPT: Advice(
        "the order of slices is wrong, or many are damaged",
        "look at their previews; correct the numbering",
    ),
    Concern.UNLIKE_LEFT_OUT: Advice(
        "these slices are damaged, or out of order",
        "look at their previews; set use to true in slice_config.csv for those that are sound",
    ),
    Concern.LEFT_OUT: Advice(
        "its image is damaged or lost, or it shows other tissue than its neighbours",
        "look at its preview and at the notes on it below; image it again, or correct its file",
    ),
    Concern.UNSEEN_GAP: Advice(
        "a slice between them is lost, or sections are thicker than what is imaged",
        "image deeper than slicing_interval_mm; mosaicflow align says where they lie",
    ),
    Concern.NO_COMMON_TISSUE: Advice(
        "sections are thicker than what is imaged, or slices are lost between",
        "compare brightness within a slice only; image deeper than slicing_interval_mm",
    ),
    Concern.EMPTY_PLANES: Advice(
        "the slice has no such channel, or failed in this run", "look at what was left out"
    ),
    Concern.COARSE: Advice(
        "pyramid_resolutions begins above resolution_um", "add the slices' pitch to it"
    ),
    Concern.PYRAMID: Advice(
        "a level is no multiple of the finest, or larger than the volume", "pyramid_resolutions"
    ),
    Concern.ROUNDED: Advice(
        "labels, or counts beyond what float32 tells apart", "read them from the OME-Zarr store"
    ),
    Concern.NO_SURFACE: Advice(
        "the volume is empty, or shows gel alone", "look at the volume's picture"
    ),
    Concern.NOT_WRITTEN: Advice(
        "the format has no place for it", "look at the reason; choose another format"
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
    is_loss : bool
        Whether a slice is not in the volume for it.
    """

    status: str
    text: str
    stage: str
    where: str
    advice: Advice | None
    count: int
    is_loss: bool = False


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
        Errors, warnings, notes; of each losses first, then the most frequent.
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
    """Order findings: errors, warnings, notes; of each losses first, then the most frequent."""
    order = {"error": 0, "warning": 1, "note": 2}

    def rank(one: Finding) -> tuple[int, bool, int, str, str]:
        return order[one.status], not one.is_loss, -one.count, one.stage, one.text

    return tuple(sorted(found, key=rank))


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
        first.code == Concern.LEFT_OUT,
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
    if not ids:
        return ", ".join(dict.fromkeys(filter(None, map(_slices_in, group))))
    return f"{len(ids)} of the slices: {listed(ids)}" if len(ids) > 1 else listed(ids)


def _slices_in(one: _Noticed) -> str:
    """Give the slices that a sentence about the whole run begins with, or a number ends with."""
    found = re.match(r"slices? \d+(?:(?:-|, )\d+)*", one.text) or re.search(
        r"slice \d+(?=\)$)", one.text
    )
    return found[0] if found else ""
