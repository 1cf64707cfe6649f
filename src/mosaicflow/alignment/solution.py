"""The result of alignment: one transform and one depth per slice, and who was left out and why."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.errors import FormatError, QualityError
from mosaicflow.io.tables import SCHEMA
from mosaicflow.ledger.census import LeftOut
from mosaicflow.reasons import Doubt, Skip
from mosaicflow.rigid import Rigid2D, finite, positive

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "AlignedSlice",
    "Alignment",
    "Gap",
    "Section",
    "SliceFrame",
    "fit_canvas",
    "frame_of",
]

# What a table that somebody edited may raise: any value may be of any type.
_UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, OverflowError)
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
class Section:
    """Tissue between two faces.

    Parameters
    ----------
    thickness_um, sigma_um : float or None
        Its thickness and the standard error; None above the first face.
    source : str
        ``measured`` from the images of the slices, or ``assumed`` from the cutting interval.
    """

    thickness_um: float | None = None
    sigma_um: float | None = None
    source: str = ""

    def to_json(self) -> dict[str, Any]:
        """Give the entries in ``alignment.json``."""
        return {
            "thickness_um": None if self.thickness_um is None else round(self.thickness_um, 4),
            "thickness_sigma_um": None if self.sigma_um is None else round(self.sigma_um, 4),
            "thickness_source": self.source or None,
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Section | None:
        """Read the entries; None where there are none."""
        thickness, sigma = record.get("thickness_um"), record.get("thickness_sigma_um")
        if thickness is None or sigma is None:
            return None
        return cls(finite(thickness), finite(sigma), str(record.get("thickness_source") or ""))


@dataclass(frozen=True, slots=True)
class Gap:
    """Two neighbours in the stack that no tissue seen by both joins.

    Parameters
    ----------
    first_plane, stop_plane : int
        Planes [first, stop) that no slice covers; equal where there are none.
    fixed_id, moving_id : int
        The slices above and below.
    sigma_px : float or None
        Standard error per axis of the lower side's place against the upper's.
    sigma_um : float or None
        Standard error of the distance of their faces.
    """

    first_plane: int
    stop_plane: int
    fixed_id: int | None = None
    moving_id: int | None = None
    sigma_px: float | None = None
    sigma_um: float | None = None

    @property
    def planes(self) -> list[int]:
        """First plane and the one after the last."""
        return [self.first_plane, self.stop_plane]

    def to_json(self) -> dict[str, Any]:
        """Give the entry in ``alignment.json``."""
        return {
            "first_plane": self.first_plane,
            "stop_plane": self.stop_plane,
            "fixed_id": self.fixed_id,
            "moving_id": self.moving_id,
            "sigma_px": None if self.sigma_px is None else round(self.sigma_px, 4),
            "sigma_um": None if self.sigma_um is None else round(self.sigma_um, 4),
        }


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
    z_plane : float
        Canvas plane of its block face, to a fraction of a plane.
    confidence : float
        Between 0 and 1.
    source : str
        ``reference``, ``graph``, ``manual``, ``rotation`` (position by the stage, on demand),
        ``stage`` or ``previous``.
    reasons : tuple of str
        Why it is not better.
    evidence : mapping
        Numbers that decided between image and stage.
    section : Section or None
        Tissue between the face of the slice before and its own; None for the first.
    skip : Skip or None
        Why it lies where the stage has it; None where registration placed it.
    unused_links : mapping of str to Doubt
        Its pairs that do not count, such as 3-4, and why.
    island_moves_yx : tuple of tuple of float
        Of each island of its tiles: what is drawn where the transform puts pixel `p` is pixel
        ``p + move`` [px of the slice at the canvas's pitch]; empty where there are none.
    """

    slice_id: int
    transform: Rigid2D
    scale_yx: YX
    z_plane: float
    confidence: float
    source: str
    reasons: tuple[str, ...] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict)
    section: Section | None = None
    skip: Skip | None = None
    unused_links: Mapping[str, Doubt] = field(default_factory=dict)
    island_moves_yx: tuple[YX, ...] = ()

    @property
    def first_plane(self) -> int:
        """Canvas plane that is nearest to its face."""
        return math.floor(self.z_plane + 0.5)

    @property
    def sunk_planes(self) -> float:
        """How far its face lies below that plane, -0.5 to 0.5."""
        return self.z_plane - self.first_plane

    def to_json(self) -> dict[str, Any]:
        """Give the slice's entry in ``alignment.json``."""
        return {
            "slice_id": self.slice_id,
            **self.place_to_json(),
            **(self.section or Section()).to_json(),
            "confidence": round(self.confidence, 6),
            "source": self.source,
            "skip_reason": self.skip or "",
            "reasons": list(self.reasons),
            "unused_links": dict(self.unused_links),
            "evidence": dict(self.evidence),
        }

    def place_to_json(self) -> dict[str, Any]:
        """Give what tells where it lies, without the reasons; `from_json` reads it, too."""
        return {
            **self.transform.to_json(),
            "z_plane": round(self.z_plane, 6),
            "pixel_scale_yx": [round(value, 9) for value in self.scale_yx],
            "island_moves_yx": [[round(v, 4) for v in move] for move in self.island_moves_yx],
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any], where: str) -> AlignedSlice:
        """Read an entry; an absent scale is 1."""
        try:
            scale_y, scale_x = (positive(v) for v in record.get("pixel_scale_yx", (1.0, 1.0)))
            return cls(
                slice_id=int(record["slice_id"]),
                transform=Rigid2D.from_json(record, where),
                scale_yx=(scale_y, scale_x),
                z_plane=finite(record["z_plane"]),
                section=Section.from_json(record),
                confidence=float(record.get("confidence") or 0.0),
                source=str(record.get("source", "")),
                reasons=tuple(str(reason) for reason in record.get("reasons", ())),
                skip=_skip_of(record),
                unused_links=_unused(record),
                island_moves_yx=tuple(
                    (finite(y), finite(x)) for y, x in record.get("island_moves_yx", ())
                ),
                evidence=dict(record.get("evidence", {})),
            )
        except _UNREADABLE as error:
            raise FormatError(f"{where}: a slice entry cannot be read ({error!r})") from error


