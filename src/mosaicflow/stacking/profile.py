"""Brightness of all slices, block by block, and the one depth profile behind it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.alignment.solution import Alignment
from mosaicflow.errors import InputError
from mosaicflow.io.tables import read_document
from mosaicflow.reasons import Concern
from mosaicflow.slices.depth_profile import (
    Comparisons,
    DepthProfile,
    SliceNote,
    fit_depth,
    middle_ratio,
)
from mosaicflow.slices.masks import log_otsu
from mosaicflow.slices.shadow import SharedBlocks, measure_shadow
from mosaicflow.slices.stored import open_slice
from mosaicflow.spread import spread_about
from mosaicflow.stacking.channel import of_channel
from mosaicflow.stacking.sampling import Sampler
from mosaicflow.stacking.seam_levels import sample_windows
from mosaicflow.stacking.slice_plan import plan_slices
from mosaicflow.threads import map_threads

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from mosaicflow.io.report import StageReport
    from mosaicflow.slices.depth_profile import DepthFit
    from mosaicflow.slices.shadow import ShadowFit
    from mosaicflow.stacking.sampling import Window
    from mosaicflow.stacking.slice_plan import SlicePlan

    F32 = NDArray[np.float32]

__all__ = ["find_profile"]

# Side of a block of canvas pixels: its mean holds little noise and its tissue is one kind.
_BLOCK_PX = 8
# Blocks under this share of the normalised range are gel: its mean over 64 px and all planes
# differs from 0 by 0.01 at full speckle.
_LEAST_TISSUE = 0.05
# A profile less sure than this is not used: the percentiles of `normalize` are off by 0.07 (rms
# over the planes of a simulated stack whose own contrast varies by a half).
_MOST_UNCERTAIN = 0.07
# Of the brightest values of all planes, how many lie below 1: the very brightest plane may be dirt.
_WHITE_PERCENTILE = 95
# Pairs of slices, spread over the stack, and blocks of each that tell how strong shadows are. They
# are kept in memory; a quarter of each gives the strength to 2 %.
_SHADOW_PAIRS, _SHADOW_BLOCKS = 24, 2000


@dataclass(frozen=True, slots=True)
class _Blocks:
    """One slice on the blocks of the canvas.

    Parameters
    ----------
    values : ndarray, shape (depth, n), float32
        Mean brightness as recorded; 0 where a block is not full.
    detail : ndarray, shape (depth, n), float32
        Variance within the block over its squared mean.
    tissue : ndarray, shape (n,), bool
        Blocks that show tissue.
    """

    values: F32
    detail: F32
    tissue: NDArray[np.bool_]


def find_profile(
    slices: Sequence[Path],
    alignment: Path,
    report: StageReport,
    *,
    channel: str = "",
    threads: int,
) -> DepthProfile:
    """Pool one profile over all slices, or say why there is none."""
    stores = [open_slice(path) for path in slices]
    solved = Alignment.from_json(read_document(alignment), alignment.name)
    plans = plan_slices(stores, of_channel(solved, stores, channel, report))
    scaled = [plan.store.slice_id for plan in plans if plan.store.scale is not None]
    if not scaled:
        return DepthProfile("off", "normalize_enabled is false: grey values stay as recorded")
    if len(scaled) < len(plans):
        raise InputError(
            f"slice {scaled[0]} was normalised and others were not",
            remedy="run normalize on all slices with the same normalize_enabled",
        )
    seen = _compare_all(plans, solved.canvas_yx, threads)
    found = seen.ratios
    depth = max(plan.span.depth for plan in plans)
    fit = fit_depth(found, len(plans), depth, n_planes=solved.n_planes)
    if reason := _doubt(fit, len(plans)):
        return DepthProfile("per-slice", reason)
    profile = _profile(plans, seen, fit, solved.pitch_um[0])
    shadow = _shadow(seen.pairs, fit, profile)
    _describe(report, profile, found, fit)
    _describe_shadow(report, shadow)
    return replace(profile, shadow=shadow.shadow)


def _doubt(fit: DepthFit, n_slices: int) -> str:
    """Say why a fit is no profile; nothing when it is one."""
    if n_slices == 1:
        return "one slice alone cannot tell its fading from the specimen's own contrast"
    if not fit.n_ratios:
        return "no two slices show the same tissue, so fading and contrast cannot be told apart"
    if fit.uncertainty > _MOST_UNCERTAIN:
        return (
            f"the slices leave the profile uncertain by {100 * fit.uncertainty:.1f} %, more than "
            f"the {100 * _MOST_UNCERTAIN:.0f} % by which the percentiles of each slice err"
        )
    return ""


@dataclass(frozen=True, slots=True)
class _ShownAlike:
    """What the slices show of each other: ratios, fine structure, and blocks of some pairs."""

    ratios: Comparisons
    details: Sequence[NDArray[np.float64]]
    pairs: Sequence[tuple[int, SharedBlocks]]


def _compare_all(
    plans: Sequence[SlicePlan], canvas_yx: tuple[int, int], threads: int
) -> _ShownAlike:
    """Compare planes within slices and between neighbours; of slices, two are held at a time."""
    windows = sample_windows(plans[len(plans) // 2], canvas_yx, inner=1.0)
    rows: list[tuple[int, int, int, int, float, float]] = []
    details = []
    pairs = []
    kept = set(np.linspace(1, len(plans) - 1, _SHADOW_PAIRS).round().astype(int).tolist())
    above: _Blocks | None = None
    for index, plan in enumerate(plans):
        here = _blocks(plan, windows, threads)
        rows += _within(index, here)
        if above is not None:
            lag = plan.span.first - plans[index - 1].span.first
            rows += _between(index, lag, above, here)
            if index in kept:
                pairs.append((index, _shared(lag, above, here)))
        details.append(_log_detail(here))
        above = here
    return _ShownAlike(Comparisons.of(rows), details, pairs)


def _shared(lag: int, above: _Blocks, here: _Blocks) -> SharedBlocks:
    """Keep blocks of tissue that both slices show."""
    both = np.flatnonzero(above.tissue & here.tissue)
    both = both[:: max(1, -(-len(both) // _SHADOW_BLOCKS))]
    return SharedBlocks(above.values[:, both], here.values[:, both], lag)


def _shadow(
    pairs: Sequence[tuple[int, SharedBlocks]], fit: DepthFit, profile: DepthProfile
) -> ShadowFit:
    """Measure shadows once each slice's own brightness is known."""
    gains = np.exp(-fit.log_gain).astype(np.float32)
    even = [
        SharedBlocks(pair.upper * gains[index - 1], pair.lower * gains[index], pair.lag)
        for index, pair in pairs
    ]
    return measure_shadow(even, profile.level)


