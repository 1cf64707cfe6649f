"""Decide for a whole slice whether its galvo return lies inside the tiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mosaicflow.acquisition.grid_plan import GalvoResult

if TYPE_CHECKING:
    from pathlib import Path

    from mosaicflow.acquisition.tiles import SliceTiles

__all__ = ["GalvoSettings", "decide_galvo"]


@dataclass(frozen=True, slots=True)
class GalvoSettings:
    """When to look for a misplaced galvo return and when to correct it.

    Parameters
    ----------
    fix : bool
        Correct it.
    threshold : float
        Least confidence for that.
    detect : bool
        Look and report without correcting.
    """

    fix: bool = True
    threshold: float = 0.6
    detect: bool = False


def decide_galvo(root: Path, tiles: SliceTiles, settings: GalvoSettings) -> GalvoResult:
    """Find the shift that all tiles of a slice share."""
    return GalvoResult()
