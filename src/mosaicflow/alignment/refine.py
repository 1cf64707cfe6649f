"""Sub-pixel rigid registration by Gauss-Newton steps on a pyramid.

The inverse compositional scheme (Baker & Matthews 2004, doi:10.1023/B:VISI.0000011205.11775.fd)
with brightness fitted in each step, as in ECC (Evangelidis & Psarakis 2008,
doi:10.1109/TPAMI.2008.113). The derivatives are those of the fixed image, so that speckle in the
moving one cannot bias the steps, and they are computed once.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.likeness import pearson
from mosaicflow.rigid import Rigid2D, rotation
from mosaicflow.slices.images import used_span

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Motion", "RefinedMotion", "at_rest", "refine", "warp"]

# Smoothing by a Gaussian of 2 px ties 4 pi 2^2 neighbouring pixels together.
CORRELATED_PX = 50.0
# Step at which the fit has ended [px]: a fiftieth of a standard error of 0.1 px. Doubled, a
# twenty-fifth.
_TOLERANCE_PX = 2e-3
# Images of the same tissue come to rest in 2 to 5 steps; images of different tissue never do.
_MAX_STEPS = 15


@dataclass(frozen=True, slots=True)
class Motion:
    """A pull motion about the centre of the fixed image.

    Parameters
    ----------
    angle_deg : float
        Rotation on (y, x).
    at_yx : tuple of float
        Where the fixed image's centre falls in the moving image [px].
    """

    angle_deg: float
    at_yx: tuple[float, float]

    def scaled(self, factor: float) -> Motion:
        """Express the motion in pixels `factor` times as large (pixel centres are points)."""
        y, x = ((value + 0.5) / factor - 0.5 for value in self.at_yx)
        return Motion(self.angle_deg, (y, x))

    def on(self, fixed: tuple[int, int]) -> Rigid2D:
        """Give it as the map from pixels of a fixed image of this shape into the moving one."""
        center = (fixed[0] - 1) / 2, (fixed[1] - 1) / 2
        shift = self.at_yx[0] - center[0], self.at_yx[1] - center[1]
        return Rigid2D(self.angle_deg, center, shift)


@dataclass(frozen=True, slots=True)
class RefinedMotion:
    """The result of `refine`.

    Parameters
    ----------
    motion : Motion
        Best motion.
    correlation : float
        Weighted correlation of the two images there.
    sigma_px, sigma_deg : float
        Standard error of the shift and the angle: the larger of what small squares of the image
        disagree by, and of what large parts do, as where tiles of a slice lie wrong.
    converged : bool
        Whether the steps came to rest.
    """

    motion: Motion
    correlation: float
    sigma_px: float
    sigma_deg: float
    converged: bool


def warp(image: NDArray[np.float32], motion: Motion, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Sample an image (linear) in the frame of the fixed one; zero outside.

    Parameters
    ----------
    image : ndarray, shape (y, x), float32
        The moving image.
    motion : Motion
        Pull motion.
    shape : tuple of int
        Shape of the fixed image.

    Returns
    -------
    ndarray, `shape`, float32
    """
    from PIL import Image

    pull = motion.on(shape)
    down, right = pull.matrix.tolist()
    # Pillow, twice as fast as scipy, counts from the corner of a pixel.
    y, x = (
        float(at + 0.5 - sum(row) / 2) for at, row in zip(pull.offset, pull.matrix, strict=True)
    )
    moved = Image.fromarray(image).transform(
        (shape[1], shape[0]),
        Image.Transform.AFFINE,
        (right[1], right[0], x, down[1], down[0], y),
        Image.Resampling.BILINEAR,
    )
    return np.asarray(moved)


