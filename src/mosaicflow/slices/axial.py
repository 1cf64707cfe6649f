"""Removing the axial sensitivity of the focused beam, learnt from the homogeneous gel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter1d

from mosaicflow.slices.depth import interface_plane

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Profile = NDArray[np.float64]

__all__ = ["AxialGain", "axial_gain", "gel_profile"]

# Standard deviation that smooths the beam's profile [planes], by judgement. Doubled, its focus is
# flattened.
_SMOOTH_PLANES = 2.0
# Columns below which a mean profile is tissue rather than the beam, by judgement. Doubled, small
# crops stay as they are.
_FEWEST_COLUMNS = 64


@dataclass(frozen=True, slots=True)
class AxialGain:
    """Factor per plane that makes the gel equally bright at all depths.

    Parameters
    ----------
    gain : ndarray, shape (z,), float64
        Factor to multiply each plane with; constant above the interface.
    first_plane : int
        First plane below the interface.
    psf_max : float
        Largest excess of the beam profile over its background.
    quality : float
        1 minus the relative noise of the profile.
    unevenness_before, unevenness_after : float
        Relative standard deviation over depth of gel that took no part in the estimate.
    """

    gain: Profile
    first_plane: int
    psf_max: float
    quality: float
    unevenness_before: float
    unevenness_after: float


def gel_profile(columns: NDArray[np.float32], *, trim: float = 0.05) -> Profile:
    """Average the gel plane by plane, without its brightest and darkest columns.

    Parameters
    ----------
    columns : ndarray, shape (z, n), float32
        A-lines that show gel.
    trim : float
        Share left out at either end.

    Returns
    -------
    ndarray, shape (z,), float64
    """
    cut = int(trim * columns.shape[1])
    ordered = np.sort(columns, axis=1)[:, cut : columns.shape[1] - cut]
    return np.asarray(ordered.mean(axis=1, dtype=np.float64))


def axial_gain(columns: NDArray[np.float32]) -> AxialGain | None:
    """Estimate the beam profile from half of the gel and test it on the other half.

    Parameters
    ----------
    columns : ndarray, shape (z, n), float32
        A-lines that show gel, in image order.

    Returns
    -------
    AxialGain or None
        None when there is too little gel or the profile touches zero.
    """
    if columns.shape[1] < _FEWEST_COLUMNS:
        return None
    profile, check = gel_profile(columns[:, ::2]), gel_profile(columns[:, 1::2])
    plane = interface_plane(profile)
    # Half of the rise at the interface is still water.
    first = min(plane + 3, len(profile) - 1) if plane else 0
    smooth = profile.copy()
    smooth[first:] = gaussian_filter1d(profile[first:], _SMOOTH_PLANES, mode="nearest")
    background = float(np.percentile(smooth[first:], 1))
    if background <= 1e-3 * float(smooth[first:].max()):
        return None
    gain = background / smooth
    gain[:first] = gain[first]
    below = slice(first, None)
    noise = float(np.std(profile[below] - smooth[below]) / smooth[below].mean())
    return AxialGain(
        gain,
        first,
        float(smooth[below].max() / background - 1),
        max(0.0, 1.0 - noise),
        _unevenness(check[below]),
        _unevenness(check[below] * gain[below]),
    )


def _unevenness(profile: Profile) -> float:
    mean = float(profile.mean())
    return float(profile.std() / mean) if mean > 0 else float("nan")
