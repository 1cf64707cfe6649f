"""Pairs across unseen tissue that registration put off, compared where no other joins the slices.

Such a pair says little, costs as much as one that shares tissue, and counts only across a gap.
Whether there is one is known when all other pairs have been seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mosaicflow.alignment.links import shared_tissue, sides_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from mosaicflow.alignment.links import LinkRules, SliceLink

__all__ = ["compare_put_off"]


def compare_put_off(
    links: Sequence[SliceLink],
    used: Collection[int],
    rules: LinkRules,
    least_correlation: float,
    compare: Callable[[int, int], SliceLink],
) -> list[SliceLink]:
    """Compare slices that nothing else joins, the nearest first.

    Parameters
    ----------
    links : sequence of SliceLink
        Graded links, before those are refused that others make needless.
    used : collection of int
        Slices in use.
    rules : LinkRules
        Where no link counts, none is asked for; where each one counts, all are.
    least_correlation : float
        Links below it may be bad slices, and join nothing for certain.
    compare : callable
        Takes the ids of the upper and the lower slice, and gives their graded link.

    Returns
    -------
    list of SliceLink
        All of them; those that were compared take the place of those that were put off.
    """
    found = list(links)
    if rules.preset == "minimal":
        return found
    every, ids = rules.preset == "aggressive", frozenset(used)
    put_off = [k for k, link in enumerate(links) if link.is_put_off and _is_of(link, ids)]
    is_joined = _joins(found, ids, least_correlation)
    for k in sorted(put_off, key=lambda k: links[k].distance_planes):
        link = links[k]
        if every or not is_joined(link):
            found[k] = compare(link.fixed_id, link.moving_id)
            is_joined = _joins(found, ids, least_correlation)
    return found


def _is_of(link: SliceLink, ids: frozenset[int]) -> bool:
    return link.fixed_id in ids and link.moving_id in ids


def _joins(
    links: Sequence[SliceLink], ids: frozenset[int], least_correlation: float
) -> Callable[[SliceLink], bool]:
    """Tell of a pair whether good ones join its slices: by shared tissue, or as it would itself."""
    good = [
        link
        for link in links
        if link.counts and link.correlation >= least_correlation and _is_of(link, ids)
    ]
    group = shared_tissue(good)
    across = {sides_of(link, group) for link in good if link.distance_planes}

    def is_joined(link: SliceLink) -> bool:
        sides = sides_of(link, group)
        return sides[0] == sides[1] or sides in across

    return is_joined
