"""How far an island of tiles may lie from where the stage has it, where a stage may jump."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.mosaic.lattice import neighbours
from mosaicflow.mosaic.stage_model import departures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from mosaicflow.mosaic.link import Link, Tile
    from mosaicflow.mosaic.placement import Placement

    Position = tuple[float, float]

__all__ = ["with_doubt_of_islands"]

# A step this many standard deviations off is a jump of the stage.
_JUMP_STEPS = 5.0
# Share of the steps that are jumps at least, seen or not. At ten times as much an island beside
# one blank overlap in ten is doubted; at a tenth, one that three overlaps should join is not.
_LEAST_JUMPS = 0.01


def with_doubt_of_islands(
    placement: Placement, stage_px: Mapping[Tile, Position], tile_yx: tuple[int, int]
) -> Placement:
    """Say of tiles apart from the largest part that the stage may have jumped before them.

    Where it did not, their overlaps with linked tiles would have been seen like most others: the
    more of them are missing, the likelier it jumped. It then did as far as it is seen to jump
    elsewhere, and far enough for the overlap to be gone.

    Parameters
    ----------
    placement : Placement
        Tiles placed by links and stage.
    stage_px : mapping
        Tile -> (y, x) that the stage reports, in px, as its model takes it.
    tile_yx : (int, int)
        Lateral shape of a tile.

    Returns
    -------
    Placement
        With larger standard errors of such tiles.
    """
    used = [link for link in placement.links if link.used]
    if not used:
        return placement
    share, jump_px = _jumps(placement, stage_px, used)
    place = {tile: placement.model @ at for tile, at in stage_px.items()}
    pairs = neighbours({tile for link in used for tile in (link.a, link.b)})
    unseen = 1 - len(used) / max(len(pairs), len(used))
    sigma = dict(placement.sigma_px)
    for part in placement.islands[1:]:
        missed = [pair for pair in pairs if len(set(pair) & set(part)) == 1]
        overlaps = [_overlap_px(place[b] - place[a], tile_yx) for a, b in missed]
        chance = share / (share + (1 - share) * unseen ** len(missed))
        doubt = np.sqrt(chance / 2) * max(jump_px, *overlaps, 0.0)
        sigma |= {tile: float(np.hypot(sigma[tile], doubt)) for tile in part}
    return replace(placement, sigma_px=sigma)


def _jumps(
    placement: Placement, stage_px: Mapping[Tile, Position], used: Sequence[Link]
) -> tuple[float, float]:
    """Give the share of the stage's steps that links show to be jumps, and their length [px]."""
    far = np.linalg.norm(departures(used, stage_px, placement.model), axis=1)
    jumps = far[far > _JUMP_STEPS * placement.step_sigma_px]
    length = float(np.sqrt(np.mean(jumps**2))) if jumps.size else 0.0
    return max(len(jumps) / len(used), _LEAST_JUMPS), length


def _overlap_px(step: NDArray[np.float64], tile_yx: tuple[int, int]) -> float:
    """Width of the overlap of two tiles that lie so far apart; 0 where there is none."""
    return max(float(np.min(np.array(tile_yx) - np.abs(step))), 0.0)
