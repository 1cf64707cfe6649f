"""How brightness falls with depth below a block face: one profile for all slices.

At the same place of the specimen two slices differ only by how deep they see it and by their own
brightness, so tissue that two slices share tells the instrument's profile from the specimen's own
contrast. What is the same in both, a brightness that grows with depth and as much from slice to
slice, is told apart by assuming that slices do not get steadily brighter.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mosaicflow.errors import FormatError
from mosaicflow.slices.shadow import Shadow
from mosaicflow.spread import spread_about

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    F64 = NDArray[np.float64]

__all__ = [
    "Comparisons",
    "DepthFit",
    "DepthProfile",
    "SliceNote",
    "fit_depth",
    "middle_ratio",
]

Source = Literal["measured", "per-slice", "off"]

# Standard error of a ratio beyond what its blocks say: the face lies a fraction of a plane off.
# Residuals of two simulated stacks are 0.006 and 0.02; it is measured again from the data, and
# twice as much changes the profile by less than 0.002.
_RATIO_SIGMA = 0.01
# Spread of slices' own brightness (log) that is nothing special. A slice far off, such as one
# recorded with a tenth of the light, costs little more than one at three times this.
_GAIN_SIGMA = 0.05
# Specimens rarely get more than twice as bright from end to end: spread of that trend (log).
_TREND = 0.6
# Steps within slices cannot tell their spread from fewer than three slices.
_STEP_SIGMA = 0.05
# Residuals beyond this many sigma count less (Cauchy's weights).
_TUNING = 2.0
# Rounds of reweighting, by judgement. Doubled, twice the time.
_ROUNDS = 12
# Groups of slices left out in turn, whose scatter is the error. Doubled, twice the time.
_GROUPS = 10
# Most that a single depth counts in the error of a whole profile, in medians of all [1]: the plane
# in which the face lies is known to 0.2 where all others are to 0.01. Errors that grow to both ends
# reach twice the median; doubled, that one plane would be half of the whole again.
_ODD = 3.0
# Blocks of common tissue that two slices are compared by, by judgement. Doubled, slices with
# little tissue have no say.
_FEWEST_BLOCKS = 16


@dataclass(frozen=True, slots=True)
class Comparisons:
    """Brightness ratios of planes, one entry per ratio.

    Parameters
    ----------
    upper, lower : ndarray, shape (n,), int
        Numbers of the two slices. Different ones show the same tissue; the same one twice means
        two neighbouring planes of it.
    upper_depth, lower_depth : ndarray, shape (n,), int
        Planes below the block face.
    log_ratio, sigma : ndarray, shape (n,), float64
        Logarithm of upper over lower, and its standard error from the blocks compared.
    """

    upper: NDArray[np.int64]
    lower: NDArray[np.int64]
    upper_depth: NDArray[np.int64]
    lower_depth: NDArray[np.int64]
    log_ratio: F64
    sigma: F64

    @classmethod
    def of(cls, rows: list[tuple[int, int, int, int, float, float]]) -> Comparisons:
        """Collect rows of (upper, upper_depth, lower, lower_depth, log_ratio, sigma)."""
        table = np.array(rows, np.float64).reshape(-1, 6).T
        upper, upper_depth, lower, lower_depth = table[:4].astype(np.int64)
        return cls(upper, lower, upper_depth, lower_depth, table[4], table[5])

    @property
    def between(self) -> NDArray[np.bool_]:
        """Which compare two slices."""
        return np.asarray(self.upper != self.lower)

    def without(self, slices: NDArray[np.int64]) -> Comparisons:
        """Leave out what any of these slices took part in."""
        kept = ~(np.isin(self.upper, slices) | np.isin(self.lower, slices))
        return Comparisons(*(getattr(self, name)[kept] for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class DepthFit:
    """The profile and the slices' own brightness.

    Parameters
    ----------
    log_level : ndarray, shape (depth,), float64
        Logarithm of the brightness at each depth, mean 0 over what was measured; NaN where
        nothing was.
    sigma : ndarray, shape (depth,), float64
        Standard error of the same.
    log_gain : ndarray, shape (slices,), float64
        Logarithm of each slice's own brightness.
    n_ratios : int
        Ratios between slices that took part.
    """

    log_level: F64
    sigma: F64
    log_gain: F64
    n_ratios: int

    @property
    def uncertainty(self) -> float:
        """Root mean square of sigma over depth, odd depths bounded; infinity without any."""
        known = self.sigma[np.isfinite(self.sigma)]
        if not known.size:
            return float("inf")
        return float(np.sqrt((np.minimum(known, _ODD * np.median(known)) ** 2).mean()))

    def explained(self, found: Comparisons) -> F64:
        """Give the log ratios that profile and gains predict, shape (n,)."""
        level, gain = self.log_level, self.log_gain
        levels = level[found.upper_depth] - level[found.lower_depth]
        return np.asarray(levels + gain[found.upper] - gain[found.lower])


def middle_ratio(upper: NDArray[np.float32], lower: NDArray[np.float32]) -> tuple[float, float]:
    """Give the median log ratio of blocks that show the same columns, and its standard error.

    Parameters
    ----------
    upper, lower : ndarray, shape (n,), float32
        Mean brightness per block; 0 = no data. Blocks, not pixels: the mean of noise is no noise.

    Returns
    -------
    (float, float)
        NaN and infinity with fewer than 16 blocks.
    """
    both = (upper > 0) & (lower > 0)
    count = int(both.sum())
    if count < _FEWEST_BLOCKS:
        return float("nan"), float("inf")
    ratios = np.log(upper[both] / lower[both])
    middle = float(np.median(ratios))
    spread = spread_about(ratios, middle)
    return middle, 1.2533 * spread / count**0.5  # of a median, for normal noise


def fit_depth(found: Comparisons, n_slices: int, n_depth: int, *, n_planes: int) -> DepthFit:
    """Fit one brightness per depth and one per slice to all ratios.

    Parameters
    ----------
    found : Comparisons
        What was measured.
    n_slices, n_depth : int
        Number of slices, and of planes below a face.
    n_planes : int
        Length of the whole stack in planes: over it the specimen's trend is bounded.

    Returns
    -------
    DepthFit
        Its sigma is the larger of what the fit claims and what leaving out tenths of the slices
        changes (jackknife; from five slices on).
    """
    problem = _DepthProblem(found, n_slices, n_depth, _TREND / max(n_planes, 1))
    whole = problem.solve()
    groups = min(_GROUPS, n_slices)
    if n_slices < 5:
        return whole
    parts = []
    for group in range(groups):
        left_out = np.arange(group, n_slices, groups)
        part = replace(problem, found=found.without(left_out)).solve()
        parts.append(np.where(np.isfinite(part.log_level), part.log_level, whole.log_level))
    spread = np.std(parts, axis=0) * (groups - 1) ** 0.5
    return replace(whole, sigma=np.fmax(whole.sigma, spread))


@dataclass(frozen=True, slots=True)
class _DepthProblem:
    """Unknown: a level per depth, a gain per slice, and the specimen's mean step per plane."""

    found: Comparisons
    n_slices: int
    n_depth: int
    trend_sigma: float

    def solve(self) -> DepthFit:
        design, sigma = self._design(), self._sigma()
        values = self.found.log_ratio
        prior = np.concatenate(
            [np.full(self.n_depth, 10.0), np.full(self.n_slices, 3.0), [self.trend_sigma]]
        )
        gains = slice(self.n_depth, self.n_depth + self.n_slices)
        between, weight = self.found.between, np.ones(len(values))
        for round_ in range(_ROUNDS):
            scaled = design * (weight / sigma**2)[:, None]
            normal = scaled.T @ design + np.diag(1 / prior**2)
            solution = np.linalg.solve(normal, scaled.T @ values)
            rest = values - design @ solution
            # At first all gains are free, so that a dark slice is known as one and not as noise.
            if round_ >= 2:
                weight = 1 / (1 + (rest / sigma / _TUNING) ** 2)
                prior[gains] = np.hypot(_GAIN_SIGMA, solution[gains] / _TUNING)
                sigma = self._rescaled(sigma, rest, between)
        return self._result(solution, np.linalg.inv(normal), design)

    def _design(self) -> F64:
        found, rows = self.found, np.arange(len(self.found.log_ratio))
        design = np.zeros((len(rows), self.n_depth + self.n_slices + 1))
        np.add.at(design, (rows, found.upper_depth), 1)
        np.add.at(design, (rows, found.lower_depth), -1)
        np.add.at(design, (rows, self.n_depth + found.upper), 1)
        np.add.at(design, (rows, self.n_depth + found.lower), -1)
        # Two planes of one slice show different tissue.
        design[:, -1] = np.where(found.between, 0, found.upper_depth - found.lower_depth)
        return design

    def _sigma(self) -> F64:
        """Add to the blocks' errors what makes ratios differ from slice to slice."""
        found = self.found
        within = ~found.between
        spread = _STEP_SIGMA
        if len(np.unique(found.upper[within])) >= 3:
            steps = np.full((self.n_slices, self.n_depth), np.nan)
            steps[found.upper[within], found.upper_depth[within]] = found.log_ratio[within]
            seen = np.isfinite(steps).sum(axis=0) >= 3
            rest = steps[:, seen] - np.nanmedian(steps[:, seen], axis=0)
            spread = spread_about(rest[np.isfinite(rest)], 0.0) if seen.any() else spread
            # Slices that overlap see the same specimen again: their steps are no new evidence.
            n_between, n_within = int(found.between.sum()), int(within.sum())
            spread *= (n_between / max(n_within, 1) + 1) ** 0.5
        return np.hypot(found.sigma, np.where(within, max(spread, _RATIO_SIGMA), _RATIO_SIGMA))

    def _rescaled(self, sigma: F64, rest: F64, between: NDArray[np.bool_]) -> F64:
        """Take the error of ratios between slices from how well they agree."""
        if between.sum() < 8:
            return sigma
        spread = spread_about(rest[between], 0.0)
        measured = np.hypot(self.found.sigma, max(spread, _RATIO_SIGMA / 2))
        return np.where(between, measured, sigma)

    def _result(
        self, solution: NDArray[np.floating], covariance: NDArray[np.floating], design: F64
    ) -> DepthFit:
        known = (design[:, : self.n_depth] != 0).any(axis=0)
        level = np.full(self.n_depth, np.nan)
        sigma = np.full(self.n_depth, np.nan)
        if known.any():
            count = int(known.sum())
            centred = np.eye(count) - 1 / count
            own = covariance[: self.n_depth, : self.n_depth][np.ix_(known, known)]
            level[known] = centred @ solution[: self.n_depth][known]
            sigma[known] = np.sqrt(np.maximum(np.diag(centred @ own @ centred.T), 0))
        gains = solution[self.n_depth : self.n_depth + self.n_slices]
        return DepthFit(level, sigma, gains - np.median(gains), int(self.found.between.sum()))