def refine(
    fixed: NDArray[np.float32],
    moving: NDArray[np.float32],
    weight: NDArray[np.float32],
    start: Motion,
    *,
    rotate: bool = True,
    max_steps: int = _MAX_STEPS,
) -> RefinedMotion:
    """Move one image onto another as precisely as their noise allows.

    Parameters
    ----------
    fixed, moving : ndarray, shape (y, x), float32
        Images at one pitch, smooth enough for a first-order expansion over the remaining error.
    weight : ndarray, shape of `fixed`, float32
        Pixels that count (valid in both, tissue); at least 3 positive.
    start : Motion
        First guess.
    rotate : bool
        Whether the angle may change.
    max_steps : int
        Steps allowed.

    Returns
    -------
    RefinedMotion
    """
    steps = _Steps.of(fixed, moving, weight, rotate)
    motion, converged = steps.from_start(start, max_steps)
    parts, weighted, ridge = _parts(weight), steps.slopes, steps.ridge
    moved = warp(moving, motion, fixed.shape[:2])
    residual, gain = _residual(fixed, moved, weight)
    pulls = np.array([_product(weighted, residual[None], part)[:, 0] for part in parts])
    # How far a pull moves the fit is told by slopes that both images show: those of the fixed one
    # alone hold its noise, and errors were 0.6 of what they should be at a correlation of 0.8.
    shared = np.float32(gain) * _jacobian(moved, rotate)
    bends = np.array([_product(weighted, shared, part) for part in parts])
    bends = (bends + bends.swapaxes(1, 2)) / 2
    sigma = np.maximum(
        _standard_errors(weighted * residual, bends, ridge), _disagreement(bends, pulls, ridge)
    )
    return RefinedMotion(
        motion,
        pearson(fixed, moved, weight),
        sigma_px=float(np.hypot(sigma[0], sigma[1]) / math.sqrt(2)),
        sigma_deg=math.degrees(sigma[2]) if rotate else 0.0,
        converged=converged,
    )


def at_rest(
    fixed: NDArray[np.float32],
    moving: NDArray[np.float32],
    weight: NDArray[np.float32],
    start: Motion,
    *,
    rotate: bool = True,
    max_steps: int = _MAX_STEPS,
) -> Motion:
    """Move one image onto another like `refine`, without asking how sure that is."""
    return _Steps.of(fixed, moving, weight, rotate).from_start(start, max_steps)[0]


@dataclass(frozen=True, slots=True)
class _Steps:
    """Steps towards the motion that makes two images alike."""

    fixed: NDArray[np.float32]
    moving: NDArray[np.float32]
    weight: NDArray[np.float32]
    slopes: NDArray[np.float32]  # weighted, shape (2 or 3, y, x)
    hessian: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        fixed: NDArray[np.float32],
        moving: NDArray[np.float32],
        weight: NDArray[np.float32],
        rotate: bool,
    ) -> _Steps:
        """Differentiate the fixed image, once for all steps."""
        jacobian = _jacobian(fixed, rotate)
        weighted = jacobian * weight
        hessian = _product(weighted, jacobian, (slice(None), slice(None)))
        return cls(fixed, moving, weight, weighted, hessian)

    @property
    def ridge(self) -> float:
        """What keeps a featureless direction still instead of failing."""
        return 1e-6 * max(float(np.trace(self.hessian)) / len(self.hessian), 1e-12)

    def from_start(self, start: Motion, max_steps: int) -> tuple[Motion, bool]:
        """Go until the steps come to rest, and say whether they do."""
        n_free = len(self.hessian)
        inverse = np.linalg.inv(self.hessian + self.ridge * np.eye(n_free))
        reach = 0.5 * max(self.fixed.shape)
        motion = start
        for _ in range(max_steps):
            moved = warp(self.moving, motion, self.fixed.shape[:2])
            residual, _ = _residual(self.fixed, moved, self.weight)
            gradient = np.tensordot(self.slopes, residual, axes=([1, 2], [0, 1]))
            step = np.zeros(3)
            step[:n_free] = -inverse @ gradient.astype(np.float64)
            motion = _compose(motion, step)
            if abs(step[0]) + abs(step[1]) + abs(step[2]) * reach < _TOLERANCE_PX:
                return motion, True
        return motion, False


def _jacobian(fixed: NDArray[np.float32], rotate: bool) -> NDArray[np.float32]:
    """Differentiate the fixed image by shift y, shift x [1/px] and angle [1/rad]."""
    d_y, d_x = np.gradient(fixed)
    if not rotate:
        return np.stack([d_y, d_x]).astype(np.float32)
    y, x = (np.arange(n, dtype=np.float32) - (n - 1) / 2 for n in fixed.shape)
    d_angle = d_x * y[:, None] - d_y * x[None, :]
    return np.stack([d_y, d_x, d_angle]).astype(np.float32)


