"""What a store keeps of its raw tiles: the stage and the galvo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mosaicflow.io.blocks.entries import YX, number, pair_or_none, parsed

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["GalvoBlock", "StageBlock"]


@dataclass(frozen=True, slots=True)
class StageBlock:
    """What the stage says of a slice, in its own coordinates.

    Parameters
    ----------
    sign_yx : tuple of float
        +1 where the array index grows with the stage coordinate, -1 where it falls, 0 unknown.
    origin_mm, min_mm, max_mm : tuple of float or None
        (y, x) of the mosaic's corner, and the least and largest centre of a tile; None when the
        raw data had no positions.
    """

    sign_yx: YX = (0, 0)
    origin_mm: YX | None = None
    min_mm: YX | None = None
    max_mm: YX | None = None

    @property
    def known_sign_yx(self) -> YX:
        """Direction of the array axes; along the stage where it is not known."""
        y, x = self.sign_yx
        return float(y or 1), float(x or 1)

    @classmethod
    def from_attrs(cls, entry: Mapping[str, Any] | None, where: str) -> StageBlock:
        """Read the entry ``stage``; absent or null says nothing."""
        own = entry or {}
        return parsed(
            where,
            "stage",
            lambda: cls(
                (number(own.get("sign_y") or 0), number(own.get("sign_x") or 0)),
                *(pair_or_none(own.get(key)) for key in ("origin_mm", "min_mm", "max_mm")),
            ),
        )

    def to_attrs(self) -> dict[str, Any]:
        """Give the entry ``stage``."""
        ends = {"origin_mm": self.origin_mm, "min_mm": self.min_mm, "max_mm": self.max_mm}
        return {
            "sign_y": self.sign_yx[0],
            "sign_x": self.sign_yx[1],
            **{key: list(value) for key, value in ends.items() if value is not None},
        }


@dataclass(frozen=True, slots=True)
class GalvoBlock:
    """How the flight back of the galvo was found and undone.

    Parameters
    ----------
    n_extra : int
        A-lines of the flight back.
    shift : int
        A-lines that each B-scan was rolled by.
    confidence : float or None
        0 to 1; None when it was not looked for.
    applied : bool
        Whether the shift was undone.
    reason : str
        Why, or why not.
    """

    n_extra: int = 0
    shift: int = 0
    confidence: float | None = None
    applied: bool = False
    reason: str = ""

    @classmethod
    def from_attrs(cls, entry: Mapping[str, Any] | None, where: str) -> GalvoBlock:
        """Read the entry ``galvo``; absent says that nobody looked."""
        own = entry or {}
        return parsed(
            where,
            "galvo",
            lambda: cls(
                int(own.get("n_extra", 0)),
                int(own.get("shift", 0)),
                None if own.get("confidence") is None else float(own["confidence"]),
                bool(own.get("applied", False)),
                str(own.get("reason", "")),
            ),
        )

    def to_attrs(self) -> dict[str, Any]:
        """Give the entry ``galvo``."""
        return {
            "n_extra": self.n_extra,
            "shift": self.shift,
            "confidence": self.confidence,
            "applied": self.applied,
            "reason": self.reason,
        }
