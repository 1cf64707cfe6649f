"""Content of a transform file, ``zII_zJJ_transform.json``: one pair of slices as measured."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from mosaicflow.alignment.island_point import IslandPoint
from mosaicflow.errors import FormatError
from mosaicflow.reasons import Doubt, Refusal
from mosaicflow.rigid import Rigid2D

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PairNumbers", "PairRecord", "RejectedMotion"]

YX = tuple[float, float]
# Status of a pair that is compared only where other pairs do not join its slices.
_PUT_OFF = "put_off"


@dataclass(frozen=True, slots=True)
class PairNumbers:
    """What registration measured beside the motion; NaN and infinity: could not be measured.

    Parameters
    ----------
    correlation, correlation_before : float
        Of the slices as registered, and as the stage has them.
    confidence : float
        0 to 1.
    held_out_stage, held_out_refined : float
        Correlation on parts not used for the fit, by the stage and by registration.
    held_out_advantage : float
        How far registration beats the stage on those parts [standard errors].
    sigma_px, sigma_deg : float
        Standard errors; those of a record by hand are a tenth of a pixel and a twentieth of a
        degree: what somebody sees.
    n_planes : int
        Planes compared.
    distance_planes : float
        Tissue between the planes compared; 0 when both slices show the same.
    z_drift_planes, z_sigma_planes : float
        Depth beyond the expected one, and its standard error.
    z_correlation, z_correlation_expected : float
        Of the planes at that depth, and at the expected one.
    """

    correlation: float = math.nan
    correlation_before: float = math.nan
    confidence: float = 1.0
    held_out_stage: float = math.nan
    held_out_refined: float = math.nan
    held_out_advantage: float = math.nan
    sigma_px: float = 0.1
    sigma_deg: float = 0.05
    n_planes: float = 0
    distance_planes: float = 0.0
    z_drift_planes: float = 0.0
    z_sigma_planes: float = math.inf
    z_correlation: float = math.nan
    z_correlation_expected: float = math.nan

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> PairNumbers:
        """Read the numbers that are there; null stands for "could not be measured"."""
        known = {own.name: record.get(own.name) for own in fields(cls)}
        return cls(**{name: float(value) for name, value in known.items() if value is not None})

    def to_json(self) -> dict[str, Any]:
        """Give all numbers, rounded."""
        return {own.name: round(getattr(self, own.name), 6) for own in fields(self)}


@dataclass(frozen=True, slots=True)
class RejectedMotion:
    """A motion that registration found and turned down.

    Parameters
    ----------
    transform : Rigid2D
        The motion.
    correlation, confidence, sigma_px, sigma_deg : float
        As of `PairNumbers`.
    """

    transform: Rigid2D
    correlation: float
    confidence: float
    sigma_px: float
    sigma_deg: float

    def to_json(self) -> dict[str, Any]:
        """Give the entry ``rejected``."""
        names = ("correlation", "confidence", "sigma_px", "sigma_deg")
        numbers = {name: round(getattr(self, name), 6) for name in names}
        return {**self.transform.to_json(), **numbers}


@dataclass(frozen=True, slots=True)
class PairRecord:
    """One pair of slices.

    Parameters
    ----------
    fixed_id, moving_id : int
        The slices; the moving one lies deeper.
    transform : Rigid2D
        Pull motion of the moving slice as the stage placed it, in px of the fixed slice.
    pitch_um : tuple of float
        Pitch (z, y, x) of the fixed slice.
    stage_offset_yx : tuple of float
        Where the stage puts the moving slice's pixel (0, 0) in the fixed slice [px].
    numbers : PairNumbers
        What was measured beside.
    fixed_z, moving_z : int
        Planes compared.
    failure : Refusal or None
        Why the stage's own motion is given; None when registration found one. `Doubt.DETOUR`: the
        pair was put off.
    rejected : RejectedMotion or None
        What it found then.
    islands : tuple of IslandPoint
        Where each island of a slice lies on the other [px of the fixed slice's pitch].
    """

    fixed_id: int
    moving_id: int
    transform: Rigid2D
    pitch_um: tuple[float, float, float]
    stage_offset_yx: YX = (0.0, 0.0)
    numbers: PairNumbers = field(default_factory=PairNumbers)
    fixed_z: int = 0
    moving_z: int = 0
    failure: Refusal | None = None
    rejected: RejectedMotion | None = None
    islands: tuple[IslandPoint, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the content of the transform file."""
        pitch = self.pitch_um
        return {
            "type": "rigid2d",
            "convention": "pull",
            **self.transform.to_json(),
            "resolution_um": round((pitch[1] + pitch[2]) / 2, 6),
            "fixed_id": self.fixed_id,
            "moving_id": self.moving_id,
            "fixed_z": self.fixed_z,
            "moving_z": self.moving_z,
            "pitch_um": [round(value, 6) for value in pitch],
            "stage_offset_yx": [round(value, 6) for value in self.stage_offset_yx],
            "status": self._status,
            "failure": "" if self.failure is None else self.failure.code,
            "reason": "" if self.failure is None else self.failure.sentence,
            **self.numbers.to_json(),
            "rejected": None if self.rejected is None else self.rejected.to_json(),
            **({"islands": [one.to_json() for one in self.islands]} if self.islands else {}),
        }

    @property
    def _status(self) -> str:
        if self.failure is None:
            return "ok"
        return _PUT_OFF if self.failure.code == Doubt.DETOUR else "error"

    @classmethod
    def from_json(cls, record: Mapping[str, Any], where: str) -> PairRecord:
        """Read a transform file of `register_pairwise`, or of a person.

        Parameters
        ----------
        record : mapping
            Beyond angle, centre, translation, ids and pitch everything is optional.
        where : str
            Its name, for messages.

        Raises
        ------
        FormatError
            When a needed entry is missing, or one is no number.
        """
        if record.get("type") != "rigid2d" or record.get("convention") != "pull":
            raise FormatError(f"{where}: expected type rigid2d in the pull convention")
        fixed_id, moving_id, pitch, offset = _frame(record, where)
        motion = Rigid2D.from_json(record, where)
        try:
            return cls(
                fixed_id,
                moving_id,
                motion,
                pitch,
                offset,
                PairNumbers.from_json(record),
                int(record.get("fixed_z") or 0),
                int(record.get("moving_z") or 0),
                _failure(record),
                _rejected(record, where),
                tuple(IslandPoint.from_json(one) for one in record.get("islands") or ()),
            )
        except (TypeError, ValueError, OverflowError, KeyError, AttributeError) as error:
            raise FormatError(f"{where}: a number cannot be read ({error!r:.200})") from error

    def with_rejected(self) -> PairRecord:
        """Take the motion that was turned down, where there is one."""
        found = self.rejected
        if found is None:
            return self
        numbers = replace(
            self.numbers,
            correlation=found.correlation,
            confidence=found.confidence,
            sigma_px=found.sigma_px,
            sigma_deg=found.sigma_deg,
        )
        return replace(self, transform=found.transform, numbers=numbers, failure=None)


def _failure(record: Mapping[str, Any]) -> Refusal | None:
    """Read why registration gave up; a record without a code says it in words alone."""
    if record.get("status") not in ("error", _PUT_OFF):
        return None
    return Refusal(Doubt(record.get("failure") or Doubt.UNTOLD), str(record.get("reason", "")))


def _rejected(record: Mapping[str, Any], where: str) -> RejectedMotion | None:
    """Read a motion that was turned down; numbers that it does not give are the pair's."""
    found = record.get("rejected")
    if not found:
        return None
    own = PairNumbers.from_json({**record, **found})
    transform = Rigid2D.from_json({**record, **found}, where)
    return RejectedMotion(transform, own.correlation, own.confidence, own.sigma_px, own.sigma_deg)


def _frame(
    record: Mapping[str, Any], where: str
) -> tuple[int, int, tuple[float, float, float], YX]:
    """Read which slices a record joins, their pitch, and the shift it does not repeat."""
    try:
        fixed_id, moving_id = int(record["fixed_id"]), int(record["moving_id"])
        given = record.get("pitch_um") or [1.0, *[record["resolution_um"]] * 2]
        z, y, x = (float(v) for v in given)
        down, right = (float(v) for v in record.get("stage_offset_yx") or (0.0, 0.0))
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(
            f"{where}: expected fixed_id, moving_id, resolution_um ({error})"
        ) from None
    if fixed_id >= moving_id:
        raise FormatError(
            f"{where}: found fixed_id {fixed_id} and moving_id {moving_id}, expected the upper "
            "slice, with the lower number, as the fixed one",
            remedy="invert the motion and swap the ids",
        )
    if not min(z, y, x) > 0:
        raise FormatError(f"{where}: found a pitch of {[z, y, x]} um, expected it above 0")
    return fixed_id, moving_id, (z, y, x), (down, right)
