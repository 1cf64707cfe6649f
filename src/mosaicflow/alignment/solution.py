"""The result of alignment: one transform and one depth per slice, and who was left out and why."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.alignment.transform import Rigid2D
from mosaicflow.errors import FormatError, QualityError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "AlignedSlice",
    "Alignment",
    "LeftOut",
    "SliceFrame",
    "face_planes",
    "fit_canvas",
    "frame_of",
]

SCHEMA = 1
# A canvas this many times the largest slice means that the shifts are wrong (often their unit).
_LARGEST_CANVAS = 4.0

YX = tuple[float, float]


@dataclass(frozen=True, slots=True)
class SliceFrame:
    """Size of a slice in pixels of the canvas.

    Parameters
    ----------
    shape : tuple of int
        (z, y, x) of its array.
    scale_yx : tuple of float
        Canvas pixels per slice pixel: the slice's true pitch over the canvas's.
    """

    shape: tuple[int, int, int]
    scale_yx: YX

    @property
    def center_yx(self) -> YX:
        """Centre of the slice [canvas px]."""
        y, x = (n * scale / 2 - 0.5 for n, scale in zip(self.shape[1:], self.scale_yx, strict=True))
        return y, x

    @property
    def corners(self) -> np.ndarray:
        """Outer corners, shape (4, 2) [canvas px]."""
        ends = [
            (-0.5, n * scale - 0.5) for n, scale in zip(self.shape[1:], self.scale_yx, strict=True)
        ]
        return np.array(list(itertools.product(*ends)))


def frame_of(
    shape: tuple[int, int, int], pitch_um: Sequence[float], canvas_um: float
) -> SliceFrame:
    """Describe a slice of a given pitch (z, y, x) in pixels of the canvas."""
    return SliceFrame(shape, (pitch_um[1] / canvas_um, pitch_um[2] / canvas_um))


@dataclass(frozen=True, slots=True)
class AlignedSlice:
    """Where one slice goes.

    Parameters
    ----------
    slice_id : int
        Its number.
    transform : Rigid2D
        Forward: pixels of the slice, at the canvas's pitch, to pixels of the canvas.
    scale_yx : tuple of float
        Canvas pixels per slice pixel; a slice pixel `p` has the coordinate
        ``(p + 0.5) * scale - 0.5`` at the canvas's pitch.
    z_plane : int
        Canvas plane of its block face.
    confidence : float
        Between 0 and 1.
    source : str
        ``reference``, ``graph``, ``rotation`` (position by the stage), ``stage`` or ``previous``.
    reasons : tuple of str
        Why it is not better.
    evidence : mapping
        Numbers that decided between image and stage.
    """

    slice_id: int
    transform: Rigid2D
    scale_yx: YX
    z_plane: int
    confidence: float
    source: str
    reasons: tuple[str, ...] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Give the slice's entry in ``alignment.json``."""
        return {
            "slice_id": self.slice_id,
            **self.transform.to_json(),
            "z_plane": self.z_plane,
            "confidence": round(self.confidence, 6),
            "source": self.source,
            "reasons": list(self.reasons),
            "pixel_scale_yx": [round(value, 9) for value in self.scale_yx],
            "evidence": dict(self.evidence),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any], where: str) -> AlignedSlice:
        """Read an entry; an absent scale is 1."""
        try:
            scale_y, scale_x = (float(v) for v in record.get("pixel_scale_yx", (1.0, 1.0)))
            return cls(
                slice_id=int(record["slice_id"]),
                transform=Rigid2D.from_json(record, where),
                scale_yx=(scale_y, scale_x),
                z_plane=int(record["z_plane"]),
                confidence=float(record.get("confidence") or 0.0),
                source=str(record.get("source", "")),
                reasons=tuple(str(reason) for reason in record.get("reasons", ())),
                evidence=dict(record.get("evidence", {})),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(f"{where}: a slice entry cannot be read ({error!r})") from error


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A slice that contributes no image.

    Parameters
    ----------
    slice_id : int
        Its number.
    status : str
        ``failed``, ``excluded`` or ``missing``.
    reason : str
        Why.
    stage : str
        Where it failed.
    """

    slice_id: int
    status: str
    reason: str
    stage: str = ""

    def to_json(self) -> dict[str, Any]:
        """Give the entry in ``alignment.json``."""
        return {
            "slice_id": self.slice_id,
            "status": self.status,
            "reason": self.reason,
            "stage": self.stage,
        }


@dataclass(frozen=True, slots=True)
class Alignment:
    """Content of ``alignment.json``.

    Parameters
    ----------
    reference_id : int
        Slice that the others were aligned to.
    pitch_um : tuple of float
        Pitch of the canvas (z, y, x).
    canvas_yx : tuple of int
        Its lateral shape [px].
    n_planes : int
        Its depth [planes].
    interval_planes : float
        Planes from one face to the next.
    slices : tuple of AlignedSlice
        Sorted by id.
    left_out : tuple of LeftOut
        Sorted by id.
    gaps : tuple of tuple of int
        Ranges of planes [first, stop) that no slice covers.
    depths : str
        ``expected`` or ``measured``: where the face planes come from.
    """

    reference_id: int
    pitch_um: tuple[float, float, float]
    canvas_yx: tuple[int, int]
    n_planes: int
    interval_planes: float
    slices: tuple[AlignedSlice, ...]
    left_out: tuple[LeftOut, ...] = ()
    gaps: tuple[tuple[int, int], ...] = ()
    depths: str = "expected"

    def to_json(self) -> dict[str, Any]:
        """Give the whole document."""
        return {
            "schema": SCHEMA,
            "reference_id": self.reference_id,
            "resolution_um": self.pitch_um[1],
            "pitch_um": list(self.pitch_um),
            "canvas_yx": list(self.canvas_yx),
            "n_planes": self.n_planes,
            "interval_planes": round(self.interval_planes, 9),
            "depths": self.depths,
            "slices": [one.to_json() for one in self.slices],
            "left_out": [one.to_json() for one in self.left_out],
            "gaps": [{"first_plane": a, "stop_plane": b} for a, b in self.gaps],
            "synthetic": [],
        }

    @classmethod
    def from_json(cls, record: Any, where: str) -> Alignment:  # noqa: ANN401  # parsed JSON
        """Read the document.

        Raises
        ------
        FormatError
            When it lacks what `stack` needs.
        """
        if not isinstance(record, dict) or record.get("schema") != SCHEMA:
            raise FormatError(f"{where}: expected an alignment of schema {SCHEMA}")
        try:
            z, y, x = (float(value) for value in record["pitch_um"])
            n_y, n_x = (int(value) for value in record["canvas_yx"])
            return cls(
                reference_id=int(record["reference_id"]),
                pitch_um=(z, y, x),
                canvas_yx=(n_y, n_x),
                n_planes=int(record["n_planes"]),
                interval_planes=float(record["interval_planes"]),
                slices=tuple(AlignedSlice.from_json(one, where) for one in record["slices"]),
                left_out=tuple(LeftOut(**one) for one in record.get("left_out", ())),
                gaps=tuple((g["first_plane"], g["stop_plane"]) for g in record.get("gaps", ())),
                depths=str(record.get("depths", "expected")),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(
                f"{where}: cannot be read ({error!r})", remedy="write it with solve_alignment"
            ) from error


def face_planes(
    ids: Sequence[int], interval_planes: float, corrections: Mapping[int, float] | None = None
) -> dict[int, int]:
    """Give the canvas plane of every block face.

    Parameters
    ----------
    ids : sequence of int
        Slices in use, sorted; an id left out leaves its interval free, never glued shut.
    interval_planes : float
        Planes per section; summed as a float and rounded once.
    corrections : mapping, optional
        Measured departures per id [planes].

    Returns
    -------
    dict of int to int
        Plane by id; the first is 0.
    """
    shift = corrections or {}
    planes = {i: round((i - ids[0]) * interval_planes + shift.get(i, 0.0)) for i in ids}
    first = min(planes.values())
    return {i: plane - first for i, plane in planes.items()}


def fit_canvas(
    slices: Sequence[AlignedSlice], frames: Mapping[int, SliceFrame], reference_id: int
) -> tuple[tuple[AlignedSlice, ...], tuple[int, int]]:
    """Draw the smallest canvas around all slices and move them onto it.

    Parameters
    ----------
    slices : sequence of AlignedSlice
        Placed on an unbounded plane.
    frames : mapping
        Size of every slice by id.
    reference_id : int
        Kept on whole pixels when it is upright, so that it is not blurred.

    Returns
    -------
    slices : tuple of AlignedSlice
        With positions on the canvas.
    canvas_yx : tuple of int
        Its shape.

    Raises
    ------
    QualityError
        When the canvas is implausibly large.
    """
    corners = np.concatenate([one.transform.apply(frames[one.slice_id].corners) for one in slices])
    home = next(one for one in slices if one.slice_id == reference_id)
    whole = np.array(home.transform.translation_yx)
    fraction = whole - np.round(whole)
    low = np.floor(corners.min(axis=0) + 0.5 - fraction + 1e-6) + fraction
    shape = np.ceil(corners.max(axis=0) + 0.5 - low - 1e-6).astype(int)
    largest = max(math.prod(np.ptp(frames[one.slice_id].corners, axis=0)) for one in slices)
    ratio = math.prod(float(v) for v in shape) / largest
    if ratio > _LARGEST_CANVAS:
        raise QualityError(
            f"the canvas ({shape[0]} x {shape[1]} px) is {ratio:.1f} times the largest slice",
            remedy="check the shifts (shifts_xy_clean.csv): are they in mm?",
        )
    moved = []
    for one in slices:
        y, x = (float(v) for v in np.array(one.transform.translation_yx) - low)
        moved.append(replace(one, transform=replace(one.transform, translation_yx=(y, x))))
    return tuple(moved), (int(shape[0]), int(shape[1]))
