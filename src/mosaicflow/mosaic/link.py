"""A measured shift between two neighbouring tiles."""

from __future__ import annotations

from dataclasses import dataclass

Tile = tuple[int, int]

__all__ = ["Link", "LinkOption", "Linking", "Tile"]


@dataclass(frozen=True, slots=True)
class Link:
    """Measured shift between two neighbouring tiles.

    Parameters
    ----------
    a, b : (int, int)
        Lattice indices (iy, ix).
    shift_px : (float, float)
        Position of `b` minus position of `a`, (y, x).
    ncc, peak_ratio : float
        How well and how clearly they match.
    evidence : float
        By how many standard deviations the match exceeds what unrelated tiles reach in the same
        search; NaN when not measured.
    sigma_px : float
        Standard error per axis as the noise of the pixels alone would make it; NaN when unknown.
    lean : (float, float)
        How that error leans: (yy - xx) / (yy + xx) and 2 yx / (yy + xx) of its covariance; along an
        edge less is known than across it. (0, 0): alike in all directions.
    scatter : float
        Variance by which parts of the overlap disagree over what that noise would make; NaN when
        not measured.
    common_px : float
        Standard error that all links of a direction share, as a bent field makes it.
    misfit : float
        Square of what differs between the tiles in the overlap, by its middle half; NaN when not
        measured.
    stage_ncc : float
        How well they match where the stage says; NaN when not measured.
    weight : float
        Weight in the solution.
    used : bool
        Whether it took part in the final solution.
    """

    a: Tile
    b: Tile
    shift_px: tuple[float, float]
    ncc: float
    peak_ratio: float
    evidence: float = float("nan")
    sigma_px: float = float("nan")
    lean: tuple[float, float] = (0.0, 0.0)
    scatter: float = float("nan")
    common_px: float = 0.0
    misfit: float = float("nan")
    stage_ncc: float = float("nan")
    weight: float = 0.0
    used: bool = False


@dataclass(frozen=True, slots=True)
class LinkOption:
    """One shift by whole pixels that a pair of tiles may have.

    Parameters
    ----------
    shift_px : (int, int)
        Position of the second tile minus that of the first, (y, x).
    excess : float
        Standard deviations by which its evidence exceeds chance.
    height, ncc : float
        Evidence itself and correlation, of the search that found it.
    ratio : float
        Its evidence over that of the best other candidate.
    """

    shift_px: tuple[int, int]
    excess: float
    height: float
    ncc: float
    ratio: float = 1.0


@dataclass(frozen=True, slots=True)
class Linking:
    """What the overlaps of a slice have told.

    Parameters
    ----------
    links : tuple of Link
        Shifts that chance does not explain.
    limit_px : float
        How far a step of the stage was believed to miss, per axis, learnt from sure links.
    n_sure : int
        Links that needed no other to be believed.
    n_far : int
        Pairs found by the search of whole tiles only: the stage was off by more than a search
        round it looks.
    """

    links: tuple[Link, ...]
    limit_px: float
    n_sure: int
    n_far: int
