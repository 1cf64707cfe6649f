"""Judge stage positions and turn them into the place of a slice's mosaic."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.acquisition.place.lattice import LatticeFit, fill_steps, fit_lattice
from mosaicflow.acquisition.stage import StageAxis, StageModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mosaicflow.acquisition.drafts import Draft
    from mosaicflow.acquisition.problems import ProblemLog

__all__ = ["place_tiles", "with_signs"]

YX = tuple[float, float]
# Fields of view between neighbours, or their inverse, from which positions are in another unit: mm
# for um is 1000 times. Doubled, a unit 150 times off is not seen.
_WRONG_UNIT = 100.0
# Fields of view below which nothing moved, whatever the unit: a tenth of mm for um. Doubled, a
# fifth.
_UNIT_FLOOR = 1e-4
# Fields of view per step below which the stage did not move: tiles would overlap by 95 %. Doubled,
# overlaps of 90 % are refused.
_NO_MOTION = 0.05
# Share of steps that must point the same way, by judgement. Nearer to 1, one wrong position makes
# a stage that does not move.
_SAME_WAY = 0.8
# Fields of view by which a tile may miss the common lattice: further off it lies nearer to another
# place. Doubled, it takes that place unseen.
_OUTLIER_FOV = 0.5
# Share of tiles off the lattice beyond which there is none. Stages lose single tiles; doubled, a
# lattice that no tile follows would do.
_MOST_OUTLIERS = 0.5
# Nominal 30 % and 5 % overlap are usual; positions are rounded to a micrometre or so.
_USUAL_STEP = (0.699, 0.951)


def place_tiles(drafts: Sequence[Draft], fov_mm: YX, overlap: float, log: ProblemLog) -> StageModel:
    """Give every tile of a slice a position and find out where the mosaic lies.

    Parameters
    ----------
    drafts : sequence of Draft
        All tiles with a lattice index, at least one; positions are completed in place.
    fov_mm : (y, x)
        Field of view of a tile.
    overlap : float
        Nominal overlap for tiles without positions.
    log : ProblemLog
        Takes what was wrong.

    Returns
    -------
    StageModel
    """
    known = [d for d in drafts if d.centre_mm is not None]
    fit = _usable_fit(known, (known or drafts)[0], fov_mm, log)
    if fit is None:
        _use_nominal(drafts, fov_mm, overlap)
        return _model(drafts, fov_mm, (_nominal_axis(overlap, fov_mm, 0),
                                       _nominal_axis(overlap, fov_mm, 1)))  # fmt: skip
    _check_step(fit, drafts[0], fov_mm, log)
    nominal = np.diag(np.asarray(fov_mm) * (1 - overlap))
    fit = fill_steps(fit, nominal, *_lattice_of(known))
    _replace_outliers(known, fit, fov_mm, log)
    for draft in drafts:
        if draft.centre_mm is None:
            draft.centre_mm, draft.positions = _predicted(fit, draft), "nominal"
    axes = (_axis(known, fit, fov_mm, 0), _axis(known, fit, fov_mm, 1))
    return _model(drafts, fov_mm, axes)


def with_signs(model: StageModel, signs: tuple[int, int]) -> StageModel:
    """Fill in stage directions that a slice alone could not tell (a single row, for example)."""
    y = replace(model.y, sign=model.y.sign or signs[0])
    x = replace(model.x, sign=model.x.sign or signs[1])
    return replace(model, y=y, x=x, origin_mm=_origin((y, x), model.min_mm, model.max_mm))


def _usable_fit(
    known: Sequence[Draft], first: Draft, fov_mm: YX, log: ProblemLog
) -> LatticeFit | None:
    slice_id = first.slice_id
    if not known:
        log.add(
            "no_positions", "keep",
            "no tile has a position: nominal positions are used, and the shifts to the "
            "neighbouring slices are unknown (0, reliable=0)", slice_id=slice_id,
        )  # fmt: skip
        return None
    indices, centres = _lattice_of(known)
    fit = fit_lattice(indices, centres)
    if first.positions == "file" and not _follows_rows(fit, fov_mm):
        log.add(
            "numbers_contradict_positions", "stop",
            "the positions of the tile configuration do not follow the lattice given by the tile "
            "numbers", slice_id=slice_id, path=first.path,
            remedy="check tile_pattern, tile_order and tile_grid, or leave them out",
        )  # fmt: skip
    if _are_constant(centres) or not _moves(fit, fov_mm):
        log.add(
            "unusable_positions", "keep",
            "the positions do not follow the lattice (constant, zero or in both directions): "
            "nominal positions are used, and the shifts to the neighbouring slices are unknown",
            slice_id=slice_id,
        )  # fmt: skip
        return None
    return fit


def _lattice_of(known: Sequence[Draft]) -> tuple[list[tuple[int, int]], list[YX]]:
    return (
        [d.index or (0, 0) for d in known],
        [d.centre_mm for d in known if d.centre_mm is not None],
    )


def _are_constant(centres: Sequence[YX]) -> bool:
    values = np.asarray(centres)
    if len(values) == 1:
        return not values.any()
    return bool((np.ptp(values, axis=0) == 0).all())


def _follows_rows(fit: LatticeFit, fov_mm: YX) -> bool:
    # Rows and columns of an image are counted the way its coordinates grow.
    steps = [float(fit.matrix[axis, axis]) / fov_mm[axis] for axis in (0, 1)]
    return all(np.isnan(step) or step > _NO_MOTION for step in steps) and _moves(fit, fov_mm)


def _moves(fit: LatticeFit, fov_mm: YX) -> bool:
    for axis in (0, 1):
        step = abs(fit.matrix[axis, axis]) / fov_mm[axis]
        if np.isnan(step):
            continue
        wrong_unit = _UNIT_FLOOR < step < 1 / _WRONG_UNIT
        if not wrong_unit and (step < _NO_MOTION or fit.agreement[axis] < _SAME_WAY):
            return False
    return True


def _check_step(fit: LatticeFit, draft: Draft, fov_mm: YX, log: ProblemLog) -> None:
    for axis, name in enumerate("yx"):
        step = float(abs(fit.matrix[axis, axis])) / fov_mm[axis]
        if np.isnan(step):
            continue
        text = (
            f"the stage moves {step * fov_mm[axis]:.4g} mm from tile to tile along {name}, "
            f"the field of view is {fov_mm[axis]:.4g} mm"
        )
        if step > _WRONG_UNIT or step < 1 / _WRONG_UNIT:
            unit = "um" if step > 1 else "mm"
            remedy = (
                f"give --stage_unit {unit} if the positions are in {unit}, or check width and "
                "height in info.txt (um)"
            )
            if draft.positions == "file":
                remedy = "correct the list of tiles, whose positions are in px, or the pixel size"
            log.add(
                "wrong_stage_unit", "stop", f"{text}: the units differ",
                slice_id=draft.slice_id, path=draft.path,
                remedy=remedy,
            )  # fmt: skip
            return
        if not _USUAL_STEP[0] <= step <= _USUAL_STEP[1]:
            log.add(
                "unusual_step", "keep", f"{text}: stage pitch and field of view disagree (units?)",
                slice_id=draft.slice_id,
            )  # fmt: skip


def _replace_outliers(known: Sequence[Draft], fit: LatticeFit, fov_mm: YX, log: ProblemLog) -> None:
    predicted = fit.predict(np.asarray([draft.index or (0, 0) for draft in known])).tolist()
    centres = np.asarray([draft.centre_mm for draft in known])
    misses = np.abs((centres - predicted) / fov_mm).max(axis=1).tolist()
    off = [place for place, miss in enumerate(misses) if miss > _OUTLIER_FOV]
    if len(off) > _MOST_OUTLIERS * len(known):
        worst = known[int(np.argmax(misses))]
        worst.stop(
            log, "positions_are_no_lattice",
            f"{len(off)} of {len(known)} tiles lie more than {_OUTLIER_FOV} fields of view off any "
            f"lattice, this one {max(misses):.3g}: tiles that lie in no rows and columns are not "
            "stitched",
            "check the unit and the order of the coordinates (x first in a tile configuration), or "
            "give the lattice in a tile_table",
        )  # fmt: skip
        return
    for place in off:
        draft, (y, x) = known[place], centres[place].tolist()
        wanted_y, wanted_x = predicted[place]
        draft.centre_mm, draft.positions = (wanted_y, wanted_x), "nominal"
        draft.repair(
            log, "position_outlier",
            f"stage position (y {y:.4g}, x {x:.4g}) mm lies {misses[place]:.3g} fields "
            "of view off the lattice; the lattice position is used",
        )  # fmt: skip


def _predicted(fit: LatticeFit, draft: Draft) -> YX:
    y, x = fit.predict(np.asarray([draft.index or (0, 0)]))[0]
    return float(y), float(x)


def _use_nominal(drafts: Sequence[Draft], fov_mm: YX, overlap: float) -> None:
    indices = [d.index or (0, 0) for d in drafts]
    first_y, first_x = min(iy for iy, _ in indices), min(ix for _, ix in indices)
    for draft, (iy, ix) in zip(drafts, indices, strict=True):
        draft.centre_mm = (
            (iy - first_y) * fov_mm[0] * (1 - overlap),
            (ix - first_x) * fov_mm[1] * (1 - overlap),
        )
        draft.positions = "nominal"


def _nominal_axis(overlap: float, fov_mm: YX, axis: int) -> StageAxis:
    return StageAxis(sign=0, step_mm=fov_mm[axis] * (1 - overlap), overlap=overlap)


def _axis(known: Sequence[Draft], fit: LatticeFit, fov_mm: YX, axis: int) -> StageAxis:
    if len({(d.index or (0, 0))[axis] for d in known}) < 2:
        return StageAxis(sign=0, step_mm=None, overlap=None)
    step = float(fit.matrix[axis, axis])
    return StageAxis(int(np.sign(step)), abs(step), 1 - abs(step) / fov_mm[axis])


def _model(drafts: Sequence[Draft], fov_mm: YX, axes: tuple[StageAxis, StageAxis]) -> StageModel:
    centres = np.asarray([d.centre_mm for d in drafts if d.centre_mm is not None])
    half = np.asarray(fov_mm) / 2
    low, high = centres.min(axis=0) - half, centres.max(axis=0) + half
    min_mm, max_mm = (float(low[0]), float(low[1])), (float(high[0]), float(high[1]))
    return StageModel(*axes, _origin(axes, min_mm, max_mm), min_mm, max_mm)


def _origin(axes: tuple[StageAxis, StageAxis], low: YX, high: YX) -> YX:
    y, x = (b if a.sign < 0 else c for a, b, c in zip(axes, high, low, strict=True))
    return (y, x)
