"""Learning the distortion that all tiles share from windows along their seams.

Two tiles see the same place at a and b: the shift between them is that of the stage plus what the
lens adds at b less what it adds at a. The stage's part is the same along a seam, the lens's is
not. Overlaps show the borders only, and neither a displacement of the whole tile nor a stretch of
it: mean and linear part are none by definition.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.mosaic.distortion import TileDistortion
from mosaicflow.mosaic.tile_basis import FieldBasis
from mosaicflow.spread import median_of, spread_about

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from numpy.typing import NDArray

    from mosaicflow.mosaic.link import Link
    from mosaicflow.mosaic.seam_windows import SeamWindow

    F64 = NDArray[np.float64]

__all__ = ["DistortionFit", "fit_distortion", "no_distortion", "straightened"]

# Quadratic and cubic terms: on a confocal microscope bent by 3 px they leave 0.067 px inside the
# seams, the fourth and fifth order 0.065; twice the order is noise where overlaps do not look.
_ORDER = 3
# Seams and windows below which nothing is learnt: fourteen numbers need several of each.
_FEWEST_SEAMS, _FEWEST_WINDOWS = 6, 42
# Nodes of the grid along an axis: linear interpolation between them errs by 0.2 % of the field.
_NODES = 33
# Expected coefficient before anything is known [px]; a lens of ten pixels is still learnt.
_FIRST_SCALE_PX = 1.0
# A cubic along the step hardly differs inside a seam from what the stage did: such terms are
# believed to be up to this share of the strongest order's, so that they are neither taken for none
# nor for sure. On a scan whose cubic is a quarter of its quadratic term the field was off by 0.18
# px and said 0.025; with it by 0.12, and says 0.07 to 0.09. Halved or doubled, the same to a tenth.
_LEAST_SHARE = 0.5
# A window further off than so many standard deviations loses its say: repeated texture, specks.
_LOSS_WIDTH = 2.5
# Median length of a vector whose two parts have a standard deviation of 1.
_RAYLEIGH = 1.177
# Rounds of the robust fit, and parts left out in turn; by judgement. Doubled, twice the time.
_ROUNDS, _FOLDS = 12, 5
# Left-out seams must agree better by this share, and beyond chance by so many standard errors:
# one set in a thousand without distortion would pass.
_LEAST_GAIN, _LEAST_ERRORS = 0.05, 3.0
# Windows of a link from which their own mean is its shift, where the field changes by more than
# this along the seam [px]: up to there the shift of a whole overlap is the mean of its parts.
_FEWEST_OF_LINK, _LINEAR_PX = 3, 0.5


@dataclass(frozen=True, slots=True)
class DistortionFit:
    """The distortion that seams speak for, and the evidence.

    Parameters
    ----------
    distortion : TileDistortion
        All zero where it is not kept.
    n_windows, n_seams : int
        What it was learnt from.
    before_px, after_px : float
        Median departure of windows from their seam's shift, in seams that were left out, as
        recorded and straightened; NaN where there were too few.
    gain_errors : float
        Standard errors by which those seams agree better straightened; NaN likewise.
    error_px : float
        Expected root mean square error over the tile of what was found; NaN where nothing was.
    found_px : float
        Root mean square of what was found, kept or not.
    doubt : ndarray, shape (2, terms, terms), float64, or None
        Covariance of its coefficients along y and x [px^2]; None where nothing was learnt.
    """

    distortion: TileDistortion
    n_windows: int
    n_seams: int
    before_px: float = float("nan")
    after_px: float = float("nan")
    gain_errors: float = float("nan")
    error_px: float = float("nan")
    found_px: float = float("nan")
    doubt: F64 | None = None

    def common_px(self, tile_yx: tuple[int, int], shift_px: tuple[float, float]) -> float:
        """Give the standard error that straightening adds to all links of a shift alike [px]."""
        if self.doubt is None or not self.distortion.kept:
            return 0.0
        basis = FieldBasis(_ORDER, tile_yx, least=2)
        bend = _mean_over_overlap(lambda y, x: basis.at(y, x), tile_yx, shift_px)
        return float(np.sqrt(max(bend @ part @ bend for part in self.doubt)))


def no_distortion(tile_yx: tuple[int, int]) -> TileDistortion:
    """Give tiles as they are."""
    rows, columns = (np.linspace(0, n - 1, min(_NODES, n)) for n in tile_yx)
    return TileDistortion(rows, columns, np.zeros((2, len(rows), len(columns))))


def fit_distortion(
    slices: Sequence[Sequence[SeamWindow]], tile_yx: tuple[int, int]
) -> DistortionFit:
    """Fit one smooth displacement to the windows of all slices; keep it if left-out seams agree.

    Parameters
    ----------
    slices : sequence of sequence of SeamWindow
        Windows of each slice.
    tile_yx : (int, int)
        Lateral shape of a tile.

    Returns
    -------
    DistortionFit
    """
    seams = _Seams.of(slices, FieldBasis(_ORDER, tile_yx, least=2))
    none = DistortionFit(no_distortion(tile_yx), seams.n_windows, seams.n_seams)
    if seams.n_seams < _FEWEST_SEAMS or seams.n_windows < _FEWEST_WINDOWS:
        return none
    solution = seams.solved(np.ones(seams.n_windows, bool))
    before, after = seams.held_out()
    found = seams.on_grid(solution.terms)
    gain, share = _advantage(before, after)
    kept = gain > _LEAST_ERRORS and share >= _LEAST_GAIN
    return replace(
        none,
        distortion=found if kept else none.distortion,
        before_px=float(np.median(np.concatenate(before))),
        after_px=float(np.median(np.concatenate(after))),
        gain_errors=gain,
        error_px=float(np.sqrt(np.trace(solution.doubt, axis1=1, axis2=2).sum())),
        found_px=found.rms_px,
        doubt=solution.doubt,
    )


def _advantage(before: Sequence[F64], after: Sequence[F64]) -> tuple[float, float]:
    """By how much left-out seams agree better: in standard errors, each seam a vote; as a share."""
    gain = np.array([a.mean() - b.mean() for a, b in zip(before, after, strict=True)])
    error = max(float(gain.std(ddof=1)) / np.sqrt(len(gain)), 1e-12)
    total = max(sum(float(a.mean()) for a in before), 1e-12)
    return float(gain.mean()) / error, float(gain.sum()) / total


@dataclass(frozen=True, slots=True)
class _Solution:
    """Coefficients, shape (terms, 2), and their covariance along y and x."""

    terms: F64
    doubt: F64


@dataclass(frozen=True, slots=True)
class _Seams:
    """Windows of all slices as arrays; the difference of the basis between b and a."""

    basis: FieldBasis
    matrix: F64  # (n, terms)
    shift: F64  # (n, 2)
    sigma: F64  # (n,)
    seam: NDArray[np.int64]  # (n,)

    @classmethod
    def of(cls, slices: Sequence[Sequence[SeamWindow]], basis: FieldBasis) -> _Seams:
        label: dict[Hashable, int] = {}
        windows = [(number, one) for number, found in enumerate(slices) for one in found]
        seam = [label.setdefault((n, w.a, w.b), len(label)) for n, w in windows]
        ends = np.array([[w.at_a, w.at_b] for _, w in windows], float).reshape(-1, 2, 2)
        here, there = (basis.at(ends[:, i, 0], ends[:, i, 1]) for i in (0, 1))
        return cls(
            basis,
            np.asarray((there - here).T),
            np.array([w.shift_px for _, w in windows], float).reshape(-1, 2),
            np.array([w.sigma_px for _, w in windows], float),
            np.array(seam, np.int64),
        )

    @property
    def n_windows(self) -> int:
        return len(self.seam)

    @property
    def n_seams(self) -> int:
        return len(np.unique(self.seam))

    def solved(self, used: NDArray[np.bool_]) -> _Solution:
        """Fit the field, each seam with a shift of its own, to a part of the windows.

        Windows lose their say as they disagree (Geman and McClure's loss); the size of each order
        is learnt (relevance determination), so that what overlaps hardly see stays small.
        """
        matrix, shift, seam = self.matrix[used], self.shift[used], self.seam[used]
        weights = 1 / (self.sigma[used] ** 2 + np.median(self.sigma[used]) ** 2)
        trust, noise = np.ones(len(seam)), 1.0
        totals = self.basis.totals
        scale2 = np.full((len(totals), 2), _FIRST_SCALE_PX**2)
        terms: F64 = np.zeros((len(totals), 2))
        spread: F64 = np.zeros((2, len(totals), len(totals)))
        for _ in range(_ROUNDS):
            inner, step = (_within(v, seam, trust * weights) for v in (matrix, shift))
            left = step - inner @ terms
            size = np.sqrt((left**2).sum(axis=1) * weights / 2)
            noise = max(spread_about(size, 0.0) / _RAYLEIGH, 1e-6)
            trust = 1 / (1 + (size / (_LOSS_WIDTH * noise)) ** 2) ** 2
            inner, step = (_within(v, seam, trust * weights) for v in (matrix, shift))
            weighted = inner * (trust * weights / noise**2)[:, None]
            normal = weighted.T @ inner
            for axis in (0, 1):
                spread[axis] = np.linalg.inv(normal + np.diag(1 / scale2[:, axis]))
                terms[:, axis] = spread[axis] @ (weighted.T @ step[:, axis])
            scale2 = _scales(terms, spread, totals)
        return _Solution(terms, spread)

    def held_out(self) -> tuple[list[F64], list[F64]]:
        """Departures inside each seam that was left out, as recorded and straightened [px]."""
        names = np.unique(self.seam)
        before: list[F64] = []
        after: list[F64] = []
        for fold in range(_FOLDS):
            out = names[fold::_FOLDS]
            terms = self.solved(~np.isin(self.seam, out)).terms
            for name in out.tolist():
                mine = self.seam == name
                if mine.sum() < 2:
                    continue
                for found, field in ((before, 0 * terms), (after, terms)):
                    left = self.shift[mine] - self.matrix[mine] @ field
                    found.append(np.hypot(*(left - np.median(left, axis=0)).T))
        return before, after

    def on_grid(self, terms: F64) -> TileDistortion:
        grid = no_distortion(self.basis.shape_yx)
        y, x = np.meshgrid(grid.rows_px, grid.columns_px, indexing="ij")
        shift = terms.T @ self.basis.at(y.ravel(), x.ravel())
        return replace(grid, shift_px=shift.reshape(2, *y.shape))


def _scales(terms: F64, spread: F64, totals: NDArray[np.int64]) -> F64:
    """Learn the variance of the terms of each order: a lower one is no smaller, none is nothing."""
    size = terms**2 + np.stack([np.diag(part) for part in spread], axis=1)
    scale2: F64 = np.empty_like(size)
    least = 1e-8
    for total in sorted(set(totals.tolist()), reverse=True):
        at = totals == total
        least = max(least, float(size[at].mean()))
        scale2[at] = least
    return np.asarray(np.maximum(scale2, _LEAST_SHARE**2 * scale2.max(axis=0)))


def _within(values: F64, seam: NDArray[np.int64], weights: F64) -> F64:
    """Take the weighted mean of its seam off each row."""
    sums = np.zeros((int(seam.max()) + 1, values.shape[1]))
    np.add.at(sums, seam, values * weights[:, None])
    total = np.bincount(seam, weights)
    return np.asarray(values - (sums / np.maximum(total, 1e-300)[:, None])[seam])


def straightened(
    links: Sequence[Link],
    windows: Sequence[SeamWindow],
    fit: DistortionFit,
    tile_yx: tuple[int, int],
) -> list[Link]:
    """Give the links of one slice as tiles without distortion would have shown them.

    Parameters
    ----------
    links : sequence of Link
        Measured shifts.
    windows : sequence of SeamWindow
        Windows along their seams.
    fit : DistortionFit
        What to take off, and how sure it is: its error moves all links of a direction alike.
    tile_yx : (int, int)
        Lateral shape of a tile.

    Returns
    -------
    list of Link
    """
    distortion = fit.distortion
    if not distortion.kept:
        return list(links)
    by_seam: dict[Hashable, list[SeamWindow]] = {}
    for window in windows:
        by_seam.setdefault((window.a, window.b), []).append(window)
    moved = [np.add(k.shift_px, _mean_bend(k, distortion, tile_yx)) for k in links]
    own = [_own_shift(by_seam.get((k.a, k.b), ()), distortion) for k in links]
    common = [0.0] * len(links)
    # Where tissue lies decides which part of an overlap its whole shift stands for: on the
    # average, as links that windows tell of show.
    for down in (False, True):
        mine = [i for i, k in enumerate(links) if (k.b[0] != k.a[0]) is down]
        known = [found.shift_px - moved[i] for i in mine if (found := own[i]) is not None]
        usual = np.median(known, axis=0) if known else np.zeros(2)
        typical = np.median([links[i].shift_px for i in mine], axis=0) if mine else np.zeros(2)
        shared = fit.common_px(tile_yx, (float(typical[0]), float(typical[1])))
        for i in mine:
            common[i] = shared
            found = own[i]
            bent = found is not None and found.range_px > _LINEAR_PX
            moved[i] = found.shift_px if found is not None and bent else moved[i] + usual
    # What parts of an overlap disagreed about was the bend: loops tell of the errors that are left.
    return [
        replace(k, shift_px=(float(y), float(x)), scatter=float("nan"), common_px=both)
        for k, (y, x), both in zip(links, moved, common, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class _OwnShift:
    """Mean of the straightened windows of a link, and by how much the field varies over them."""

    shift_px: F64
    range_px: float


def _own_shift(windows: Sequence[SeamWindow], distortion: TileDistortion) -> _OwnShift | None:
    if len(windows) < _FEWEST_OF_LINK:
        return None
    ends = np.array([[w.at_a, w.at_b] for w in windows], float)
    here, there = (distortion.at(ends[:, i, 0], ends[:, i, 1]) for i in (0, 1))
    bends = (here - there).T
    shifts = np.array([w.shift_px for w in windows]) + bends
    found = np.median(shifts, axis=0)
    for _ in range(_ROUNDS):
        off = np.hypot(*(shifts - found).T)
        scale = max(median_of(off) / _RAYLEIGH, 1e-3)
        trust = 1 / (1 + (off / (_LOSS_WIDTH * scale)) ** 2) ** 2
        found = (trust[:, None] * shifts).sum(axis=0) / trust.sum()
    return _OwnShift(np.asarray(found), float(np.hypot(*np.ptp(bends, axis=0))))


def _mean_bend(link: Link, distortion: TileDistortion, tile_yx: tuple[int, int]) -> F64:
    """Mean over the overlap of what straightening adds to the shift."""
    return _mean_over_overlap(distortion.at, tile_yx, link.shift_px)


def _mean_over_overlap(
    field: Callable[[F64, F64], F64], tile_yx: tuple[int, int], shift_px: tuple[float, float]
) -> F64:
    """Mean of a field at the first tile less that at the second, over what both see."""
    spans = [
        np.linspace(max(0.0, d), min(n, n + d) - 1, 12)
        for d, n in zip(shift_px, tile_yx, strict=True)
    ]
    y, x = (axis.ravel() for axis in np.meshgrid(*spans, indexing="ij"))
    return np.asarray((field(y, x) - field(y - shift_px[0], x - shift_px[1])).mean(axis=1))
