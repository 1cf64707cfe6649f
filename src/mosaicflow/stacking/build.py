"""The volume, its tables and its picture."""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.alignment.solution import Alignment, fit_canvas, frame_of
from mosaicflow.io.blocks import PlaneSpanBlock, VolumeBlock
from mosaicflow.io.tables import SCHEMA, read_document
from mosaicflow.io.upload import address_file
from mosaicflow.io.zarr import AnalysisOmeZarrWriter, check_distinct
from mosaicflow.io.zarr.render import write_screenshot
from mosaicflow.names import stem_of
from mosaicflow.reasons import Concern, Skip
from mosaicflow.rigid import Rigid2D
from mosaicflow.slices.stored import SliceStore, open_slice
from mosaicflow.stacking.channel import of_channel
from mosaicflow.stacking.draw import draw_volume
from mosaicflow.stacking.gains import SeamLevel
from mosaicflow.stacking.light import (
    Balance,
    balance,
    intensity_record,
    read_profile,
    start_light,
)
from mosaicflow.stacking.metrics import report_volume
from mosaicflow.stacking.plan import plan_seams
from mosaicflow.stacking.seam_levels import measure_seams
from mosaicflow.stacking.slice_plan import SlicePlan, plan_slices
from mosaicflow.stacking.tables import DrawnVolume, write_tables

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mosaicflow.alignment.solution import AlignedSlice
    from mosaicflow.io.report import StageReport
    from mosaicflow.io.store_options import StoreOptions

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
    volume_at: str = "",
) -> None:
    """Write the volume, there or at an address, and everything beside it."""
    slices, alignment = inputs.slices, inputs.alignment
    volume = volume_at or output
    for path in slices:
        check_distinct(volume, path)
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
        volume,
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
    drawn = DrawnVolume(solved, plans, seams, matches, balanced, levels)
    write_tables(drawn, output.parent, inputs.channel)
    report_volume(report, drawn, is_light=settings.is_light)
    if volume_at:
        address_file(output, volume_at)
    if settings.preview:
        write_screenshot(volume, output.with_name(f"{stem_of(output.name)}.png"))


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
        return replace(one, source="rotation", skip=Skip.ROTATION_ONLY)
    if one.source in ("graph", "manual", "rotation") and not settings.rotations:
        return replace(one, source="stage", skip=Skip.SWITCHED_OFF)
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
            "pyramid_resolutions to keep what they resolve",
            Concern.COARSE,
        )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        writer.finalize(
            pitch_mm,
            wanted,
            n_levels=settings.n_levels,
            make_isotropic=settings.isotropic,
        )
    for text in dict.fromkeys(str(warning.message) for warning in caught):
        report.warn_unless(solved.n_planes == 1, text, Concern.PYRAMID)


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
    empty = [gap for gap in solved.gaps if gap.stop_plane > gap.first_plane]
    block = VolumeBlock(
        plane_pitch_um=solved.pitch_um[0],
        pixel_pitch_um=solved.pitch_um[1],
        reference_id=solved.reference_id,
        slices=tuple(slices),
        intensity=intensity,
        left_out=tuple(one.to_json() for one in solved.left_out),
        gaps=tuple(PlaneSpanBlock(gap.first_plane, gap.stop_plane) for gap in empty),
    )
    return report.block({"schema": SCHEMA}, **block.to_attrs())
