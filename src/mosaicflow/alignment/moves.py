"""Where islands of a slice go that its neighbours show: one move each, beside its pose."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mosaicflow.alignment.links import SliceLink
    from mosaicflow.rigid import Rigid2D

__all__ = ["as_sure_as_islands", "island_moves"]

YX = tuple[float, float]

# Tissue deforms from cut to cut by this [px], whatever an island's own error: of two neighbours
# neither decides alone. Doubled, both count alike.
_DEFORMS_PX = 0.1


def as_sure_as_islands(link: SliceLink, counts: Mapping[int, int]) -> SliceLink:
    """Let a pair that shows every island of a slice count by the errors of these.

    The mean of loose tiles says little of where a slice lies, but all its pairs that show the same
    tiles mean the same place by it, and each tile is moved to where they show it.

    Parameters
    ----------
    link : SliceLink
        A pair of slices.
    counts : mapping
        Number of islands of each slice that has more than one.

    Returns
    -------
    SliceLink
    """
    if not link.islands:
        return link
    own = link.fixed_id if link.islands[0].is_fixed else link.moving_id
    if len(link.islands) != counts.get(own):
        return link
    squares = [point.sigma_px**2 for point in link.islands]
    return replace(link, sigma_px=math.sqrt(sum(squares)) / len(squares))


def island_moves(
    poses: Mapping[int, Rigid2D], links: Sequence[SliceLink], counts: Mapping[int, int]
) -> dict[int, tuple[YX, ...]]:
    """Say how far each island is drawn from where its slice's pose puts it.

    Parameters
    ----------
    poses : mapping
        Forward motion of each slice to the canvas, by id.
    links : sequence of SliceLink
        Pairs that count.
    counts : mapping
        Number of islands of each slice that has more than one.

    Returns
    -------
    dict
        By slice id, (dy, dx) of each island: what is drawn where the pose puts pixel p is pixel
        p + (dy, dx) [px of the slice at the pitch of the canvas]; (0, 0) of one that no neighbour
        shows. Slices without any are left out.
    """
    sums = {i: np.zeros((n, 3)) for i, n in counts.items()}
    for link in links:
        for point in link.islands:
            own, other = (
                (link.fixed_id, link.moving_id)
                if point.is_fixed
                else (link.moving_id, link.fixed_id)
            )
            if own not in sums or not 0 <= point.number < counts[own]:
                continue
            here, there = (
                (point.fixed_yx, point.moving_yx)
                if point.is_fixed
                else (point.moving_yx, point.fixed_yx)
            )
            move = np.array(here) - poses[own].inverse().about((0.0, 0.0)).apply(
                poses[other].apply(there)
            )
            weight = 1 / (point.sigma_px**2 + _DEFORMS_PX**2)
            sums[own][point.number] += weight * np.array([*move, 1.0])
    return {
        i: tuple((float(y / w), float(x / w)) if w else (0.0, 0.0) for y, x, w in rows)
        for i, rows in sums.items()
        if rows[:, 2].any()
    }
