"""Everything measured about one pair, and how its transform file says it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mosaicflow.alignment.transform import Rigid2D, to_tfm

if TYPE_CHECKING:
    from mosaicflow.alignment.depth import (
        DepthMatch,
        DriftFit,
    )
    from mosaicflow.alignment.pair_fit import PairFit
    from mosaicflow.slices.stored import SliceStore


__all__ = ["MeasuredPair", "full_size"]


@dataclass(frozen=True, slots=True)
class MeasuredPair:
    """Everything measured about one pair.

    Parameters
    ----------
    fixed, moving : SliceStore
        The slices.
    offset_yx : tuple of float
        Where the stage puts the moving slice's pixel (0, 0) in the fixed slice [px].
    transform : Rigid2D
        Pull motion of the moving slice as the stage placed it, in px of the fixed slice.
    match : DepthMatch
        Planes compared.
    fit : PairFit
        Lateral result, in px of the binned images.
    drift : DriftFit
        Depth of the moving slice against the expected one.
    binning : int
        Binning of the registered images.
    """

    fixed: SliceStore
    moving: SliceStore
    offset_yx: tuple[float, float]
    transform: Rigid2D
    match: DepthMatch
    fit: PairFit
    drift: DriftFit
    binning: int

    def to_tfm(self) -> str:
        """Return the transform as ITK text."""
        return to_tfm(self.transform)

    def to_json(self) -> dict[str, Any]:
        """Return the content of the transform file."""
        fit, pitch = self.fit, self.fixed.pitch_um
        numbers = {
            "correlation": fit.correlation,
            "correlation_before": fit.correlation_before,
            "confidence": fit.confidence,
            "held_out_stage": fit.held_out.stage,
            "held_out_refined": fit.held_out.refined,
            "held_out_advantage": fit.held_out.advantage,
            "sigma_px": fit.sigma_px * self.binning,
            "sigma_deg": fit.sigma_deg,
            "n_planes": self.match.n_planes,
            "distance_planes": self.match.distance_planes,
            "z_drift_planes": self.drift.drift_planes,
            "z_sigma_planes": self.drift.sigma_planes,
            "z_correlation": self.drift.correlation,
            "z_correlation_expected": self.drift.expected_correlation,
        }
        return {
            "type": "rigid2d",
            "convention": "pull",
            **self.transform.to_json(),
            "resolution_um": round((pitch[1] + pitch[2]) / 2, 6),
            "fixed_id": self.fixed.slice_id,
            "moving_id": self.moving.slice_id,
            "fixed_z": self.match.fixed_z,
            "moving_z": self.match.moving_z,
            "pitch_um": [round(value, 6) for value in pitch],
            "stage_offset_yx": [round(value, 6) for value in self.offset_yx],
            "status": "error" if fit.failure else "ok",
            "reason": fit.failure,
            **{name: round(value, 6) for name, value in numbers.items()},
            "rejected": self._rejected(),
        }

    def _rejected(self) -> dict[str, Any] | None:
        """Describe a motion that was found and turned down."""
        fit = self.fit.rejected
        if fit is None:
            return None
        return {
            **full_size(fit, self.binning).to_json(),
            "correlation": round(fit.correlation, 6),
            "confidence": round(fit.confidence, 6),
            "sigma_px": round(fit.sigma_px * self.binning, 6),
            "sigma_deg": round(fit.sigma_deg, 6),
        }


def full_size(fit: PairFit, factor: int) -> Rigid2D:
    """Express the motion of binned images in px of the slices."""
    found = fit.transform
    y, x = ((value + 0.5) * factor - 0.5 for value in found.center_yx)
    down, right = (value * factor for value in found.translation_yx)
    return Rigid2D(found.angle_deg, (y, x), (down, right))
