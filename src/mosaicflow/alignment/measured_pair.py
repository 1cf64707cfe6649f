"""Everything measured about one pair, and how its transform file says it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mosaicflow.alignment.pair_record import PairNumbers, PairRecord, RejectedMotion
from mosaicflow.rigid import Rigid2D, to_tfm

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
        return self.record().to_json()

    def record(self) -> PairRecord:
        """Return what the transform file says, as a type."""
        return PairRecord(
            self.fixed.slice_id,
            self.moving.slice_id,
            self.transform,
            self.fixed.pitch_um,
            self.offset_yx,
            self._numbers(),
            self.match.fixed_z,
            self.match.moving_z,
            self.fit.failure,
            self._rejected(),
            tuple(one.scaled((self.binning, self.binning)) for one in self.fit.islands),
        )

    def _numbers(self) -> PairNumbers:
        fit = self.fit
        return PairNumbers(
            correlation=fit.correlation,
            correlation_before=fit.correlation_before,
            confidence=fit.confidence,
            held_out_stage=fit.held_out.stage,
            held_out_refined=fit.held_out.refined,
            held_out_advantage=fit.held_out.advantage,
            sigma_px=fit.sigma_px * self.binning,
            sigma_deg=fit.sigma_deg,
            n_planes=self.match.n_planes,
            distance_planes=self.match.distance_planes,
            z_drift_planes=self.drift.drift_planes,
            z_sigma_planes=self.drift.sigma_planes,
            z_correlation=self.drift.correlation,
            z_correlation_expected=self.drift.expected_correlation,
        )

    def _rejected(self) -> RejectedMotion | None:
        """Describe a motion that was found and turned down."""
        fit = self.fit.rejected
        if fit is None:
            return None
        return RejectedMotion(
            full_size(fit, self.binning),
            fit.correlation,
            fit.confidence,
            fit.sigma_px * self.binning,
            fit.sigma_deg,
        )


def full_size(fit: PairFit, factor: int) -> Rigid2D:
    """Express the motion of binned images in px of the slices."""
    found = fit.transform
    y, x = ((value + 0.5) * factor - 0.5 for value in found.center_yx)
    down, right = (value * factor for value in found.translation_yx)
    return Rigid2D(found.angle_deg, (y, x), (down, right))
