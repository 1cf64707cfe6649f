"""The volume, its tables and its picture."""

from __future__ import annotations

import hashlib
import json
import math
import statistics
import sys
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow import names
from mosaicflow.alignment.solution import Alignment, fit_canvas, frame_of
from mosaicflow.alignment.transform import Rigid2D
from mosaicflow.io.previews import save_picture
from mosaicflow.io.tables import SCHEMA, read_document, write_csv
from mosaicflow.io.zarr import AnalysisOmeZarrWriter, check_distinct, open_level, read_omezarr_info
from mosaicflow.slices.stored import SliceStore, open_slice
from mosaicflow.stacking.channel import of_channel
from mosaicflow.stacking.draw import (
    SlicePlan,
    draw_volume,
    measure_seams,
    plan_slices,
)
from mosaicflow.stacking.gains import SeamLevel
from mosaicflow.stacking.light import (
    Balance,
    balance,
    intensity_record,
    read_profile,
    start_light,
)
from mosaicflow.stacking.plan import Seam, layers_of, plan_seams
from mosaicflow.stacking.preview import orthogonal_montage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from mosaicflow.alignment.solution import AlignedSlice
    from mosaicflow.io.report import StageReport
    from mosaicflow.io.store_options import StoreOptions
    from mosaicflow.io.zarr.reader import LevelReader
    from mosaicflow.stacking.levels import PlaneLevels

__all__ = ["StackInputs", "StackSettings", "stack_slices"]

# From this size of the volume on, its finished regions survive a kill [bytes of float32].
_KEPT_BYTES = 8e9


@dataclass(frozen=True, slots=True)
class StackSettings:
    """Settings of the stage, grouped."""

    blend_um: float
    gains: bool
    is_light: bool
    translations: bool
    rotations: bool
    resolutions_um: Sequence[float]
    native: bool
    n_levels: int | None
    isotropic: bool
    preview: bool


@dataclass(frozen=True, slots=True)
class _Drawn:
    """What was drawn, for the tables."""

    alignment: Alignment
    plans: Sequence[SlicePlan]
    seams: Sequence[Seam]
    matches: Sequence[SeamLevel]
    balance: Balance
    levels: PlaneLevels


@dataclass(frozen=True, slots=True)
class StackInputs:
    """Files that the stage reads."""

    slices: Sequence[Path]
    alignment: Path
    profile: Path | None
    channel: str


def stack_slices(
    inputs: StackInputs,
    output: Path,
    settings: StackSettings,
    report: StageReport,
    *,
    store: StoreOptions,
    threads: int,
) -> None:
    """Write the volume and everything beside it."""
    slices, alignment = inputs.slices, inputs.alignment
    for path in slices:
        check_distinct(output, path)
    stores = [open_slice(path) for path in slices]
    solved = Alignment.from_json(read_document(alignment), alignment.name)
    solved = of_channel(solved, stores, inputs.channel, report)
    solved = _restrict(solved, stores, settings)
    plans = plan_slices(stores, solved)
    blend = round(settings.blend_um / solved.pitch_um[0])
    seams = plan_seams([plan.span for plan in plans], blend)
    profile = read_profile(inputs.profile)
    light = start_light(plans, profile, solved.pitch_um[0])
    if settings.is_light:
        matches = measure_seams(plans, seams, light, solved.canvas_yx, threads=threads)
    else:
        matches = [SeamLevel(n, n + 1, math.nan, math.nan) for n in range(len(seams))]
    balanced = balance(light, seams, matches, enabled=settings.gains and settings.is_light)
    block = _block(solved, plans, balanced, report, intensity=intensity_record(profile))
    block |= {"channel": inputs.channel} if inputs.channel else {}
    writer = AnalysisOmeZarrWriter(
        output,
        shape=(solved.n_planes, *solved.canvas_yx),
        dtype=np.float32,
        attrs=block,
        resume_key=_resume_key(report, (solved.n_planes, *solved.canvas_yx)),
        **store.writer_options(),
    )
    with writer:
        levels = draw_volume(plans, seams, balanced.light, writer, threads=threads)
        writer.contrast = levels.contrast()
        _finalize(writer, solved, settings, report)
    drawn = _Drawn(solved, plans, seams, matches, balanced, levels)
    _write_tables(drawn, output.parent, inputs.channel)
    _report(report, drawn, is_light=settings.is_light)
    if settings.preview:
        _write_preview(output)


