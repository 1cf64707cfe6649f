"""Deciding between flat fields by what held-out overlaps say."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.correction.background import background_image, contrast_residual, signal_only
from mosaicflow.correction.illumination import (
    OverlapEvidence,
    basic_flat_field,
    polynomial_flat_field,
    resize_field,
)
from mosaicflow.correction.shading import Shading
from mosaicflow.mosaic.resampling import resample_tile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from mosaicflow.correction.illumination import OverlapPair

    Image = NDArray[np.float32]

__all__ = ["FlatFieldChoice", "choose_flat_field"]

# Fewer tiles than this do not tell shading from tissue by themselves.
_FEW_SAMPLES = 30
# Longest side of the images that the common shading is estimated from.
_COMMON_PX = 64
# Places in overlaps that are compared, in all.
_PLACES = 100_000
# A field with more freedom must explain held-out overlaps better by this share.
_PARSIMONY = 0.002
# Below this gain the field is not worth the risk.
_LEAST_GAIN = 0.05


# An offset on top of it must explain held-out overlaps better by this share in every respect.
_LEAST_OFFSET_GAIN = 0.1


@dataclass(frozen=True, slots=True)
class FlatFieldChoice:
    """The flat field that explains held-out overlaps best, and the evidence.

    Parameters
    ----------
    field : ndarray, shape (y, x), float32
        Flat field, mean 1; all ones when none was good enough.
    offset : ndarray, shape (y, x), float32
        Background that adds to the signal, with mean 0 (a constant cannot be told from
        brightness); all zero when it was not needed.
    method : str
        How they were found.
    residual_before, residual_after : float
        Mean absolute log ratio of held-out overlaps as recorded, and after the correction.
    residuals : dict of str to float
        The same figure for every candidate of the flat field.
    offset_residuals : dict of str to float
        What the offset was judged by: log ratio and `contrast_residual` of held-out overlaps
        without and with it; empty when there was none to judge.
    """

    field: Image
    offset: Image
    method: str
    residual_before: float
    residual_after: float
    residuals: dict[str, float]
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
    method: str
    residuals: dict[str, float]


def choose_flat_field(
    samples: Image,
    pairs: Sequence[OverlapPair],
    *,
    smoothness: float | None = None,
    max_iterations: int = 500,
) -> FlatFieldChoice:
    """Estimate the shading in several ways and keep the one that held-out overlaps prefer.

    Parameters
    ----------
    samples : ndarray, shape (n, y, x), float32
        Shrunk tile images.
    pairs : sequence of OverlapPair
        Overlapping tiles at the same size; every fourth is held out.
    smoothness : float, optional
        Weight of the smoothness term of the common shading; None scales it with the data.
    max_iterations : int
        Limit of its iterations.

    Returns
    -------
    FlatFieldChoice
    """
    common = _CommonShading(smoothness, max_iterations)
    gain = _choose_gain(samples, pairs, common)
    none = np.zeros_like(gain.final)
    before, after = (gain.residuals.get(key, float("nan")) for key in ("none", gain.method))
    plain = FlatFieldChoice(gain.final, none, gain.method, before, after, gain.residuals, {})
    background = background_image(samples) if gain.residuals else None
    if background is None:
        return plain
    signal = _choose_gain(*signal_only(samples, pairs, background), common)
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
        method="offset" if signal.method == "none" else f"offset+{signal.method}",
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
    evidence = OverlapEvidence.of(corrected, limit=_PLACES)
    return {
        "log ratio": evidence.residual(np.ones_like(field)),
        "contrast": contrast_residual(corrected, most=_PLACES // max(1, len(pairs))),
    }


@dataclass(frozen=True, slots=True)
class _CommonShading:
    """How the shading that all samples share is estimated."""

    smoothness: float | None
    max_iterations: int

    def estimate(self, samples: Image) -> tuple[Image, str]:
        """Give the field at the shape of the samples, and the name of the method."""
        small = _shrunk(samples)
        if len(samples) < _FEW_SAMPLES:
            field, name = polynomial_flat_field(small), "polynomial"
        else:
            field, name = (
                basic_flat_field(
                    small, smoothness=self.smoothness, max_iterations=self.max_iterations
                ),
                "basic",
            )
        n_y, n_x = samples.shape[1:]
        return resize_field(field, (n_y, n_x)), name


def _choose_gain(samples: Image, pairs: Sequence[OverlapPair], shading: _CommonShading) -> _Gain:
    """Choose a flat field as if nothing were added to the signal."""
    ones: Image = np.ones(samples.shape[1:], dtype=np.float32)
    most = _PLACES // max(1, len(pairs))
    parts = [OverlapEvidence.of([pair], limit=most) for pair in pairs]
    held_out = OverlapEvidence.joined(parts[3::4])
    evidence = OverlapEvidence.joined([part for i, part in enumerate(parts) if i % 4 != 3])
    if not held_out.log_ratio.size or not evidence.log_ratio.size:
        return _Gain(ones, ones, "none", {})
    common, name = shading.estimate(samples)
    # From the least freedom to the most. Held-out overlaps lie at the borders as well, so they do
    # not notice when a higher order swings in the middle of the tile (10 % at order 6).
    candidates: dict[str, Callable[[OverlapEvidence], Image]] = {
        "none": lambda _: ones,
        **{f"overlap-{order}": _refined(ones, order) for order in (2, 3, 4)},
        name: lambda _: common,
        **{f"{name}+overlap-{order}": _refined(common, order) for order in (2, 4)},
    }
    fields = {key: candidate(evidence) for key, candidate in candidates.items()}
    residuals = {key: held_out.residual(field) for key, field in fields.items()}
    best = "none"
    for key, value in residuals.items():
        if value < residuals[best] * (1 - _PARSIMONY):
            best = key
    if residuals[best] > residuals["none"] * (1 - _LEAST_GAIN):
        best = "none"
    final = candidates[best](OverlapEvidence.joined(parts))
    return _Gain(fields[best], final, best, residuals)


def _shrunk(samples: Image) -> Image:
    """Make samples small enough for hundreds of passes over all of them."""
    factor = max(1.0, max(samples.shape[1:]) / _COMMON_PX)
    shape = (len(samples), *(round(length / factor) for length in samples.shape[1:]))
    return resample_tile(samples, shape)


def _refined(start: Image, order: int) -> Callable[[OverlapEvidence], Image]:
    return lambda evidence: evidence.fit(start, order=order)
