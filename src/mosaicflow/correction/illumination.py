"""Flat field of a scan lens, estimated from the tiles themselves.

Two independent sources of evidence: the tiles' common shading (BaSiC, Peng et al. 2017,
https://doi.org/10.1038/ncomms14836) and the overlaps, where two tiles show the same tissue through
different parts of the lens. Held-out overlaps decide which field, if any, is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.polynomial.legendre import legvander
from scipy.fft import dctn, idctn
from scipy.ndimage import zoom

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Image = NDArray[np.float32]
    _Points = tuple[NDArray[np.float64], NDArray[np.float64]]

__all__ = [
    "OverlapEvidence",
    "OverlapPair",
    "OverlapValues",
    "basic_flat_field",
    "overlap_values",
    "polynomial_flat_field",
    "resize_field",
    "resize_image",
]

_FIELD_RANGE = (0.2, 5.0)


@dataclass(frozen=True, slots=True)
class OverlapPair:
    """Two tiles that share an overlap.

    Parameters
    ----------
    first, second : ndarray, shape (bands, y, x), float32
        Depth-band means of both tiles.
    offset_px : (float, float)
        Position of `second` minus position of `first`, (y, x) in px of these images.
    """

    first: Image
    second: Image
    offset_px: tuple[float, float]


def basic_flat_field(
    samples: Image, *, smoothness: float | None = None, max_iterations: int = 500
) -> Image:
    """Estimate the shading common to all samples as a smooth, rank-one background.

    Parameters
    ----------
    samples : ndarray, shape (n, y, x), float32
        Tile images; zeros count as no data.
    smoothness : float, optional
        Weight of the smoothness term; None scales it with the data.
    max_iterations : int
        Limit of the inner iterations.

    Returns
    -------
    ndarray, shape (y, x), float32
        Flat field with mean 1.

    References
    ----------
    Peng et al., "A BaSiC tool for background and shading correction of optical microscopy
    images", Nat. Commun. 8:14836 (2017), https://doi.org/10.1038/ncomms14836
    """
    images = np.asarray(samples, dtype=np.float32) / np.float32(samples.mean(dtype=np.float64))
    known = images > 0
    mean_image = images.mean(axis=0) / images.mean()
    weight_smooth = smoothness
    if weight_smooth is None:
        weight_smooth = 0.5 * float(np.abs(dctn(mean_image, norm="ortho")).sum()) / 400
    weights = known.astype(np.float32)
    field = np.ones(images.shape[1:], dtype=np.float32)
    for _ in range(10):
        background, residual = _low_rank(images, known, weights, weight_smooth, max_iterations)
        previous, field = field, _unit_mean(background.mean(axis=0))
        if np.abs(field - previous).sum() <= 1e-2 * np.abs(previous).sum():
            break
        level = background.mean(axis=(1, 2), keepdims=True)
        weights = known / (np.abs(residual) / (level + 1e-6) + 0.1)
        weights *= weights.size / weights.sum()
    return np.clip(field, *_FIELD_RANGE)


def _low_rank(
    images: Image, known: NDArray[np.bool_], weights: Image, smoothness: float, max_iterations: int
) -> tuple[Image, Image]:
    """Split images into baseline x smooth field and a sparse residual (augmented Lagrangian)."""
    norm = float(np.linalg.norm(images))
    mu = 12.5 / float(np.linalg.norm(images.reshape(len(images), -1), 2))
    mu_max = 1e7 * mu
    coefficients = dctn(np.ones(images.shape[1:], dtype=np.float32), norm="ortho")
    field = np.ones(images.shape[1:], dtype=np.float32)
    baseline = images.mean(axis=(1, 2)) / images.mean()
    residual = np.zeros_like(images)
    dual = np.zeros_like(images)
    background = baseline[:, None, None] * field
    for _ in range(max_iterations):
        # Pixels without data follow the current background, so that they pull nowhere.
        data = np.where(known, images, background)
        mean = (data - residual - background + dual / mu).mean(axis=0)
        coefficients = _shrink(coefficients + dctn(mean, norm="ortho"), smoothness / mu)
        field = idctn(coefficients, norm="ortho").astype(np.float32)
        background = baseline[:, None, None] * field
        residual = _shrink(data - background + dual / mu, weights / np.float32(mu))
        clean = data - residual
        baseline = np.maximum(0, clean.mean(axis=(1, 2)) / max(float(clean.mean()), 1e-12))
        background = baseline[:, None, None] * field
        rest = clean - background
        dual += np.float32(mu) * rest
        mu = min(1.5 * mu, mu_max)
        if np.linalg.norm(rest) <= 1e-3 * norm:
            break
    return background, residual


def _shrink(values: Image, threshold: float | Image) -> Image:
    shrunk = np.maximum(np.abs(values) - threshold, 0)
    return np.asarray(np.copysign(shrunk, values), dtype=np.float32)


def _unit_mean(field: Image) -> Image:
    return np.asarray(field / max(float(field.mean()), 1e-12), dtype=np.float32)


def polynomial_flat_field(samples: Image, *, ridge: float = 1e-2) -> Image:
    """Fit a second-order surface to the median log tile, for when there are few tiles.

    Parameters
    ----------
    samples : ndarray, shape (n, y, x), float32
        Tile images.
    ridge : float
        Pull towards a flat field, relative to the data.

    Returns
    -------
    ndarray, shape (y, x), float32
        Flat field with mean 1.
    """
    positive = np.maximum(samples, 1e-6 * float(samples.mean(dtype=np.float64)) + 1e-30)
    logs = np.log(positive)
    logs -= np.median(logs, axis=(1, 2), keepdims=True)
    target = np.median(logs, axis=0)
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in target.shape), indexing="ij")
    design = np.stack([np.ones_like(y), y, x, y * x, y * y, x * x], axis=-1).reshape(-1, 6)
    normal = design.T @ design
    normal[np.diag_indices(6)] += [0, *[ridge * len(design)] * 5]
    solution = np.linalg.solve(normal, design.T @ target.ravel())
    surface = (design[:, 1:] @ solution[1:]).reshape(target.shape)
    return np.clip(_unit_mean(np.exp(surface).astype(np.float32)), *_FIELD_RANGE)


@dataclass(frozen=True, slots=True)
class OverlapEvidence:
    """What the overlaps say about the flat field, whatever the tissue.

    The log ratio of two tiles in their overlap is the difference of the log field at two places.

    Parameters
    ----------
    log_ratio : ndarray, shape (n,), float64
        Log of first over second tile.
    first, second : pair of ndarray, each shape (n,), float64
        Where in the two tiles (y, x), in px of the field.
    shape_yx : (int, int)
        Shape of the field.
    """

    log_ratio: NDArray[np.float64]
    first: _Points
    second: _Points
    shape_yx: tuple[int, int]

    @classmethod
    def of(cls, pairs: Sequence[OverlapPair], *, limit: int = 100_000) -> OverlapEvidence:
        """Compare pairs of tiles at about `limit` places, spread evenly over the overlaps."""
        most = max(64, limit // max(1, len(pairs)))
        return cls.joined([_compare(pair, most) for pair in pairs])

    @classmethod
    def joined(cls, parts: Sequence[OverlapEvidence]) -> OverlapEvidence:
        """Put the evidence of several pairs together."""
        none = np.empty(0)
        ratio = np.concatenate([part.log_ratio for part in parts] or [none])
        first, second = (
            (
                np.concatenate([getattr(part, side)[0] for part in parts] or [none]),
                np.concatenate([getattr(part, side)[1] for part in parts] or [none]),
            )
            for side in ("first", "second")
        )
        return cls(ratio, first, second, parts[0].shape_yx if parts else (1, 1))

    def residual(self, field: Image) -> float:
        """Mean absolute log ratio that is left after division by a field; NaN without overlaps."""
        return float(np.abs(self._left(field)).mean()) if self.log_ratio.size else float("nan")

    def fit(self, field: Image, *, order: int, iterations: int = 8) -> Image:
        """Improve a flat field until both tiles agree.

        Parameters
        ----------
        field : ndarray, shape (y, x), float32
            Flat field to start from.
        order : int
            Highest total order of the Legendre polynomials that the log field is changed by.
        iterations : int
            Re-weightings with a Huber loss.

        Returns
        -------
        ndarray, shape (y, x), float32
            Flat field with mean 1; `field` itself when there is too little to compare.
        """
        terms = [(i, j) for i in range(order + 1) for j in range(order + 1 - i) if i + j]
        if self.log_ratio.size < 10 * len(terms):
            return field
        matrix = self._legendre(self.first, terms) - self._legendre(self.second, terms)
        coefficients = _huber(matrix, self._left(field), iterations)
        y, x = np.indices(self.shape_yx).reshape(2, -1).astype(np.float64)
        change = np.dot(coefficients, self._legendre((y, x), terms)).reshape(self.shape_yx)
        return np.clip(_unit_mean(field * np.exp(change).astype(np.float32)), *_FIELD_RANGE)

    def _left(self, field: Image) -> NDArray[np.float64]:
        logs = np.log(field)[None]
        difference = _bilinear(logs, self.first) - _bilinear(logs, self.second)
        return np.asarray(self.log_ratio - difference[0], dtype=np.float64)

    def _legendre(self, points: _Points, terms: Sequence[tuple[int, int]]) -> NDArray[np.float64]:
        order = max(max(term) for term in terms)
        y, x = (
            legvander((axis + 0.5) / length * 2 - 1, order).T
            for axis, length in zip(points, self.shape_yx, strict=True)
        )
        return np.stack([y[i] * x[j] for i, j in terms])


def _huber(
    matrix: NDArray[np.float64], target: NDArray[np.float64], iterations: int
) -> NDArray[np.float64]:
    solution: NDArray[np.float64] = np.zeros(len(matrix))
    for _ in range(iterations):
        residual = target - solution @ matrix
        scale = 1.4826 * float(np.median(np.abs(residual))) + 1e-12
        weights = 1.0 / np.maximum(1.0, np.abs(residual) / (1.345 * scale))
        weighted = matrix * weights
        normal = weighted @ matrix.T
        # Combinations that the overlaps hardly see stay as they were.
        normal[np.diag_indices_from(normal)] += 1e-4 * np.trace(normal) / len(normal)
        solution = np.asarray(np.linalg.solve(normal, weighted @ target), dtype=np.float64)
    return solution


@dataclass(frozen=True, slots=True)
class OverlapValues:
    """What two tiles show at the same places.

    Parameters
    ----------
    first, second : ndarray, shape (bands, n), float64
        Values of either tile; zero where there is no data.
    first_at, second_at : pair of ndarray, each shape (n,), float64
        Where in the two tiles (y, x), in px.
    """

    first: NDArray[np.float64]
    second: NDArray[np.float64]
    first_at: _Points
    second_at: _Points

    @property
    def known(self) -> NDArray[np.bool_]:
        """Places where both tiles hold data in every band, shape (n,)."""
        return np.asarray(((self.first > 0) & (self.second > 0)).all(axis=0))


def overlap_values(pair: OverlapPair, most: int) -> OverlapValues:
    """Sample two tiles at no more than about `most` places of their overlap.

    Parameters
    ----------
    pair : OverlapPair
        Two tiles.
    most : int
        Number of places wanted.

    Returns
    -------
    OverlapValues
    """
    n_y, n_x = pair.first.shape[1:]
    d_y, d_x = pair.offset_px
    rows = np.arange(max(0, np.ceil(d_y)), min(n_y, np.floor(n_y - 1 + d_y) + 1))
    columns = np.arange(max(0, np.ceil(d_x)), min(n_x, np.floor(n_x - 1 + d_x) + 1))
    step = max(1, round(np.sqrt(len(rows) * len(columns) / most)))
    y, x = (axis.ravel() for axis in np.meshgrid(rows[::step], columns[::step], indexing="ij"))
    there = (y - d_y, x - d_x)
    return OverlapValues(_known(pair.first, (y, x)), _known(pair.second, there), (y, x), there)


def _known(images: Image, points: _Points) -> NDArray[np.float64]:
    """Sample images at points; zero where a pixel without data would take part."""
    values = _bilinear(images, points)
    if not images.all():
        values[_bilinear(images > 0, points) < 1 - 1e-9] = 0
    return values


def _compare(pair: OverlapPair, most: int) -> OverlapEvidence:
    """Take the log ratio of two tiles at no more than about `most` places of their overlap."""
    found = overlap_values(pair, most)
    values = (found.first, found.second)
    good = (values[0] > 0) & (values[1] > 0)
    logs = [np.log(np.where(good, value, 1.0)) for value in values]
    count = good.sum(axis=0)
    # Depth bands see the same lens: their mean carries less speckle than each of them.
    ratio = (logs[0] - logs[1]).sum(axis=0) / np.maximum(count, 1)
    keep = count > 0
    n_y, n_x = pair.first.shape[1:]
    at = (_pick(found.first_at, keep), _pick(found.second_at, keep))
    return OverlapEvidence(ratio[keep], *at, (n_y, n_x))


def _pick(points: _Points, keep: NDArray[np.bool_]) -> _Points:
    return points[0][keep], points[1][keep]


def _bilinear(images: NDArray[np.floating | np.bool_], points: _Points) -> NDArray[np.float64]:
    """Sample images (n, y, x) at points inside them; result (n, points)."""
    y, x = points
    y0 = np.clip(y.astype(int), 0, images.shape[1] - 2)
    x0 = np.clip(x.astype(int), 0, images.shape[2] - 2)
    f_y, f_x = y - y0, x - x0
    top = images[:, y0, x0] * (1 - f_x) + images[:, y0, x0 + 1] * f_x
    bottom = images[:, y0 + 1, x0] * (1 - f_x) + images[:, y0 + 1, x0 + 1] * f_x
    return np.asarray(top * (1 - f_y) + bottom * f_y, dtype=np.float64)


def resize_field(field: Image, shape_yx: tuple[int, int]) -> Image:
    """Bring a flat field to a tile's lateral shape, mean 1, within safe bounds.

    Parameters
    ----------
    field : ndarray, shape (y, x), float32
        Flat field.
    shape_yx : (int, int)
        Shape wanted.

    Returns
    -------
    ndarray, shape `shape_yx`, float32
    """
    if field.shape == tuple(shape_yx):
        return field
    return np.clip(_unit_mean(resize_image(field, shape_yx)), *_FIELD_RANGE)


def resize_image(image: Image, shape_yx: tuple[int, int]) -> Image:
    """Bring a smooth image to another shape over the same extent.

    Parameters
    ----------
    image : ndarray, shape (y, x), float32
        Image.
    shape_yx : (int, int)
        Shape wanted.

    Returns
    -------
    ndarray, shape `shape_yx`, float32
    """
    if image.shape == tuple(shape_yx):
        return image
    factors = [new / old for new, old in zip(shape_yx, image.shape, strict=True)]
    # Both images cover the same extent, so the borders of the first and last pixel must meet.
    resized = zoom(image, factors, order=3, mode="nearest", grid_mode=True)
    return np.asarray(resized, dtype=np.float32)