def _blocks(plan: SlicePlan, windows: Sequence[Window], threads: int) -> _Blocks:
    parts = map_threads(partial(_window_blocks, plan), windows, threads)
    values, detail = (np.concatenate([part[row] for part in parts], axis=1) for row in (0, 1))
    known = values > 0
    projection = np.where(known.any(axis=0), values.sum(axis=0) / known.sum(axis=0).clip(1), 0)
    scale = plan.store.scale
    dark = 0.0
    if scale is not None and scale.has_gel:
        level, span = float(scale.background.mean()), float(scale.span.mean())
        dark = max(log_otsu(projection), level + _LEAST_TISSUE * span)
    return _Blocks(values, detail, projection > dark)


def _window_blocks(plan: SlicePlan, target: Window) -> tuple[F32, F32]:
    """Mean and relative variance of the blocks of one window, both (depth, n)."""
    n_y, n_x = (n // _BLOCK_PX for n in target.shape)
    values = np.zeros((plan.span.depth, n_y, n_x), np.float32)
    detail = np.zeros_like(values)
    source = plan.lateral.source(target)
    if source is not None:
        data = plan.settled(source, recorded=True)
        sampler = Sampler(plan.lateral, target, source, np.asarray(data.any(axis=0)))
        for depth in range(plan.span.depth):
            plane = sampler(plan.mixed(data, depth)).reshape(target.shape)
            blocks = plane[: n_y * _BLOCK_PX, : n_x * _BLOCK_PX]
            blocks = blocks.reshape(n_y, _BLOCK_PX, n_x, _BLOCK_PX)
            full = (blocks > 0).all(axis=(1, 3))
            mean = blocks.mean(axis=(1, 3))
            values[depth] = np.where(full, mean, 0)
            relative = blocks.var(axis=(1, 3)) / np.where(full, mean, 1) ** 2
            detail[depth] = np.where(full, relative, 0)
    return values.reshape(plan.span.depth, -1), detail.reshape(plan.span.depth, -1)


def _within(index: int, here: _Blocks) -> list[tuple[int, int, int, int, float, float]]:
    values = here.values[:, here.tissue]
    rows = []
    for depth in range(len(values) - 1):
        ratio, sigma = middle_ratio(values[depth + 1], values[depth])
        if math.isfinite(ratio):
            rows.append((index, depth + 1, index, depth, ratio, sigma))
    return rows


def _between(
    index: int, lag: int, above: _Blocks, here: _Blocks
) -> list[tuple[int, int, int, int, float, float]]:
    """Compare each plane of a slice with the same plane of the specimen in the slice above."""
    both = above.tissue & here.tissue
    rows = []
    for depth in range(min(len(above.values) - lag, len(here.values))):
        if depth + lag < 0:
            continue
        ratio, sigma = middle_ratio(above.values[depth + lag, both], here.values[depth, both])
        if math.isfinite(ratio):
            rows.append((index - 1, depth + lag, index, depth, ratio, sigma))
    return rows


def _log_detail(here: _Blocks) -> NDArray[np.float64]:
    """Median relative variance within blocks of tissue at each depth, as a logarithm."""
    result = np.full(len(here.detail), np.nan)
    for depth, row in enumerate(here.detail[:, here.tissue]):
        if (row > 0).sum() >= 16:
            result[depth] = np.log(np.median(row[row > 0]))
    return result


def _profile(
    plans: Sequence[SlicePlan], seen: _ShownAlike, fit: DepthFit, plane_um: float
) -> DepthProfile:
    found = seen.ratios
    depths = np.arange(len(fit.log_level))
    known = np.isfinite(fit.log_level)
    level = np.exp(np.interp(depths, depths[known], fit.log_level[known]))
    joined = set(found.upper[found.between].tolist()) | set(found.lower[found.between].tolist())
    profile = DepthProfile("measured", "", plane_um, level, fit.sigma)
    ends = [_ends(plan, profile) for plan in plans]
    odd = _against_others([np.log(white) for _, white in ends])
    sharp = _against_others(seen.details)
    notes = tuple(
        SliceNote(
            plan.store.slice_id,
            round(float(fit.log_gain[i] if i in joined else odd[i]), 6),
            i in joined,
            round(float(sharp[i]), 6),
        )
        for i, plan in enumerate(plans)
    )
    gains = np.exp([-note.log_level for note in notes])
    blacks = np.concatenate([black * gain for (black, _), gain in zip(ends, gains, strict=True)])
    whites = np.concatenate([white * gain for (_, white), gain in zip(ends, gains, strict=True)])
    black, white = float(np.median(blacks)), float(np.percentile(whites, _WHITE_PERCENTILE))
    return replace(profile, black=black, white=max(white, black * (1 + 1e-6) + 1e-30), slices=notes)


def _ends(plan: SlicePlan, profile: DepthProfile) -> tuple[NDArray[np.float64], ...]:
    """Background and brightest value of a slice's usable planes, over the profile."""
    scale, store = plan.store.scale, plan.store
    usable = min(store.usable_planes, store.shape[0])
    if scale is None:  # checked before; for the types
        return np.empty(0), np.empty(0)
    planes = slice(0, max(usable, 1))
    level = profile.level_at((np.arange(usable) + 0.5) * store.pitch_um[0])
    background = scale.background[planes].astype(np.float64)
    return background / level, (background + scale.span[planes]) / level


def _against_others(rows: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Median over depth of each row's difference from the median row; 0 where unknown."""
    length = max(len(row) for row in rows)
    table = np.full((len(rows), length), np.nan)
    for row, values in zip(table, rows, strict=True):
        row[: len(values)] = values
    result = np.zeros(len(rows))
    seen = np.isfinite(table).any(axis=0)
    if seen.any():
        rest = table[:, seen] - np.nanmedian(table[:, seen], axis=0)
        good = np.isfinite(rest).any(axis=1)
        result[good] = np.nanmedian(rest[good], axis=1)
    return result


def _describe(
    report: StageReport, profile: DepthProfile, found: Comparisons, fit: DepthFit
) -> None:
    fading = float(profile.level.max() / profile.level.min())
    report.metric("profile_range", fading)
    report.metric("profile_sigma", fit.uncertainty)
    report.metric("ratios", fit.n_ratios)
    ratios, between = found.log_ratio, found.between
    explained = fit.explained(found)
    for name, values in (("before", ratios[between]), ("after", (ratios - explained)[between])):
        spread = spread_about(values, 0.0)
        report.metric(f"ratio_spread_{name}", spread)
    alone = [note.slice_id for note in profile.slices if not note.shares_tissue]
    if alone:
        report.warn(
            f"slice{'s' * (len(alone) > 1)} {', '.join(map(str, alone))} without tissue in common "
            "with another: brightness there is matched to that of the others, the specimen's own "
            "contrast with it",
            Concern.NO_COMMON_TISSUE,
        )


def _describe_shadow(report: StageReport, found: ShadowFit) -> None:
    """Say how strong shadows are, and what lifting them is worth where that was not fitted."""
    if not all(map(math.isfinite, (found.strength, found.spread_before, found.spread_after))):
        return
    report.metric("shadow_strength", 100 * found.strength)
    report.metric("shadow_sigma", 100 * found.sigma)
    for name, value in (("before", found.spread_before), ("after", found.spread_after)):
        report.metric(f"shadow_spread_{name}", value)
    report.metric("shadows_lifted", found.shadow is not None)
