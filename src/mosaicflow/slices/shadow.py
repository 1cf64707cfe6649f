"""What tissue takes from the light of the tissue below it, and how to give it back.

A slice shows the tissue at its bottom below what is cut off next, and the next slice shows the same
tissue at its face. What the two do not share is the shadow of the tissue in between, of which the
upper slice shows the pattern too: how strong shadows are is measured, and a specimen without any is
left alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.spread import spread_about

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    F32 = NDArray[np.float32]
    F64 = NDArray[np.float64]

__all__ = ["Shadow", "ShadowFit", "SharedBlocks", "lift_shadows", "measure_shadow"]

# Nothing becomes more than five times as bright or as dim (log), as with the other correction of
# attenuation; sound tissue needs a factor of 2 at most.
_LIMIT = 1.609
# Shadows count when they are this many standard errors strong: chance does so once in 700 runs.
_PROVEN = 3.0
# Lifting them must narrow the spread of blocks not fitted by this share: the simulated demo, which
# has none, says 0.002, and sets with shadows 0.6. At ten times this, shadows of 0.5 % a plane stay.
_LEAST_GAIN = 0.02
# Strength and pattern depend on each other: they are solved until the strength stands still to this
# share, a tenth of its usual error, in this many rounds at most (five are usual).
_STILL, _ROUNDS = 0.005, 12
# Blocks of one plane that tell a slope.
_FEWEST_BLOCKS = 32
# Residuals beyond this many sigma count less (Cauchy's weights).
_TUNING = 2.0
# The plane of the face is half water, as much of it as the knife's waves have it.
_FIRST_PLANE = 1


@dataclass(frozen=True, slots=True)
class Shadow:
    """How strong shadows are.

    Parameters
    ----------
    strength : float
        Part of the light (its logarithm) that one plane of typical tissue takes.
    unit : float
        Recorded value, over the depth profile's level, of typical tissue.
    above : ndarray, shape (depth,), float64
        Planes of typical tissue above each depth, usually: their shadow is in the depth profile.
    """

    strength: float
    unit: float
    above: F64

    def to_json(self) -> dict[str, Any]:
        """Give the entry in ``depth_profile.json``."""
        return {
            "strength": round(self.strength, 6),
            "unit": float(f"{self.unit:.9g}"),
            "above": [round(v, 5) for v in self.above.tolist()],
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Shadow:
        """Read the entry; ValueError for numbers that nobody can mean."""
        found = cls(
            float(record["strength"]), float(record["unit"]), np.array(record["above"], np.float64)
        )
        sound = found.unit > 0 and found.above.ndim == 1 and found.above.size
        if not (sound and np.isfinite([found.strength, found.unit, *found.above]).all()):
            raise ValueError("no usable shadow")
        return found


@dataclass(frozen=True, slots=True)
class SharedBlocks:
    """Blocks of tissue that two neighbouring slices show.

    Parameters
    ----------
    upper, lower : ndarray, shape (depth, n), float32
        Mean recorded values, over the slices' own brightness; 0 = no data.
    lag : int
        Planes by which the lower slice's face lies below the upper one's.
    """

    upper: F32
    lower: F32
    lag: int


@dataclass(frozen=True, slots=True)
class ShadowFit:
    """What was measured.

    Parameters
    ----------
    shadow : Shadow or None
        None where shadows are not proven to be there, or do not explain blocks left out better.
    strength, sigma : float
        What was found, and its standard error; NaN without blocks.
    spread_before, spread_after : float
        Spread of log ratios of the same tissue in two slices, on blocks not used for the fit.
    """

    shadow: Shadow | None
    strength: float
    sigma: float
    spread_before: float
    spread_after: float


def lift_shadows(planes: F32, shadow: Shadow, level: F64, *, thickness: float = 1.0) -> None:
    """Brighten what lies below more tissue than usual, and dim what lies below less; in place.

    Parameters
    ----------
    planes : ndarray, shape (z, ...), float32
        Recorded values with the face in plane 0; 0 = no data, and stays 0.
    shadow : Shadow
        How strong shadows are.
    level : ndarray, shape (z,), float64
        The depth profile's level at each plane, times the slice's own brightness.
    thickness : float
        Of these planes, in planes of the profile.
    """
    depths = (np.arange(len(planes)) + 0.5) * thickness - 0.5
    usual = np.interp(depths, np.arange(len(shadow.above)), shadow.above)
    taken = np.zeros(planes.shape[1:], np.float32)
    for plane, one_level, one_usual in zip(planes, level, usual, strict=True):
        change = np.float32(shadow.strength) * (taken - np.float32(one_usual))
        plane *= np.exp(np.clip(change, -_LIMIT, _LIMIT))
        taken += plane * np.float32(thickness / (one_level * shadow.unit))


def measure_shadow(pairs: Sequence[SharedBlocks], level: F64) -> ShadowFit:
    """Fit one strength to all pairs of neighbours.

    Parameters
    ----------
    pairs : sequence of SharedBlocks
        What neighbours show alike.
    level : ndarray, shape (depth,), float64
        The depth profile.

    Returns
    -------
    ShadowFit
    """
    nothing = ShadowFit(None, np.nan, np.nan, np.nan, np.nan)
    pairs = [pair for pair in pairs if pair.upper.shape[1] >= 2 * _FEWEST_BLOCKS]
    if not pairs:
        return nothing
    whole = _fit(pairs, level)
    if whole is None:
        return nothing
    # Each half of the blocks is judged by what the other one says.
    even, odd = ([_part(pair, parity) for pair in pairs] for parity in (0, 1))
    spreads = _held_out([(even, _fit(odd, level)), (odd, _fit(even, level))], level)
    shadow, slopes = whole
    sigma = _error(slopes)
    proven = shadow.strength > _PROVEN * sigma and spreads[1] < (1 - _LEAST_GAIN) * spreads[0]
    return ShadowFit(shadow if proven else None, shadow.strength, sigma, *spreads)


def _held_out(
    judged: Sequence[tuple[Sequence[SharedBlocks], tuple[Shadow, list[_Slope]] | None]], level: F64
) -> tuple[float, float]:
    """Spread of log ratios before and after shadows are lifted that other blocks told of."""
    before, after = [], []
    for blocks, fit in judged:
        if fit is not None:
            before += _residuals(blocks, level, replace(fit[0], strength=0.0))
            after += _residuals(blocks, level, fit[0])
    if not before:
        return np.nan, np.nan
    return spread_about(np.concatenate(before), 0.0), spread_about(np.concatenate(after), 0.0)


def _part(pair: SharedBlocks, parity: int) -> SharedBlocks:
    return SharedBlocks(pair.upper[:, parity::2], pair.lower[:, parity::2], pair.lag)


@dataclass(frozen=True, slots=True)
class _Slope:
    """What one pair says of the strength, and the precision of that."""

    pair: int
    value: float
    weight: float


def _fit(pairs: Sequence[SharedBlocks], level: F64) -> tuple[Shadow, list[_Slope]] | None:
    """Find the strength at which lifted planes throw the shadows that are seen."""
    depth = len(level)
    values = [v for pair in pairs for v in (pair.upper[_FIRST_PLANE:], pair.lower[_FIRST_PLANE:])]
    over = [v / level[_FIRST_PLANE : _FIRST_PLANE + len(v), None] for v in values]
    bright = np.concatenate([v[v > 0] for v in over])
    if not bright.size:
        return None
    unit = float(np.median(bright))
    seen = _Lifted(pairs, level, Shadow(0.0, unit, np.arange(depth, dtype=np.float64)))
    if not seen.slopes:
        return None
    # Lifted too little, the pattern of what lies above asks for more, and the other way round.
    low, high = (0.0, seen.asked), (seen.asked, 0.0)
    if seen.asked > 0:
        seen = seen.lifted(high[0])
        high = high[0], min(seen.asked - high[0], 0.0)
    for _ in range(_ROUNDS if high[1] < 0 else 0):
        strength = (low[0] * high[1] - high[0] * low[1]) / (high[1] - low[1])
        seen = seen.lifted(strength)
        more = seen.asked - strength
        # The end that stays is believed half as much (Illinois), so that both come nearer.
        if more > 0:
            low, high = (strength, more), (high[0], high[1] / 2)
        else:
            low, high = (low[0], low[1] / 2), (strength, more)
        if abs(more) < _STILL * abs(strength):
            break
    return replace(seen.shadow, strength=seen.asked), seen.slopes


class _Lifted:
    """How strong shadows look once shadows of some strength are lifted."""

    def __init__(self, pairs: Sequence[SharedBlocks], level: F64, shadow: Shadow) -> None:
        self._pairs, self._level = pairs, level
        above = [_above(pair, shadow, level) for pair in pairs]
        self.shadow = replace(shadow, above=_usual(above, len(level)))
        self.slopes = [
            found
            for number, (pair, planes) in enumerate(zip(pairs, above, strict=True))
            for found in _slopes(number, pair, planes)
        ]

    @property
    def asked(self) -> float:
        """The strength that the lifted pattern asks for."""
        weights = np.array([one.weight for one in self.slopes])
        return float(weights @ [one.value for one in self.slopes] / weights.sum())

    def lifted(self, strength: float) -> _Lifted:
        """Look again after shadows of this strength were lifted."""
        return _Lifted(self._pairs, self._level, replace(self.shadow, strength=strength))


def _above(pair: SharedBlocks, shadow: Shadow, level: F64) -> tuple[F64, F64]:
    """Planes of typical tissue above each block of both slices, without their shadows."""
    sums = []
    for values in (pair.upper, pair.lower):
        planes = np.array(values, np.float32)
        own = level[: len(planes)]
        lift_shadows(planes, shadow, own)
        lit = planes / (own[:, None] * shadow.unit)
        sums.append(np.cumsum(lit, axis=0) - lit)
    return sums[0], sums[1]


def _usual(above: Sequence[tuple[F64, F64]], depth: int) -> F64:
    """Median over the blocks of all slices, at each depth; carried on beyond what was seen."""
    sides = [one for pair in above for one in pair]
    longest = min(max(len(one) for one in sides), depth)
    usual = np.array([
        np.median(np.concatenate([one[k] for one in sides if len(one) > k])) for k in range(longest)
    ])  # fmt: skip
    step = usual[-1] - usual[-2] if longest > 1 else 1.0
    more = usual[-1] + step * np.arange(1, depth - longest + 1)
    return np.asarray(np.maximum.accumulate(np.concatenate([usual, more])), np.float64)


def _planes(pair: SharedBlocks, above: tuple[F64, F64]) -> list[tuple[F64, F64]]:
    """List, plane by plane, log ratios of the same tissue and the shadows' difference."""
    rows = []
    for lower in range(_FIRST_PLANE, min(len(pair.upper) - pair.lag, len(pair.lower))):
        upper = lower + pair.lag
        if upper < _FIRST_PLANE:
            continue
        seen = (pair.upper[upper] > 0) & (pair.lower[lower] > 0)
        if seen.sum() < _FEWEST_BLOCKS:
            continue
        ratio = np.log(pair.upper[upper, seen] / pair.lower[lower, seen])
        more = above[0][upper, seen] - above[1][lower, seen]
        rows.append((np.asarray(ratio, np.float64), np.asarray(more, np.float64)))
    return rows


