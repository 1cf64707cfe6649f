"""The block of a slice."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mosaicflow.io.blocks.entries import YX, pair_or_none, parsed
from mosaicflow.io.blocks.raw import GalvoBlock, StageBlock

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["SliceBlock"]


@dataclass(frozen=True, slots=True)
class SliceBlock:
    """Block of a slice: where its pixels lie, and what was done to its depth and brightness.

    Parameters
    ----------
    slice_id : int or None
        The slice; None where the store does not say.
    canvas_origin_px : tuple of float
        (y, x) of pixel (0, 0) from the corner of the slice's mosaic.
    stage : StageBlock
        Direction and range of the stage.
    galvo : GalvoBlock
        The galvo's shift.
    usable_planes : int or None
        Planes from the face down that hold tissue in every column; None: all.
    surface, intensity : mapping or None
        Records of `slices.surface.Surface` and `slices.intensity.PlaneScale`.
    islands : list or None
        Record of `slices.islands.Islands`.
    """

    slice_id: int | None = None
    canvas_origin_px: YX = (0.0, 0.0)
    stage: StageBlock = field(default_factory=StageBlock)
    galvo: GalvoBlock = field(default_factory=GalvoBlock)
    usable_planes: int | None = None
    surface: Mapping[str, Any] | None = None
    intensity: Mapping[str, Any] | None = None
    islands: list[list[float]] | None = None

    @classmethod
    def from_attrs(cls, block: Mapping[str, Any], where: str) -> SliceBlock:
        """Read the block of a slice; every entry may be absent.

        Raises
        ------
        FormatError
            When an entry cannot be read.
        """
        stage = StageBlock.from_attrs(block.get("stage"), where)
        galvo = GalvoBlock.from_attrs(block.get("galvo"), where)

        def parse() -> SliceBlock:
            usable = block.get("usable_planes")
            return cls(
                slice_id=int(block["slice_id"]) if "slice_id" in block else None,
                canvas_origin_px=pair_or_none(block.get("canvas_origin_px")) or (0.0, 0.0),
                stage=stage,
                galvo=galvo,
                usable_planes=None if usable is None else int(usable),
                surface=block.get("surface"),
                intensity=block.get("intensity"),
                islands=block.get("islands"),
            )

        return parsed(where, "slice", parse)

    def to_attrs(self) -> dict[str, Any]:
        """Give the entries of a slice; what is not known is left out."""
        own = {
            "kind": "slice",
            "slice_id": self.slice_id,
            "canvas_origin_px": list(self.canvas_origin_px),
            "stage": self.stage.to_attrs(),
            "galvo": self.galvo.to_attrs(),
            "usable_planes": self.usable_planes,
            "surface": self.surface,
            "intensity": self.intensity,
            "islands": self.islands,
        }
        return {key: value for key, value in own.items() if value is not None}