def _resume_key(report: StageReport, shape: Sequence[int]) -> str:
    """Name all that decides the voxels, to go on after a kill; empty where that is not worth it."""
    if 4 * math.prod(shape) < _KEPT_BYTES:
        return ""
    text = json.dumps(report.key, sort_keys=True, default=str)
    return str(hashlib.sha256(text.encode()).hexdigest())


def _restrict(
    solved: Alignment, stores: Sequence[SliceStore], settings: StackSettings
) -> Alignment:
    """Take registration's shifts, or rotations, out again where that is asked for."""
    if settings.translations and settings.rotations:
        return solved
    frames = {
        store.slice_id: frame_of(store.shape, store.pitch_um, solved.pitch_um[1])
        for store in stores
    }
    changed = []
    for one in solved.slices:
        moved = one.evidence.get("moved_from_stage_px", (0.0, 0.0))
        back = np.array(one.transform.translation_yx) - np.array(moved)
        angle = one.transform.angle_deg if settings.rotations else 0.0
        plain = Rigid2D(angle, one.transform.center_yx, (float(back[0]), float(back[1])))
        evidence = {**one.evidence, "moved_from_stage_px": [0.0, 0.0]}
        changed.append(replace(_told(one, settings), transform=plain, evidence=evidence))
    placed, canvas = fit_canvas(changed, frames, solved.reference_id)
    return replace(solved, slices=placed, canvas_yx=canvas)


def _told(one: AlignedSlice, settings: StackSettings) -> AlignedSlice:
    """Let the tables say that what registration found was left out on purpose."""
    if one.source in ("graph", "manual") and settings.rotations:
        return replace(one, source="rotation")
    if one.source in ("graph", "manual", "rotation") and not settings.rotations:
        return replace(one, source="stage", reasons=("switched_off", *one.reasons))
    return one


def _finalize(
    writer: AnalysisOmeZarrWriter,
    solved: Alignment,
    settings: StackSettings,
    report: StageReport,
) -> None:
    """Write the pyramid; what the writer has to say about it belongs into the report."""
    pitch_mm = tuple(value / 1000 for value in solved.pitch_um)
    wanted = list(settings.resolutions_um)
    native_um = max(solved.pitch_um[1:])
    if settings.native and min(wanted) > native_um:
        wanted.insert(0, native_um)
    elif settings.n_levels is None and min(wanted) > 1.05 * native_um:
        report.warn(
            f"the finest level has {min(wanted):g} um but the slices {native_um:g} um: add it to "
            "pyramid_resolutions to keep what they resolve"
        )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        writer.finalize(
            pitch_mm,
            wanted,
            n_levels=settings.n_levels,
            make_isotropic=settings.isotropic,
        )
    is_flat = solved.n_planes == 1
    for text in dict.fromkeys(str(warning.message) for warning in caught):
        (report.note if is_flat else report.warn)(text)


def _block(
    solved: Alignment,
    plans: Sequence[SlicePlan],
    balanced: Balance,
    report: StageReport,
    *,
    intensity: dict[str, object],
) -> dict[str, object]:
    places = {one.slice_id: one.place_to_json() for one in solved.slices}
    slices = [
        {
            "slice_id": plan.span.slice_id,
            "first_plane": plan.span.first,
            "stop_plane": plan.span.stop,
            "gain": round(float(gain), 6),
            **places[plan.span.slice_id],
        }
        for plan, gain in zip(plans, balanced.gains, strict=True)
    ]
    return report.block(
        {"schema": SCHEMA},
        kind="volume",
        # Slices, gaps and synthetic planes are counted in these; levels have their own pitches.
        plane_pitch_um=solved.pitch_um[0],
        # The transforms of slices count in pixels of this.
        pixel_pitch_um=solved.pitch_um[1],
        reference_id=solved.reference_id,
        slices=slices,
        intensity=intensity,
        left_out=[one.to_json() for one in solved.left_out],
        gaps=[gap.planes for gap in solved.gaps if gap.stop_plane > gap.first_plane],
        synthetic_planes=[],
    )


def _write_tables(drawn: _Drawn, folder: Path, channel: str) -> None:
    write_csv(
        folder / names.channel_name(names.MATCHES.of(), channel),
        (
            "fixed_id",
            "moving_id",
            "overlap_voxels",
            "blend_overlap_voxels",
            "moving_z_start",
            "correlation",
            "correlation_fallback_used",
            "thickness_um",
            "thickness_sigma_um",
            "thickness_source",
        ),
        [
            {
                "fixed_id": seam.fixed.slice_id,
                "moving_id": seam.moving.slice_id,
                "overlap_voxels": seam.overlap,
                "blend_overlap_voxels": seam.blend,
                "moving_z_start": 0,
                "correlation": round(match.correlation, 6),
                "correlation_fallback_used": False,
                **_thickness(seam, drawn.alignment),
            }
            for seam, match in zip(drawn.seams, drawn.matches, strict=True)
        ],
    )
    table = folder / names.channel_name(names.DECISIONS.of(), channel)
    write_csv(table, _DECISION_COLUMNS, _decisions(drawn))
    write_csv(
        folder / names.channel_name(names.INTENSITIES.of(), channel),
        ("z_index", "slice_id", "raw_level", "applied_gain"),
        _intensities(drawn),
    )