@dataclass(frozen=True, slots=True)
class SliceNote:
    """What the profile says about one slice.

    Parameters
    ----------
    slice_id : int
        The slice.
    log_level : float
        Logarithm of its brightness over that of the others at equal depth.
    shares_tissue : bool
        Whether another slice shows some of the same tissue, so that `stack` can measure its gain;
        otherwise its brightness is matched by `log_level`, the specimen's own contrast with it.
    detail : float
        Logarithm of its fine structure's variance over that of the others at equal depth: noise
        adds to it, blur takes from it.
    """

    slice_id: int
    log_level: float
    shares_tissue: bool
    detail: float


@dataclass(frozen=True, slots=True)
class DepthProfile:
    """Content of ``depth_profile.json``.

    Parameters
    ----------
    source : {'measured', 'per-slice', 'off'}
        One profile for all slices; what `normalize` did to each slice; or values as recorded.
    reason : str
        Why it is not measured.
    plane_um : float
        Pitch of the depths below.
    level, sigma : ndarray, shape (depth,), float64
        Brightness at each depth below the face (mean 1) and its relative standard error (NaN
        where it was not measured and the nearest depth's is taken). Empty unless measured.
    black, white : float
        Recorded value, over the level, that becomes 0 and 1 in the volume.
    slices : tuple of SliceNote
        One per slice placed, where measured.
    shadow : Shadow or None
        How strong the shadows are that tissue throws on what lies below it; None where none are
        proven.
    """

    source: Source
    reason: str = ""
    plane_um: float = 1.0
    level: F64 = field(default_factory=lambda: np.empty(0))
    sigma: F64 = field(default_factory=lambda: np.empty(0))
    black: float = 0.0
    white: float = 1.0
    slices: tuple[SliceNote, ...] = ()
    shadow: Shadow | None = None

    def level_at(self, depth_um: NDArray[np.floating]) -> F64:
        """Interpolate the level at depths below the face [um]; constant beyond the ends."""
        known_um = (np.arange(len(self.level)) + 0.5) * self.plane_um
        return np.asarray(np.interp(depth_um, known_um, self.level))

    def to_json(self) -> dict[str, Any]:
        """Give the content of the file."""
        plain: dict[str, Any] = {"source": self.source, "reason": self.reason}
        if self.source != "measured":
            return plain
        sigma = [round(v, 6) if np.isfinite(v) else None for v in self.sigma.tolist()]
        depth = (np.arange(len(self.level)) + 0.5) * self.plane_um
        return plain | {
            "plane_um": self.plane_um,
            "depth_um": [round(v, 6) for v in depth.tolist()],
            "level": [round(v, 6) for v in self.level.tolist()],
            "sigma": sigma,
            "black": float(f"{self.black:.9g}"),
            "white": float(f"{self.white:.9g}"),
            "slices": [asdict(note) for note in self.slices],
            "shadow": None if self.shadow is None else self.shadow.to_json(),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any], where: str) -> DepthProfile:
        """Read the file.

        Raises
        ------
        FormatError
            When it holds something else.
        """
        try:
            source = record["source"]
            if source in ("per-slice", "off"):
                return cls(source, str(record["reason"]))
            found = cls(
                source,
                str(record["reason"]),
                float(record["plane_um"]),
                np.array(record["level"], np.float64),
                np.array([np.nan if v is None else v for v in record["sigma"]], np.float64),
                float(record["black"]),
                float(record["white"]),
                tuple(SliceNote(**note) for note in record["slices"]),
                Shadow.from_json(record["shadow"]) if record.get("shadow") else None,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise _unreadable(where, repr(error)) from error
        sound = source == "measured" and found.level.size and (found.level > 0).all()
        if not sound or not found.white > found.black or not found.plane_um > 0:
            raise _unreadable(where, "a level, a pitch or white - black that is not above 0")
        return found


def _unreadable(where: str, found: str) -> FormatError:
    return FormatError(
        f"{where}: found no usable depth profile ({found})",
        remedy="run estimate_depth_profile again",
    )
