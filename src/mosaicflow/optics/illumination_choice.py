"""Deciding whether a flat field, an offset and a change with depth are worth using."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.mosaic.resampling import resample_tile
from mosaicflow.mosaic.tile_basis import FieldBasis
from mosaicflow.optics.background import background_image, contrast_residual, signal_only
from mosaicflow.optics.illumination import OverlapEvidence, unit_mean
from mosaicflow.optics.joint_field import estimate_field
from mosaicflow.optics.population import tile_population
from mosaicflow.optics.shading import Shading

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from numpy.typing import NDArray

    from mosaicflow.optics.illumination import OverlapPair
    from mosaicflow.optics.joint_field import FieldEstimate

    Image = NDArray[np.float32]

__all__ = ["DepthChange", "FlatFieldChoice", "choose_depth_change", "choose_flat_field"]

# Highest total order of the log field, and the one that is tried where overlaps show what is finer:
# that errs alike in all of them and passes for what they hardly see. A rough field of grain 0.08
# tiles leaves up to 4.4 % at order 10, at 12 2.2, at 14 1.7, at 16 1.6 in twice the time; but 32
# tiles of 48 px tell a smooth one to 0.3 % at 10, and at 14 to 2.2.
_ORDER, _FINE_ORDER = 10, 14
# Share of the error of what was found from which finer structure is worth the second try.
_FINER_SHARE = 0.3
# A change with depth is smoother, and known less well.
_CHANGE_ORDER = 4
# Places compared per pair: each is then a mean over about 3 x 3 px of a shrunk tile.
_PLACES = 400
# Side of the images that the terms of a tile are fitted to: three px per wave of the last order.
_TERMS_PX = 42
# A field is used where it is that much larger than its own error, which is known to a factor 2.
_LEAST_SIZE = 2.0
# An offset on top of it must explain held-out overlaps better by this share in every respect.
_LEAST_OFFSET_GAIN = 0.1
# A change with depth needs this many bands, and as many tiles as a population has.
_FEWEST_BANDS = 3


@dataclass(frozen=True, slots=True)
class FlatFieldChoice:
    """The flat field that tiles and overlaps speak for, and the evidence.

    Parameters
    ----------
    field : ndarray, shape (y, x), float32
        Flat field, mean 1; all ones when none was good enough.
    offset : ndarray, shape (y, x), float32
        Background that adds to the signal, with mean 0 (a constant cannot be told from
        brightness); all zero when it was not needed.
    method : str
        How they were found: none, joint, offset or offset+joint.
    error : float
        Expected root mean square error of the log field; NaN without evidence.
    n_tiles, n_overlaps : int
        Independent tiles and overlaps behind the field.
    residual_before, residual_after : float
        Mean absolute log ratio of held-out overlaps as recorded, and after the correction.
    offset_residuals : dict of str to float
        What the offset was judged by: log ratio and `contrast_residual` of held-out overlaps
        without and with it; empty when there was none to judge.
    """

    field: Image
    offset: Image
    method: str
    error: float
    n_tiles: int
    n_overlaps: int
    residual_before: float
    residual_after: float
    offset_residuals: dict[str, float]

    @property
    def accepted(self) -> bool:
        """Whether the tiles are corrected at all."""
        return self.method != "none"


@dataclass(frozen=True, slots=True)
class _Gain:
    """A flat field without offset: from the overlaps not held out, and from all of them."""

    tested: Image
    final: Image
    accepted: bool
    error: float
    estimate: FieldEstimate | None
    before: float
    after: float


def choose_flat_field(
    samples: Image, pairs: Sequence[OverlapPair], *, groups: Sequence[Hashable] | None = None
) -> FlatFieldChoice:
    """Estimate the shading from tiles and overlaps together; held-out overlaps can only veto it.

    Parameters
    ----------
    samples : ndarray, shape (n, y, x), float32
        Shrunk tile images; zeros count as no data.
    pairs : sequence of OverlapPair
        Overlapping tiles at the same size; every fourth is held out.
    groups : sequence, optional
        For each sample what it shares tissue with; None: nothing.

    Returns
    -------
    FlatFieldChoice
    """
    labels = list(range(len(samples))) if groups is None else list(groups)
    gain = _choose_gain(samples, pairs, labels)
    none = np.zeros_like(gain.final)
    plain = FlatFieldChoice(
        gain.final,
        none,
        "joint" if gain.accepted else "none",
        gain.error,
        gain.estimate.n_tiles if gain.estimate else 0,
        gain.estimate.n_overlaps if gain.estimate else 0,
        gain.before,
        gain.after,
        {},
    )
    background = background_image(samples) if gain.estimate else None
    if background is None:
        return plain
    signal = _choose_gain(*signal_only(samples, pairs, background), labels)
    judged = {
        f"{measure} {name}": value
        for name, field, offset in (
            ("flat field", gain.tested, none),
            ("with offset", signal.tested, _mean_zero(background, signal.tested)),
        )
        for measure, value in _judge(pairs[3::4], field, offset).items()
    }
    plain = replace(plain, offset_residuals=judged)
    if not all(
        judged[f"{measure} with offset"]
        < (1 - _LEAST_OFFSET_GAIN) * judged[f"{measure} flat field"]
        for measure in ("log ratio", "contrast")
    ):
        return plain
    return replace(
        plain,
        field=signal.final,
        offset=_mean_zero(background, signal.final),
        method="offset+joint" if signal.accepted else "offset",
        error=signal.error,
        n_tiles=signal.estimate.n_tiles if signal.estimate else 0,
        n_overlaps=signal.estimate.n_overlaps if signal.estimate else 0,
        residual_after=judged["log ratio with offset"],
    )


def _mean_zero(background: Image, field: Image) -> Image:
    """Leave the mean brightness as it is: nothing dark then falls below zero.

    Signal * S + D is (signal + c) * S + (D - c * S), whatever the constant c.
    """
    return np.asarray(background - background.mean() * field, dtype=np.float32)


def _judge(pairs: Sequence[OverlapPair], field: Image, offset: Image) -> dict[str, float]:
    """Say how little corrected tiles agree in their overlaps, in two ways."""
    shading = Shading(field, offset)
    corrected = [
        replace(
            pair, first=shading.remove(pair.first.copy()), second=shading.remove(pair.second.copy())
        )
        for pair in pairs
    ]
    evidence = [OverlapEvidence.of(pair, most=_PLACES) for pair in corrected]
    return {
        "log ratio": _residual(evidence, np.zeros_like(field)),
        "contrast": contrast_residual(corrected),
    }


def _residual(evidence: Sequence[OverlapEvidence], log_field: NDArray[np.floating]) -> float:
    """Mean absolute log ratio that is left after division by a field; NaN without overlaps."""
    left = [np.abs(part.left(log_field)) for part in evidence if part.log_ratio.size]
    return float(np.concatenate(left).mean()) if left else float("nan")


def _choose_gain(samples: Image, pairs: Sequence[OverlapPair], groups: Sequence[Hashable]) -> _Gain:
    """Choose a flat field as if nothing were added to the signal."""
    ones: Image = np.ones(samples.shape[1:], dtype=np.float32)
    parts = [OverlapEvidence.of(pair, most=_PLACES) for pair in pairs]
    held_out = [part for part in parts[3::4] if part.log_ratio.size]
    rest = [part for i, part in enumerate(parts) if i % 4 != 3 and part.log_ratio.size]
    if not held_out or not rest:
        nothing = float("nan")
        return _Gain(ones, ones, False, nothing, None, nothing, nothing)
    known = samples > 0
    logs, whole = _shrunk_logs(np.where(known, samples, 1), known)

    def fitted(order: int, evidence: Sequence[OverlapEvidence]) -> FieldEstimate:
        basis = FieldBasis(order, (samples.shape[1], samples.shape[2]))
        return estimate_field(tile_population(logs, whole, basis, groups), evidence, basis)

    order, estimate = _ORDER, fitted(_ORDER, parts)
    if estimate.finer > _FINER_SHARE * estimate.error_of_found:
        fine = fitted(_FINE_ORDER, parts)
        if fine.error < estimate.error:
            order, estimate = _FINE_ORDER, fine
    tested = fitted(order, rest)
    before = _residual(held_out, np.zeros_like(ones))
    after = _residual(held_out, tested.log_field)
    if after >= before or estimate.size < _LEAST_SIZE * estimate.error_of_found:
        return _Gain(ones, ones, False, estimate.size_of_true, estimate, before, before)
    fields = [unit_mean(np.exp(one.log_field)) for one in (tested, estimate)]
    return _Gain(fields[0], fields[1], True, estimate.error, estimate, before, after)


def _shrunk_logs(images: Image, known: NDArray[np.bool_]) -> tuple[Image, NDArray[np.bool_]]:
    """Take logs of images small enough for a fit to each, and say where they hold data."""
    factor = max(1.0, max(images.shape[1:]) / _TERMS_PX)
    shape = (len(images), *(round(length / factor) for length in images.shape[1:]))
    whole = resample_tile(known.astype(np.float32), shape) > 1 - 1e-3
    return np.log(resample_tile(np.asarray(images, np.float32), shape)), whole


@dataclass(frozen=True, slots=True)
class DepthChange:
    """How the log flat field changes from middle depth to the deepest plane.

    Parameters
    ----------
    change : ndarray, shape (y, x), float32
        Mean 0; all zero when the data does not ask for it.
    at : float
        Mean depth of the bands that the flat field was estimated from, from -1 to 1.
    size, error : float
        Root mean square of the estimate, used or not, and its expected error.
    """

    change: Image
    at: float
    size: float
    error: float


def choose_depth_change(
    stacks: Sequence[Image],
    depths: Sequence[tuple[float, ...]],
    pairs: Sequence[OverlapPair],
    *,
    groups: Sequence[Hashable],
) -> DepthChange | None:
    """Estimate one change with depth that all tiles share, and use it where it is beyond doubt.

    Parameters
    ----------
    stacks : sequence of ndarray, each shape (bands, y, x), float32
        Depth-band means of each tile.
    depths : sequence of tuple of float
        Middle of each band, from -1 to 1, for each tile.
    pairs : sequence of OverlapPair
        Overlapping tiles, with their depths.
    groups : sequence
        For each tile what it shares tissue with.

    Returns
    -------
    DepthChange or None
        None where there are too few bands or overlaps to tell.
    """
    used = [i for i, stack in enumerate(stacks) if len(stack) >= _FEWEST_BANDS and stack.all()]
    tested = [pair for pair in pairs if len(pair.depths) >= _FEWEST_BANDS]
    if not used or len(tested) < 4:
        return None
    slopes = np.stack([np.tensordot(_slope(depths[i]), np.log(stacks[i]), 1) for i in used])
    basis = FieldBasis(_CHANGE_ORDER, (slopes.shape[1], slopes.shape[2]))
    known = np.ones(slopes.shape, bool)
    factor = max(1.0, max(slopes.shape[1:]) / _TERMS_PX)
    shape = (len(slopes), *(round(length / factor) for length in slopes.shape[1:]))
    small = resample_tile(np.asarray(slopes, np.float32), shape)
    population = tile_population(
        small, resample_tile(known.astype(np.float32), shape) > 0, basis, [groups[i] for i in used]
    )
    parts = [
        OverlapEvidence.of(pair, most=_PLACES, weights=_slope(pair.depths).tolist())
        for pair in tested
    ]
    estimate = estimate_field(population, parts, basis)
    held_out = parts[3::4]
    check = estimate_field(population, [p for i, p in enumerate(parts) if i % 4 != 3], basis)
    none = np.zeros_like(check.log_field)
    helps = _residual(held_out, check.log_field) < _residual(held_out, none)
    keep = helps and estimate.size >= _LEAST_SIZE * estimate.error
    return DepthChange(
        np.asarray(estimate.log_field if keep else none, np.float32),
        float(np.mean([np.mean(depths[i]) for i in used])),
        estimate.size,
        estimate.error,
    )


def _slope(depths: Sequence[float]) -> NDArray[np.float64]:
    """Weights of the bands that give the slope of a least-squares line."""
    off = np.asarray(depths, np.float64) - np.mean(depths)
    return np.asarray(off / (off @ off), np.float64)
