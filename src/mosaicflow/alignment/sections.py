"""How thick the sections were: one depth per face that agrees with all measured pairs."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.alignment.solution import Section
from mosaicflow.fits import robust_fit
from mosaicflow.spread import spread_about

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from mosaicflow.alignment.links import SliceLink

__all__ = ["DepthRules", "Faces", "solve_depths"]

# What sections of a microtome differ by before any was measured: this share of the interval, and
# this many planes of the volume at the least (3 um of planes of 10 um), as less is hardly drawn.
# Doubled, a section that nothing measures has twice the sigma.
_SHARE, _LEAST_PLANES = 0.05, 0.3
# What is assumed of the sections counts as this many measured ones.
_CLAIM = 2.0
# A thickness counts as measured when it is known this much better than without images.
_MEASURED = 0.5
# Residuals beyond this many standard errors lose their say (Cauchy).
_CAUCHY = 2.0


@dataclass(frozen=True, slots=True)
class DepthRules:
    """What is known before the images are seen.

    Parameters
    ----------
    use_expected : bool
        Keep every face where its number puts it.
    interval_um : float
        Thickness that the microtome was set to.
    plane_um : float
        Distance of the planes of the volume.
    """

    use_expected: bool
    interval_um: float
    plane_um: float

    @property
    def least_um(self) -> float:
        """What sections differ by at the least."""
        return _LEAST_PLANES * self.plane_um


@dataclass(frozen=True, slots=True)
class Faces:
    """Where the block faces lie.

    Parameters
    ----------
    depth_um : mapping
        Depth of every face below the first, by slice id.
    sections : mapping
        Tissue above every face but the first, by slice id.
    """

    depth_um: Mapping[int, float]
    sections: Mapping[int, Section]


def solve_depths(ids: Sequence[int], links: Sequence[SliceLink], rules: DepthRules) -> Faces:
    """Fit all depths to all measured differences at once.

    Parameters
    ----------
    ids : sequence of int
        Slices in use, sorted; an id left out leaves its section where it is, never glued shut.
    links : sequence of SliceLink
        Pairs; those with a finite depth error count.
    rules : DepthRules
        Prior on the sections.

    Returns
    -------
    Faces
        The length of the stack is the sum of its sections: no mean and no slope is taken off.
    """
    expected = np.array([(i - ids[0]) * rules.interval_um for i in ids])
    cuts = np.diff(ids).astype(float)
    known = [] if rules.use_expected else [one for one in links if math.isfinite(one.drift[1])]
    mean_um, spread_um = _prior(known, rules)
    prior_um: NDArray[np.float64] = spread_um * np.sqrt(cuts)
    if not known or len(ids) < 2:
        return _faces(ids, expected, prior_um, ["assumed"] * len(cuts))
    index = {i: k for k, i in enumerate(ids)}
    # Unknowns are the departures of the sections, so that each has its own prior.
    design = np.zeros((len(known), len(cuts)))
    for row, link in zip(design, known, strict=True):
        row[index[link.fixed_id] : index[link.moving_id]] = 1.0
    usual = mean_um * cuts
    target = np.array([link.drift[0] for link in known]) - design @ usual
    sigma = np.array([link.drift[1] for link in known])

    def weigh(left: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(sigma**-2 / (1 + (left / sigma / _CAUCHY) ** 2))

    found = robust_fit(design, target, weigh, start=sigma**-2, rounds=20, prior=prior_um)
    error: NDArray[np.float64] = np.sqrt(np.diag(np.linalg.inv(found.normal)))
    is_measured = error < _MEASURED * prior_um
    names = ["measured" if one else "assumed" for one in is_measured.tolist()]
    below = np.concatenate([[0.0], np.cumsum(found.solution + usual)])
    depth = np.asarray(expected + below, np.float64)
    return _faces(ids, depth, error, names)


def _prior(links: Sequence[SliceLink], rules: DepthRules) -> tuple[float, float]:
    """Take mean and spread of the sections' departures from the measured ones, as far as any are.

    A microtome that cuts 203 um where 200 were asked for does so every time.
    """
    claimed = max(_SHARE * rules.interval_um, rules.least_um)
    drifts = np.array([one.drift[0] for one in links if one.moving_id == one.fixed_id + 1])
    if not drifts.size:
        return 0.0, claimed
    middle = float(np.median(drifts))
    limit = 3 * max(spread_about(drifts, middle), rules.least_um)
    kept = np.clip(drifts, middle - limit, middle + limit)
    mean = float(kept.sum()) / (_CLAIM + len(kept))
    total = float(((kept - mean) ** 2).sum())
    return mean, math.sqrt((_CLAIM * claimed**2 + total) / (_CLAIM + len(kept)))


def _faces(
    ids: Sequence[int],
    depth: NDArray[np.float64],
    error: NDArray[np.float64],
    sources: Sequence[str],
) -> Faces:
    below_first: NDArray[np.float64] = depth - depth.min()
    sections = {
        lower: Section(float(below_first[k + 1] - below_first[k]), float(error[k]), sources[k])
        for k, (_, lower) in enumerate(itertools.pairwise(ids))
    }
    return Faces({i: float(z) for i, z in zip(ids, below_first, strict=True)}, sections)
