"""The block of a volume."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mosaicflow.errors import FormatError
from mosaicflow.io.blocks.entries import length, parsed

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PlaneSpanBlock", "VolumeBlock"]


@dataclass(frozen=True, slots=True)
class PlaneSpanBlock:
    """Planes of a volume, [first, stop).

    Parameters
    ----------
    first_plane, stop_plane : int
        As they were drawn.
    slice_id : int or None
        Slice that they show; None of a gap.
    """

    first_plane: int
    stop_plane: int
    slice_id: int | None = None

    @classmethod
    def from_attrs(cls, entry: object, where: str) -> PlaneSpanBlock:
        """Read a plane, a pair first and stop, or the entry of a slice.

        Raises
        ------
        FormatError
            When it is none of these.
        """
        return parsed(where, f"planes {entry!r:.60}", lambda: cls._read(entry))

    @classmethod
    def _read(cls, entry: Any) -> PlaneSpanBlock:  # noqa: ANN401  # parsed JSON
        if isinstance(entry, dict):
            return cls(int(entry["first_plane"]), int(entry["stop_plane"]), int(entry["slice_id"]))
        first, stop = (entry, entry + 1) if isinstance(entry, int) else entry
        return cls(int(first), int(stop))

    def to_attrs(self) -> object:
        """Give the shortest form that is read again."""
        if self.slice_id is None:
            return [self.first_plane, self.stop_plane]
        ends = {"first_plane": self.first_plane, "stop_plane": self.stop_plane}
        return {"slice_id": self.slice_id, **ends}


@dataclass(frozen=True, slots=True)
class VolumeBlock:
    """Block of a volume: where its slices lie and what was left out.

    Parameters
    ----------
    plane_pitch_um : float or None
        Distance of the planes in which slices and gaps are counted; None: that of the volume.
    pixel_pitch_um : float or None
        Pixel in which the transforms of slices count; None where the volume does not say.
    reference_id : int or None
        Slice that the others were aligned to.
    slices, left_out : tuple of mapping
        Entries of the slices drawn (`alignment.solution.AlignedSlice` reads them) and left out.
    gaps, synthetic_planes : tuple of PlaneSpanBlock
        Planes without an image; planes that were made up.
    intensity : mapping
        How brightness was set.
    """

    plane_pitch_um: float | None = None
    pixel_pitch_um: float | None = None
    reference_id: int | None = None
    slices: tuple[Mapping[str, Any], ...] = ()
    intensity: Mapping[str, Any] = field(default_factory=dict)
    left_out: tuple[Mapping[str, Any], ...] = ()
    gaps: tuple[PlaneSpanBlock, ...] = ()
    synthetic_planes: tuple[PlaneSpanBlock, ...] = ()

    @classmethod
    def from_attrs(cls, block: Mapping[str, Any], where: str) -> VolumeBlock:
        """Read the block of a volume; every entry may be absent.

        Raises
        ------
        FormatError
            When an entry cannot be read.
        """
        plane, pixel = (
            None if block.get(key) is None else length(block[key], key, where)
            for key in ("plane_pitch_um", "pixel_pitch_um")
        )

        def spans(key: str) -> tuple[PlaneSpanBlock, ...]:
            return tuple(PlaneSpanBlock.from_attrs(entry, where) for entry in block.get(key, ()))

        return parsed(
            where,
            "volume",
            lambda: cls(
                plane,
                pixel,
                None if block.get("reference_id") is None else int(block["reference_id"]),
                tuple(block.get("slices", ())),
                dict(block.get("intensity", {})),
                tuple(block.get("left_out", ())),
                spans("gaps"),
                spans("synthetic_planes"),
            ),
        )

    def pitches_um(self, where: str) -> tuple[float, float]:
        """Give the pitch that planes, and that the transforms of slices, count in.

        Raises
        ------
        FormatError
            When the volume does not say, as those of other software.
        """
        if self.plane_pitch_um is None or self.pixel_pitch_um is None:
            raise FormatError(f"{where}: plane_pitch_um or pixel_pitch_um is not there")
        return self.plane_pitch_um, self.pixel_pitch_um

    def spans_of_slices(self, where: str) -> tuple[PlaneSpanBlock, ...]:
        """Read which planes each slice covers."""
        return tuple(PlaneSpanBlock.from_attrs(entry, where) for entry in self.slices)

    def to_attrs(self) -> dict[str, Any]:
        """Give the block of a volume."""
        return {
            "kind": "volume",
            "plane_pitch_um": self.plane_pitch_um,
            "pixel_pitch_um": self.pixel_pitch_um,
            "reference_id": self.reference_id,
            "slices": [dict(entry) for entry in self.slices],
            "intensity": dict(self.intensity),
            "left_out": [dict(entry) for entry in self.left_out],
            "gaps": [span.to_attrs() for span in self.gaps],
            "synthetic_planes": [span.to_attrs() for span in self.synthetic_planes],
        }