def _thickness(seam: Seam, alignment: Alignment) -> dict[str, object]:
    """Give the tissue between the faces of neighbours in id; others have none of their own."""
    by_id = {one.slice_id: one for one in alignment.slices}
    known = by_id[seam.moving.slice_id].section
    ids = sorted(by_id)
    before = ids[ids.index(seam.moving.slice_id) - 1]
    if known is None or before != seam.fixed.slice_id:
        return {}
    return known.to_json()


_DECISION_COLUMNS = (
    "slice_id",
    "fixed_id",
    "transform_loaded",
    "transform_source",
    "manual_override",
    "confidence",
    "overlap_source",
    "overlap_voxels",
    "blend_overlap_voxels",
    "correlation",
    "applied_ty_px",
    "applied_tx_px",
    "applied_rot_deg",
    "skip_reason",
)


def _decisions(drawn: _Drawn) -> list[dict[str, object]]:
    aligned = {one.slice_id: one for one in drawn.alignment.slices}
    sources = {"expected": "expected", "measured": "registration"}
    rows: list[dict[str, object]] = []
    for index, plan in enumerate(drawn.plans):
        one = aligned[plan.span.slice_id]
        manual = one.source == "manual"
        loaded = one.source in ("reference", "graph", "rotation", "manual") and one.confidence > 0
        moved = one.evidence.get("moved_from_stage_px", (0.0, 0.0))
        row: dict[str, object] = {
            "slice_id": plan.span.slice_id,
            "transform_loaded": loaded,
            "transform_source": ("manual" if manual else "automated") if loaded else "none",
            "manual_override": manual,
            "confidence": round(one.confidence, 4),
            "overlap_source": sources[drawn.alignment.depths],
            "applied_ty_px": round(float(moved[0]), 4),
            "applied_tx_px": round(float(moved[1]), 4),
            "applied_rot_deg": round(one.transform.angle_deg, 4),
            "skip_reason": _skip_reason(one.source, one.reasons),
        }
        if index:
            seam, match = drawn.seams[index - 1], drawn.matches[index - 1]
            row |= {
                "fixed_id": seam.fixed.slice_id,
                "overlap_voxels": seam.overlap,
                "blend_overlap_voxels": seam.blend,
                "correlation": round(match.correlation, 6),
            }
        rows.append(row)
    return rows


def _skip_reason(source: str, reasons: Sequence[str]) -> str:
    if source in ("reference", "graph", "manual"):
        return ""
    if source == "rotation":
        return "rotation_only"
    words = " ".join(reasons)
    for key in ("switched_off", "status_error", "low_confidence", "rotation_only"):
        if key in words:
            return key
    return "stage_better" if "predicts its links better" in words else "missing"


def _intensities(drawn: _Drawn) -> list[dict[str, object]]:
    """List the mean level of every plane before its factor, and the factor, of the ruling slice."""
    spans = [plan.span for plan in drawn.plans]
    light, display = drawn.balance.light, drawn.balance.light.display
    rows: list[dict[str, object]] = []
    for plane, (total, filled) in enumerate(
        zip(drawn.levels.total, drawn.levels.filled, strict=True)
    ):
        layers = layers_of(plane, spans, drawn.seams)
        row: dict[str, object] = {"z_index": plane}
        if layers:
            ruling = max(layers[:2], key=lambda layer: layer.share)
            factor = float(light.tones[ruling.index].factor[ruling.plane])
            shown = float(total) / max(int(filled), 1) * (display.white - display.black)
            row |= {
                "slice_id": spans[ruling.index].slice_id,
                "raw_level": float(f"{(shown + display.black) / factor:.6g}"),
                "applied_gain": float(f"{factor:.6g}"),
            }
        rows.append(row)
    return rows