def _residual(
    fixed: NDArray[np.float32], moved: NDArray[np.float32], weight: NDArray[np.float32]
) -> tuple[NDArray[np.float32], float]:
    """Subtract the moved image, brought to the fixed one's brightness by a line fit; its slope."""
    total = float(weight.sum(dtype=np.float64))
    weighted = moved * weight
    mean_m = float(weighted.sum(dtype=np.float64)) / total
    mean_f = float((fixed * weight).sum(dtype=np.float64)) / total
    power = float(np.vdot(weighted, moved)) / total - mean_m**2
    shared = float(np.vdot(weighted, fixed)) / total - mean_m * mean_f
    gain = shared / power if power > 0 else 0.0
    residual: NDArray[np.float32] = fixed - np.float32(gain) * moved
    residual -= np.float32(mean_f - gain * mean_m)
    return residual, gain


def _compose(motion: Motion, step: NDArray[np.float64]) -> Motion:
    """Apply a motion after the inverse of a step of the fixed image."""
    angle = math.radians(motion.angle_deg) - step[2]
    shift = rotation(angle) @ step[:2]
    at = (motion.at_yx[0] - float(shift[0]), motion.at_yx[1] - float(shift[1]))
    return Motion(math.degrees(angle), at)


# Parts along each axis of the area used. They should be no finer than tiles, which lie wrong as a
# whole; twice as many would share a tile's error and seem to agree. Not tuned.
_PARTS = 3
# Share of a part that is left out: 1 would let crumbs tell the error of a part that holds all
# there is. On one half-empty slice 0.5 gave a sigma of 0.26 px and 0.9 one of 0.30.
_LEFT_OUT = 0.9


def _parts(weight: NDArray[np.float32]) -> list[tuple[slice, slice]]:
    """Cut the area used into 3 x 3 parts."""
    cuts = []
    for axis in (0, 1):
        span = used_span(weight, axis)
        cuts.append(np.linspace(*span, _PARTS + 1).round().astype(int).tolist())
    return [
        (slice(top, bottom), slice(left, right))
        for top, bottom in itertools.pairwise(cuts[0])
        for left, right in itertools.pairwise(cuts[1])
    ]


def _product(
    a: NDArray[np.float32], b: NDArray[np.float32], part: tuple[slice, slice]
) -> NDArray[np.float64]:
    window = (slice(None), *part)
    product = np.tensordot(a[window], b[window], axes=([1, 2], [1, 2]))
    return np.asarray(product, np.float64)


def _disagreement(
    bends: NDArray[np.float64], pulls: NDArray[np.float64], ridge: float
) -> NDArray[np.float64]:
    """Give the standard error of shift and angle from how parts pull against each other.

    Each part is left out in turn (a jackknife, to first order): a part that the fit follows shows
    its error only in what the others say without it.
    """
    total = bends.sum(axis=0)
    moved = [
        _inverse(total - _LEFT_OUT * own, ridge) @ pull
        for own, pull in zip(bends, pulls, strict=True)
    ]
    errors = np.zeros(3)
    errors[: len(total)] = np.sqrt(np.square(moved).sum(axis=0))
    return errors


def _inverse(bend: NDArray[np.float64], ridge: float) -> NDArray[np.float64]:
    """Invert; a direction in which the images share no slope moves without limit."""
    values, vectors = np.linalg.eigh(bend)
    inverse: NDArray[np.float64] = (vectors / np.maximum(values, ridge)) @ vectors.T
    return inverse


# Side of the squares within which residuals may be tied together [px]: filters reach 8 px. Doubled,
# a quarter as many squares tell the error; at half of it some of what ties them is lost.
_SQUARE_PX = 16


def _standard_errors(
    pull: NDArray[np.float32], bends: NDArray[np.float64], ridge: float
) -> NDArray[np.float64]:
    """Give the standard error of shift and angle from how squares pull, each its own way.

    The residual is tied together over `CORRELATED_PX`, but within those the slope that it is
    multiplied by changes its sign: taken as tied, errors came out twice as large as they were.
    """
    n_free, n_y, n_x = pull.shape
    rows, columns = (np.arange(0, n, _SQUARE_PX) for n in (n_y, n_x))
    sums = np.add.reduceat(np.add.reduceat(pull, rows, axis=1), columns, axis=2)
    squares = sums.reshape(n_free, -1).astype(np.float64)
    moved = _inverse(bends.sum(axis=0), ridge) @ squares
    errors = np.zeros(3)
    errors[:n_free] = np.sqrt(np.square(moved).sum(axis=1))
    return errors
