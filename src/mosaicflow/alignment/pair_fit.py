"""What the registration of two slices is asked, and what it answers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mosaicflow.alignment.refine import Motion
from mosaicflow.rigid import Rigid2D

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mosaicflow.alignment.island_point import IslandPoint
    from mosaicflow.reasons import Refusal
    from mosaicflow.slices.islands import Islands

__all__ = [
    "NOT_HELD_OUT",
    "SHARED",
    "HeldOut",
    "PairFit",
    "RegistrationSettings",
    "SlicePair",
    "confidence",
]

# Fine structure inside the tissue that agrees as well as this is shared; that of different tissue
# stays below 0.3.
SHARED = 0.5

Initial = Literal["none", "gradient", "com", "both"]


@dataclass(frozen=True, slots=True)
class RegistrationSettings:
    """Limits and choices of a registration.

    Parameters
    ----------
    transform : {'translation', 'euler'}
        Whether the slice may turn.
    max_translation_px, max_rotation_deg : float
        Beyond these the result is wrong.
    initial : {'none', 'gradient', 'com', 'both'}
        Where the first guess comes from, besides the stage.
    finest_bin : int
        Binning of the finest images compared [px]: images of different tissue hold nothing that
        would be worth more.
    """

    transform: Literal["translation", "euler"] = "euler"
    max_translation_px: float = 200.0
    max_rotation_deg: float = 5.0
    initial: Initial = "both"
    finest_bin: int = 1


@dataclass(frozen=True, slots=True)
class SlicePair:
    """Projections of the matched planes of two slices.

    Parameters
    ----------
    fixed, moving : ndarray, shape (y, x), float32
        Mean over the planes; zero where there is no data.
    fixed_valid, moving_valid : ndarray, bool
        Where there is data.
    offset_yx : tuple of float
        Where the stage puts the moving slice's pixel (0, 0) in the fixed slice [px].
    fixed_islands, moving_islands : Islands or None
        Tiles of either slice that no overlap joins [px of the images].
    """

    fixed: NDArray[np.float32]
    moving: NDArray[np.float32]
    fixed_valid: NDArray[np.bool_]
    moving_valid: NDArray[np.bool_]
    offset_yx: tuple[float, float]
    fixed_islands: Islands | None = None
    moving_islands: Islands | None = None

    @property
    def stage_motion(self) -> Motion:
        """The motion the stage reports: no turn, the expected shift."""
        center = [(n - 1) / 2 for n in self.fixed.shape]
        return Motion(0.0, (center[0] - self.offset_yx[0], center[1] - self.offset_yx[1]))


@dataclass(frozen=True, slots=True)
class HeldOut:
    """How well the registration explains image parts that it has not seen.

    The tissue is cut into a chequerboard; each colour is registered alone and judged on the other.

    Parameters
    ----------
    stage, refined : float
        Correlation on the held-out parts with the stage's motion and with the registered one.
    split_px, split_deg : float
        Difference between the two colours' results.
    advantage : float
        Mean gain of correlation per field over the stage's, in standard errors of that mean; NaN
        with too few fields.
    """

    stage: float
    refined: float
    split_px: float
    split_deg: float
    advantage: float = math.nan


NOT_HELD_OUT = HeldOut(math.nan, math.nan, math.inf, math.inf)
"""No part could be held out."""


@dataclass(frozen=True, slots=True)
class PairFit:
    """Registration of one pair.

    Parameters
    ----------
    transform : Rigid2D
        Pull motion of the moving slice as the stage placed it, in pixels of the fixed slice.
    correlation, correlation_before : float
        Correlation inside the tissue with and without it.
    confidence : float
        Between 0 and 1.
    held_out : HeldOut
        Evidence from parts not used.
    sigma_px, sigma_deg : float
        Standard errors.
    failure : Refusal or None
        Why the result must not be used; None when it may.
    rejected : PairFit or None
        What was found and must not be used; the other entries then hold the stage's own motion.
    islands : tuple of IslandPoint
        Where each island of a slice lies on the other.
    """

    transform: Rigid2D
    correlation: float
    correlation_before: float
    confidence: float
    held_out: HeldOut
    sigma_px: float
    sigma_deg: float
    failure: Refusal | None = None
    rejected: PairFit | None = None
    islands: tuple[IslandPoint, ...] = ()

    @classmethod
    def left_to_stage(cls, center_yx: tuple[float, float], why: Refusal) -> PairFit:
        """Give the stage's own motion, about the fixed image's centre, and nothing measured."""
        still = Rigid2D(0.0, center_yx, (0.0, 0.0))
        return cls(still, math.nan, math.nan, 0.0, NOT_HELD_OUT, math.inf, math.inf, why)


def confidence(
    zcorr: float, translation_px: float, rotation_deg: float, settings: RegistrationSettings
) -> float:
    """Condense correlation, shift and rotation into one number.

    Parameters
    ----------
    zcorr : float
        Correlation after registration.
    translation_px, rotation_deg : float
        Size of the correction.
    settings : RegistrationSettings
        Holds the largest shift and rotation.

    Returns
    -------
    float
        Between 0 and 1; never more than 0.2 above the correlation, so that a small correction
        alone earns no trust.
    """
    corr = max(zcorr, 0.0)
    near = 1 - min(abs(translation_px) / settings.max_translation_px, 1.0)
    limit = settings.max_rotation_deg
    upright = 1 - min(abs(rotation_deg) / limit, 1.0) if limit > 0 else 1.0
    value = 0.5 * corr + 0.3 * near + 0.2 * upright
    return min(max(value, 0.0), 1.0, corr + 0.2)