def _report(report: StageReport, drawn: _Drawn, *, is_light: bool) -> None:
    alignment = drawn.alignment
    if all(plan.store.shape[0] == 1 for plan in drawn.plans):
        report.note("the slices are one plane deep: the volume has one plane per slice")
    if len(drawn.plans) == 1:
        report.note("there is one slice only: nothing was stacked")
    report.metric("slices_stacked", len(drawn.plans), "", "slices in the volume")
    report.metric("slices_left_out", len(alignment.left_out), "", "slices without image")
    gaps = sum(gap.stop_plane - gap.first_plane for gap in alignment.gaps)
    report.metric("gap_planes", gaps, "planes", "planes that no slice covers")
    area = math.prod(alignment.canvas_yx)
    shares = [
        float(drawn.levels.filled[plan.span.first : plan.span.stop].max(initial=0)) / area
        for plan in drawn.plans
    ]
    report.metric("min_slice_coverage", min(shares), "fraction", "canvas filled, worst slice")
    report.metric("std_slice_coverage", float(np.std(shares)), "fraction", "spread of the same")
    correlations = [m.correlation for m in drawn.matches if math.isfinite(m.correlation)]
    if correlations:
        text = "median correlation of neighbours at their seam"
        median = statistics.median(correlations)
        report.metric("seam_correlation", median, "", text, warning=0.5, good="high")
        report.metric("worst_seam_correlation", min(correlations), "", "of the worst seam")
    if is_light:
        _report_brightness(report, drawn)


# Share of the voxels above 1 from which the picture has lost its bright end. Three sound simulated
# stacks: at most 0.00004; white at half of its value: 0.004.
_OUTSIDE = 0.002


# Factor by which a slice may be made brighter or darker than the others without a word. Nine sound
# simulated sets: 0.90 to 1.13; a slice with a tenth of the light: 6.6; with 25 times the camera's
# noise: 0.45. At twice this the noisy one would pass.
_GAIN = 1.5


def _report_brightness(report: StageReport, drawn: _Drawn) -> None:
    steps = np.abs(drawn.balance.steps[np.isfinite(drawn.balance.steps)])
    if steps.size:
        text = "median relative step of brightness at a seam, after the gains"
        report.metric("seam_step", math.expm1(float(np.median(steps))), "", text, warning=0.1)
    gains, levels = drawn.balance.gains, drawn.levels
    least, most, darkest = float(gains.min()), float(gains.max()), int(gains.argmax())
    text = "smallest brightness factor of a slice"
    report.metric("gain_min", least, "", text, warning=1 / _GAIN, good="high")
    text = f"largest brightness factor of a slice (slice {drawn.plans[darkest].span.slice_id})"
    report.metric("gain_max", most, "", text, warning=_GAIN)
    filled = max(int(levels.filled.sum()), 1)
    above, below = (int(counts.sum()) / filled for counts in (levels.above, levels.below))
    text = "voxels {}, stored as they are, that a display from 0 to 1 shows as {}"
    limit = _OUTSIDE if drawn.balance.light.recorded else None
    name = "above_display"
    report.metric(name, above, "fraction", text.format("above 1", "white"), warning=limit)
    report.metric("below_display", below, "fraction", text.format("below 0", "black"))


# Longest side of the picture of the volume: two screens' worth.
_PREVIEW_PX = 2000


def _middle_plane(level: LevelReader) -> NDArray[np.float32]:
    """Read the plane nearest to the middle that is not in a gap."""
    n_z = level.shape[0]
    for z in sorted(range(n_z), key=lambda z: abs(z - n_z // 2)):
        plane = np.asarray(level[z], dtype=np.float32)
        if plane.any():
            return plane
    return plane


def _write_preview(output: Path) -> None:
    """Draw the three central planes of the finest level that fits on a screen."""
    from PIL import Image

    shapes = [level.shape for level in read_omezarr_info(output).levels]
    fitting = [number for number, shape in enumerate(shapes) if max(shape) <= 1024]
    level = open_level(output, fitting[0] if fitting else len(shapes) - 1)
    _, y, x = (n // 2 for n in level.shape)
    pitch = level.resolution_mm
    picture = orthogonal_montage(
        _middle_plane(level),
        np.asarray(level[:, y], dtype=np.float32),
        np.asarray(level[:, :, x], dtype=np.float32),
        z_over_lateral=pitch[0] / pitch[2],
        longest_px=sys.maxsize,
    )
    name = output.name.removesuffix(".ome.zarr") + ".png"
    step = -(-max(picture.shape) // _PREVIEW_PX)
    thin = np.ascontiguousarray(picture[::step, ::step])
    save_picture(output.with_name(name), Image.fromarray(thin), 1000 * pitch[2] * step)
