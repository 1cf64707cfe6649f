"""Telling tissue from the gel around it and from where there is no data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["agarose_mask", "find_gel", "log_otsu", "otsu", "tissue_fraction"]

# Share of a canvas below which dark spots are no gel around a specimen.
_LEAST_GEL = 0.01
# Spread of the gel over its distance from the tissue. Gel of four simulated slices, a section of
# brain and a pair of tiles: 0.006-0.032; what Otsu calls dark in a mineral, in pure tissue and in
# noise: 0.22, 0.095, 0.28. Between them; at twice the value tissue alone would pass for gel.
_EVEN = 0.055


def log_otsu(projection: NDArray[np.floating]) -> float:
    """Find the intensity that splits a projection into gel and tissue.

    Parameters
    ----------
    projection : ndarray, shape (y, x)
        Mean over depth; zeros are no data.

    Returns
    -------
    float
        Otsu's threshold of the logarithm (doi:10.1109/TSMC.1979.4310076), as an intensity; 0 when
        there is nothing to split.
    """
    values = projection[projection > 0]
    if values.size < 2 or values.min() == values.max():
        return 0.0
    return float(np.exp(otsu(np.log(values.astype(np.float64)))))


def otsu(values: NDArray[np.floating]) -> float:
    """Find the threshold that splits values into the two most distinct classes.

    Parameters
    ----------
    values : ndarray
        At least two different ones.

    Returns
    -------
    float
        What is above it belongs to the upper class (Otsu 1979, doi:10.1109/TSMC.1979.4310076).

    Notes
    -----
    That of scikit-image is the same; importing it costs every task more than the task itself.
    """
    counts, edges = np.histogram(values, bins=256)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * centres)
    with_both = (below > 0) & (above > 0)
    mean_below = sums / np.maximum(below, 1)
    mean_above = (sums[-1] - sums) / np.maximum(above, 1)
    between = np.where(with_both, below * above * (mean_below - mean_above) ** 2, -1.0)
    return float(edges[1 + int(between.argmax())])


def tissue_fraction(projection: NDArray[np.floating]) -> float:
    """Give the share of a canvas that is brighter than gel."""
    threshold = log_otsu(projection)
    return float((projection > threshold).mean()) if threshold else 0.0


def agarose_mask(projection: NDArray[np.floating], *, erosion_px: int = 3) -> NDArray[np.bool_]:
    """Find the gel: there is data, and it is darker than tissue.

    Parameters
    ----------
    projection : ndarray, shape (y, x)
        Mean over depth; zeros are no data.
    erosion_px : int
        Pixels next to tissue or to missing data that are left out.

    Returns
    -------
    ndarray, shape (y, x), bool
    """
    from scipy.ndimage import binary_erosion, gaussian_filter

    known = projection > 0
    smooth = gaussian_filter(np.asarray(projection, np.float32), 2.0)
    gel = known & (smooth < log_otsu(np.where(known, smooth, 0)))
    if erosion_px < 1:
        return np.asarray(gel)
    return np.asarray(binary_erosion(gel, iterations=erosion_px))


def find_gel(projection: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Find the gel if there is any: a dark part is gel only when it is even.

    Parameters
    ----------
    projection : ndarray, shape (y, x)
        Mean over depth; zeros are no data.

    Returns
    -------
    ndarray, shape (y, x), bool
        False everywhere when what is dark is structured like the rest, as in a section that fills
        the field.
    """
    from scipy.ndimage import gaussian_filter

    gel = agarose_mask(projection)
    none = np.zeros_like(gel)
    tissue = projection > log_otsu(projection)
    if gel.mean() < _LEAST_GEL or not tissue.any():
        return none
    smooth = gaussian_filter(np.asarray(projection, np.float32), 2.0)
    low, middle, high = np.percentile(smooth[gel], (16, 50, 84))
    contrast = float(np.median(smooth[tissue])) - middle
    return gel if (high - low) / 2 <= _EVEN * contrast else none