def _unused(record: Mapping[str, Any]) -> dict[str, Doubt]:
    return {str(name): Doubt(code) for name, code in record.get("unused_links", {}).items()}


def _skip_of(record: Mapping[str, Any]) -> Skip | None:
    """Read the code; of files without one (0.1.0, or by hand) the source tells what it can."""
    code = record.get("skip_reason")
    if code:
        return Skip(code)
    by_stage = code is None and record.get("source", "") in ("stage", "previous")
    return Skip.MISSING if by_stage else None


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
    gaps : tuple of Gap
        Where nothing that two slices show alike joins the stack.
    depths : str
        ``expected`` or ``measured``: where the face planes come from.
    is_taken : bool
        Whether it was solved in another run, on slices of the same tiles.
    bridges : tuple of mapping
        Pairs that were compared for this alone, as no other joins their slices: what else stands in
        their transform files.
    """

    reference_id: int
    pitch_um: tuple[float, float, float]
    canvas_yx: tuple[int, int]
    n_planes: int
    interval_planes: float
    slices: tuple[AlignedSlice, ...]
    left_out: tuple[LeftOut, ...] = ()
    gaps: tuple[Gap, ...] = ()
    depths: str = "expected"
    is_taken: bool = False
    bridges: tuple[Mapping[str, Any], ...] = ()

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
            "gaps": [gap.to_json() for gap in self.gaps],
            "bridges": [dict(one) for one in self.bridges],
            "synthetic": [],
            **({"taken": True} if self.is_taken else {}),
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
            z, y, x = (positive(value) for value in record["pitch_um"])
            n_y, n_x = (int(positive(value)) for value in record["canvas_yx"])
            return cls(
                reference_id=int(record["reference_id"]),
                pitch_um=(z, y, x),
                canvas_yx=(n_y, n_x),
                n_planes=int(positive(record["n_planes"])),
                interval_planes=finite(record["interval_planes"]),
                slices=tuple(AlignedSlice.from_json(one, where) for one in record["slices"]),
                left_out=tuple(LeftOut(**one) for one in record.get("left_out", ())),
                gaps=tuple(Gap(**gap) for gap in record.get("gaps", ())),
                depths=str(record.get("depths", "expected")),
                is_taken=bool(record.get("taken", False)),
                bridges=tuple(dict(one) for one in record.get("bridges", ())),
            )
        except _UNREADABLE as error:
            raise FormatError(
                f"{where}: cannot be read ({error!r})", remedy="write it with solve_alignment"
            ) from error


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
