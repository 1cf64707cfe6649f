"""One intensity scale over depth, and the way back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import gaussian_filter1d

from mosaicflow.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Volume = NDArray[np.float32]

__all__ = ["DepthScale", "PlaneScale", "depth_scale", "display_share"]

# Standard deviation that smooths levels along depth [planes], by judgement. Doubled, the first
# planes are off by more, where light fades fast.
_SMOOTH_PLANES = 3.0
# What a voxel at the background itself becomes: a zero would say that there is no data. A
# thousandth of a grey step of 8 bit, so no picture and no mean shows it.
_DARKEST = np.float32(1e-6)


@dataclass(frozen=True, slots=True)
class PlaneScale:
    """What is 0 and what is 1 in each plane; nothing is clipped, so it can be undone.

    Parameters
    ----------
    background, span : ndarray, shape (z,), float32
        ``(value - background) / span`` is the normalised value.
    has_gel : bool
        Whether the background is that of gel; otherwise it is the dark end of the data.
    """

    background: NDArray[np.float32]
    span: NDArray[np.float32]
    has_gel: bool = False

    def apply(self, volume: Volume) -> Volume:
        """Normalise in place; exactly 0 is no data before and after.

        Parameters
        ----------
        volume : ndarray, shape (z, y, x), float32
            Values above 0 are data; the normalised ones may lie below 0 and above 1.
        """
        empty = volume <= 0
        volume -= self.background[:, None, None]
        volume /= self.span[:, None, None]
        volume[volume == 0] = _DARKEST
        volume[empty] = 0
        return volume

    def undo(self, volume: Volume) -> Volume:
        """Give back in place what `apply` was given, to a float32's rounding."""
        empty = volume == 0
        volume *= self.span[:, None, None]
        volume += self.background[:, None, None]
        volume[empty] = 0
        return volume

    def to_json(self) -> dict[str, Any]:
        """Give both as plain numbers that read back as the same float32."""
        planes = {"background": self.background, "span": self.span}
        plain = {name: [float(f"{v:.9g}") for v in values] for name, values in planes.items()}
        return {**plain, "has_gel": self.has_gel}

    @classmethod
    def from_json(cls, record: Mapping[str, Any] | None, n_z: int, where: str) -> PlaneScale | None:
        """Read the ``intensity`` of a slice's block; None where nothing was normalised."""
        if record is None:
            return None
        try:
            background, span = (np.asarray(record[k], np.float32) for k in ("background", "span"))
            found = cls(background, span, bool(record.get("has_gel")))
        except (KeyError, TypeError, ValueError) as error:
            raise _unreadable(where, n_z) from error
        finite = np.isfinite(background).all() and np.isfinite(span).all() and (span > 0).all()
        if {background.shape, span.shape} != {(n_z,)} or not finite:
            raise _unreadable(where, n_z)
        return found


def _unreadable(where: str, n_z: int) -> FormatError:
    return FormatError(
        f"{where}: the intensity in its metadata is unreadable, expected background and span of "
        f"{n_z} planes",
        remedy="run normalize on this slice again",
    )


@dataclass(frozen=True, slots=True)
class DepthScale:
    """The scale of a slice and the noise of its gel.

    Parameters
    ----------
    planes : PlaneScale
        What is 0 and what is 1 in each plane.
    background_noise : float
        Mean standard deviation of the normalised gel; NaN without gel.
    """

    planes: PlaneScale
    background_noise: float


def depth_scale(
    volume: Volume,
    gel: NDArray[np.bool_],
    *,
    clip_percentile_upper: float = 99.9,
    min_contrast: float = 0.1,
) -> DepthScale | None:
    """Measure background and brightest tissue of every plane, smoothed over depth.

    Without the smoothing the scale flickers where tissue enters or leaves, and the volume gets
    bands.

    Parameters
    ----------
    volume : ndarray, shape (z, y, x), float32
        The slice, thinned out; zeros are no data.
    gel : ndarray, shape (y, x), bool
        Where the gel is; nowhere, when there is none: then as much of a plane lies below 0 as
        above 1.
    clip_percentile_upper : float
        Percentile that becomes 1 [%].
    min_contrast : float
        Least span of a plane, as a part of that of the whole slice: keeps empty planes dark.

    Returns
    -------
    DepthScale or None
        None when the slice holds no data.
    """
    filled = [np.flatnonzero(plane) for plane in volume.reshape(len(volume), -1)]
    usable = np.array([len(found) >= 16 for found in filled])
    if not usable.any():
        return None
    background, top, noise = (np.zeros(len(volume)) for _ in range(3))
    for z in np.flatnonzero(usable).tolist():
        values = volume[z].ravel()[filled[z]]
        quiet = volume[z][gel & (volume[z] > 0)]
        low = 100 - clip_percentile_upper
        background[z] = np.median(quiet) if quiet.size else np.percentile(values, low)
        noise[z] = quiet.std() if quiet.size else np.nan
        top[z] = np.percentile(values, clip_percentile_upper)
    planes = np.arange(len(volume))
    background, top = (
        gaussian_filter1d(
            np.interp(planes, planes[usable], profile[usable]), _SMOOTH_PLANES, mode="nearest"
        )
        for profile in (background, top)
    )
    overall = float(top[usable].max() - background[usable].min())
    if overall <= 0:
        return None
    span = np.maximum(top - background, min_contrast * overall)
    with_gel = usable & np.isfinite(noise)
    return DepthScale(
        PlaneScale(background.astype(np.float32), span.astype(np.float32), bool(gel.any())),
        float((noise[with_gel] / span[with_gel]).mean()) if with_gel.any() else float("nan"),
    )


def display_share(volume: Volume, seen: NDArray[np.bool_]) -> tuple[float, float]:
    """Give the shares of the voxels that a display from 0 to 1 shows as black and white.

    Parameters
    ----------
    volume : ndarray, shape (z, y, x), float32
        Normalised; zeros are no data.
    seen : ndarray, shape (y, x), bool
        Columns to count: the tissue, as half of the gel lies below 0 and nothing is lost by that.

    Returns
    -------
    (float, float)
        Shares below 0 and above 1; 0 without any data.
    """
    values = volume[:, seen]
    known = max(int(np.count_nonzero(values)), 1)
    return np.count_nonzero(values < 0) / known, np.count_nonzero(values > 1) / known