def _slopes(number: int, pair: SharedBlocks, above: tuple[F64, F64]) -> list[_Slope]:
    """Fit a line to each plane, robustly; the slope is minus the strength."""
    found = []
    for ratio, more in _planes(pair, above):
        design = np.stack([np.ones_like(more), more - more.mean()])
        weight = np.ones_like(ratio)
        for _ in range(6):
            normal = (design * weight) @ design.T
            if np.linalg.cond(normal) > 1e12:
                break
            line = np.linalg.solve(normal, (design * weight) @ ratio)
            rest = ratio - line @ design
            sigma = max(spread_about(rest, 0.0), 1e-6)
            weight = 1 / (1 + (rest / sigma / _TUNING) ** 2)
        else:
            found.append(_Slope(number, -float(line[1]), float(normal[1, 1]) / sigma**2))
    return found


def _error(slopes: Sequence[_Slope]) -> float:
    """Give the standard error of the mean slope: by how pairs differ, planes where there are few.

    Planes of one pair show nearly the same tissue, so they count as one where there are pairs.
    """
    keys = [one.pair for one in slopes]
    if len(set(keys)) < 3:
        keys = list(range(len(slopes)))
    values = np.array([one.value for one in slopes])
    weights = np.array([one.weight for one in slopes])
    mean = float(weights @ values / weights.sum())
    pulls = [float((weights * (values - mean))[np.array(keys) == key].sum()) for key in set(keys)]
    scatter = float(np.hypot.reduce(pulls)) / float(weights.sum())
    return max(scatter, 1 / math.sqrt(float(weights.sum())))


def _residuals(pairs: Sequence[SharedBlocks], level: F64, shadow: Shadow) -> list[F64]:
    """Log ratios of the same tissue about the middle of their plane, once shadows are lifted."""
    rest = []
    for pair in pairs:
        for ratio, more in _planes(pair, _above(pair, shadow, level)):
            value = ratio + shadow.strength * more
            rest.append(value - np.median(value))
    return rest
