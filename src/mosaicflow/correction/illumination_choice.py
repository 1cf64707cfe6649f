"""Deciding between flat fields by what held-out overlaps say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.correction.illumination import (
    OverlapEvidence,
    basic_flat_field,
    polynomial_flat_field,
    resize_field,
)
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


@dataclass(frozen=True, slots=True)
class FlatFieldChoice:
    """The flat field that explains held-out overlaps best, and the evidence.

    Parameters
    ----------
    field : ndarray, shape (y, x), float32
        Flat field, mean 1; all ones when none was good enough.
    method : str
        How it was found.
    residual_before, residual_after : float
        Mean absolute log ratio of held-out overlaps with a flat field of ones and with `field`.
    residuals : dict of str to float
        The same figure for every candidate.
    """

    field: Image
    method: str
    residual_before: float
    residual_after: float
    residuals: dict[str, float]

    @property
    def accepted(self) -> bool:
        """Whether a field other than ones is used."""
        return self.method != "none"


def choose_flat_field(
    samples: Image,
    pairs: Sequence[OverlapPair],
    *,
    smoothness: float | None = None,
    max_iterations: int = 500,
) -> FlatFieldChoice:
    """Estimate the flat field in several ways and keep the one that held-out overlaps prefer.

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
    ones: Image = np.ones(samples.shape[1:], dtype=np.float32)
    most = _PLACES // max(1, len(pairs))
    parts = [OverlapEvidence.of([pair], limit=most) for pair in pairs]
    held_out = OverlapEvidence.joined(parts[3::4])
    evidence = OverlapEvidence.joined([part for i, part in enumerate(parts) if i % 4 != 3])
    if not held_out.log_ratio.size or not evidence.log_ratio.size:
        nan = float("nan")
        return FlatFieldChoice(ones, "none", nan, nan, {})
    small = _shrunk(samples)
    if len(samples) < _FEW_SAMPLES:
        common, name = polynomial_flat_field(small), "polynomial"
    else:
        common = basic_flat_field(small, smoothness=smoothness, max_iterations=max_iterations)
        name = "basic"
    n_y, n_x = ones.shape
    common = resize_field(common, (n_y, n_x))
    # From the least freedom to the most. Held-out overlaps lie at the borders as well, so they do
    # not notice when a higher order swings in the middle of the tile (10 % at order 6).
    candidates: dict[str, Callable[[OverlapEvidence], Image]] = {
        "none": lambda _: ones,
        **{f"overlap-{order}": _refined(ones, order) for order in (2, 3, 4)},
        name: lambda _: common,
        **{f"{name}+overlap-{order}": _refined(common, order) for order in (2, 4)},
    }
    residuals = {
        key: held_out.residual(candidate(evidence)) for key, candidate in candidates.items()
    }
    best = "none"
    for key, value in residuals.items():
        if value < residuals[best] * (1 - _PARSIMONY):
            best = key
    before, after = residuals["none"], residuals[best]
    if after > before * (1 - _LEAST_GAIN):
        return FlatFieldChoice(ones, "none", before, before, residuals)
    return FlatFieldChoice(
        candidates[best](OverlapEvidence.joined(parts)), best, before, after, residuals
    )


def _shrunk(samples: Image) -> Image:
    """Make samples small enough for hundreds of passes over all of them."""
    factor = max(1.0, max(samples.shape[1:]) / _COMMON_PX)
    shape = (len(samples), *(round(length / factor) for length in samples.shape[1:]))
    return resample_tile(samples, shape)


def _refined(start: Image, order: int) -> Callable[[OverlapEvidence], Image]:
    return lambda evidence: evidence.fit(start, order=order)
