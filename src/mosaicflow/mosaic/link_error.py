"""How precise measured shifts are: what loops leave over, told apart by link."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.mosaic.loops import link_sigma, loops_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mosaicflow.mosaic.link import Link

    Vector = NDArray[np.float64]

__all__ = ["LinkError"]

# Factors on the error that the noise of pixels alone would make, and errors common to all links
# [px], that loops choose from: noise is smoothed with the image, and distortion is no noise.
_FACTORS = (0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 9.0)
# Floors that are tried, 0.008 to 4.4 px, each a third above the last: some ten links tell no more.
_FLOORS_PX = tuple(0.008 * 1.35**k for k in range(22))
# Lean of an error that is believed at most: across, it is then a fiftieth of what it is along.
_MOST_LEAN = 0.999
# Without loops: typical of tiles with speckle and a little distortion.
_TYPICAL = (3.0, 0.2)
# Loops that tell how far links err: one alone may be wrong. Doubled, small lattices assume it.
_FEWEST_LOOPS = 2
# Links of a loop.
_LOOP_LINKS = 4
# Times what the best tenth of the loops shows, at most.
_MOST_TIMES_BEST = 2.0
# What the pixels alone would make is believed up to this [px].
_MOST_PX = 2.0
# Loops weigh as much as this many more that show an error of this size: few may close by luck.
_PRIOR_LOOPS, _PRIOR_FLOOR_PX = 2.0, 0.03
# Median of the scatter of three parts of an overlap, four degrees of freedom, when the noise of
# the pixels is all there is; and overlaps that the typical factor weighs as much as.
_MEDIAN_SCATTER, _PRIOR_PARTS = 0.839, 2.0


@dataclass(frozen=True, slots=True)
class LinkError:
    """Standard error of a link: a factor on that of its pixels, and one common to all.

    Parameters
    ----------
    factor : float
        On the standard error that the noise of the pixels alone makes.
    floor_px : float
        Common to all links.
    """

    factor: float
    floor_px: float

    @classmethod
    def of(cls, links: Sequence[Link]) -> LinkError:
        """Learn the factor from how parts of overlaps disagree, the floor from loops of four links.

        What is known of neither is taken to be typical.
        """
        factor = _factor_of_parts(links)
        factors = _FACTORS if factor is None else (factor,)
        known = {(k.a, k.b): k for k in links}
        loops = loops_of(known)
        if len(loops) < _FEWEST_LOOPS:
            return cls(*_TYPICAL) if factor is None else cls(factor, _FLOORS_PX[0])
        left = np.array(
            [sum((s * np.array(known[p].shift_px) for p, s in loop), np.zeros(2)) for loop in loops]
        )
        noise = np.array([sum(_pixel_noise(known[p]) for p, _ in loop) for loop in loops])
        # Three wrong links in ten open three loops in four: the best loops set a limit.
        limit = max(_TYPICAL[1], _MOST_TIMES_BEST * (link_sigma(links) or 0.0))
        tried = [(f, floor) for f in factors for floor in _FLOORS_PX if floor <= limit]
        return cls(*max(tried, key=lambda one: _worth(one, left, noise)))

    def covariance_px2(self, links: Sequence[Link]) -> Vector:
        """Give the covariance (y, x) of each link, shape (n, 2, 2)."""
        noise = np.array([_pixel_noise(link) for link in links]).reshape(-1, 2, 2)
        return np.asarray(self.factor**2 * noise + self.floor_px**2 * np.eye(2))


def _factor_of_parts(links: Sequence[Link]) -> float | None:
    """Estimate by how much the noise of pixels that are no independent ones is underestimated."""
    seen = np.array([k.scatter for k in links if np.isfinite(k.scatter)])
    if not len(seen):
        return None
    square = float(np.median(seen)) / _MEDIAN_SCATTER
    weight = len(seen) / (len(seen) + _PRIOR_PARTS)
    return float(np.sqrt(max(square, 1.0) ** weight * _TYPICAL[0] ** (2 * (1 - weight))))


def _worth(tried: tuple[float, float], left: Vector, noise: Vector) -> float:
    factor, floor = tried
    prior = np.log(floor / _PRIOR_FLOOR_PX) ** 2 / 4
    likely = _likelihood(left, factor**2 * noise + _LOOP_LINKS * floor**2 * np.eye(2))
    return likely - _PRIOR_LOOPS * 0.5 * float(prior)


def _pixel_noise(link: Link) -> Vector:
    """Covariance (y, x) of a link as the noise of its pixels would make it [px^2]."""
    sigma = min(link.sigma_px, _MOST_PX) if np.isfinite(link.sigma_px) else 0.0
    # One that leans in full would be none at all across; rounded, it might be less than none.
    along, across = np.multiply(link.lean, _MOST_LEAN / max(_MOST_LEAN, np.hypot(*link.lean)))
    return sigma**2 * np.array([[1 + along, across], [across, 1 - along]])


def _likelihood(left: Vector, covariance: Vector) -> float:
    """Log-likelihood under Student's t with three degrees of freedom: some links are wrong."""
    size, axes = np.linalg.eigh(covariance)
    scaled = np.einsum("nij,ni->nj", axes, left) ** 2 / size
    return float((-2 * np.log1p(scaled / 3)).sum() - np.log(size).sum() / 2)
