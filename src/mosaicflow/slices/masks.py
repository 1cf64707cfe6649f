"""Telling tissue from the gel around it and from where there is no data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.slices.images import smooth_valid
from mosaicflow.smoothing import gaussian

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "agarose_mask",
    "find_gel",
    "log_otsu",
    "otsu",
    "shows_tissue",
    "tissue_fraction",
    "tissue_mask",
]

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

    For a level that only gel has, and so without what lies next to anything else. Not the rest of
    `tissue_mask`, which is for comparing tissue and takes its rim in.

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
    from scipy.ndimage import binary_erosion

    known = projection > 0
    smooth = gaussian(np.asarray(projection, np.float32), 2.0)
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
    gel = agarose_mask(projection)
    none = np.zeros_like(gel)
    tissue = projection > log_otsu(projection)
    if gel.mean() < _LEAST_GEL or not tissue.any():
        return none
    smooth = gaussian(np.asarray(projection, np.float32), 2.0)
    low, middle, high = np.percentile(smooth[gel], (16, 50, 84))
    contrast = float(np.median(smooth[tissue])) - middle
    return gel if (high - low) / 2 <= _EVEN * contrast else none


def tissue_mask(
    image: NDArray[np.float32], valid: NDArray[np.bool_], sigma: float = 4.0
) -> NDArray[np.bool_]:
    """Tell tissue from the gel around it by brightness.

    Parameters
    ----------
    image : ndarray, shape (y, x), float32
        Projection of a slice.
    valid : ndarray, shape (y, x), bool
        Where there is data.
    sigma : float
        Smoothing before the threshold [px].

    Returns
    -------
    ndarray, shape (y, x), bool
        Otsu's threshold on the smoothed image, grown by `sigma`; everything valid when the
        bright part is under 2 % of it (nothing stands out).
    """
    if not valid.any():
        return valid
    smooth = smooth_valid(image, valid.astype(np.float32), sigma)
    values = smooth[valid]
    # Below a thousandth of the level the differences are rounding, and there is no histogram.
    if float(np.ptp(values)) <= 1e-3 * float(np.abs(values).max()):
        return valid
    mask = (smooth > otsu(values)) & valid
    if mask.sum() < 0.02 * valid.sum():
        return valid
    from scipy import ndimage

    # Growing by smoothing: 12 x as fast as a dilation by a disk.
    grown = ndimage.uniform_filter(mask.astype(np.float32), 2 * int(sigma) + 1, mode="constant")
    result: NDArray[np.bool_] = (grown > 1e-6) & valid
    return result


# Tissue is brighter than gel by this share: rests of shading are a tenth at most, tissue in gel is
# several times as bright.
_TISSUE_CONTRAST = 0.3
# Share of the data that must be so, and smoothing before [px], which takes the speckle out.
_TISSUE_SHARE, _CALM_PX = 0.01, 4.0


def shows_tissue(
    image: NDArray[np.float32], valid: NDArray[np.bool_], gel: float | None = None
) -> bool:
    """Say whether a slice shows anything but gel.

    Parameters
    ----------
    image : ndarray, shape (y, x), float32
        Mean over planes, as recorded: 0 is no light.
    valid : ndarray, shape (y, x), bool
        Where there is data.
    gel : float, optional
        Level of the gel; without it that of the darkest hundredth.

    Returns
    -------
    bool
        Also true where there is too little data to tell.
    """
    values = smooth_valid(image, valid.astype(np.float32), _CALM_PX)[valid]
    if values.size < _CALM_PX**2:
        return True
    level = float(np.percentile(values, 1)) if gel is None else gel
    if level <= 0:
        return True
    share = float(np.mean(values > (1 + _TISSUE_CONTRAST) * level))
    return share >= _TISSUE_SHARE
