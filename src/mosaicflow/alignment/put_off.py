"""Pairs across unseen tissue that registration put off, compared where no other joins the slices.

Such a pair says little, costs as much as one that shares tissue, and counts only across a gap.
Whether there is one is known when all other pairs have been seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mosaicflow.alignment.links import shared_tissue, sides_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from mosaicflow.alignment.links import LinkRules, SliceLink

    Pair = tuple[int, int]

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
    found = {(link.fixed_id, link.moving_id): link for link in links}
    if rules.preset == "minimal":
        return list(found.values())
    put_off = [
        link for link in links if link.is_put_off and {link.fixed_id, link.moving_id} <= set(used)
    ]
    for link in sorted(put_off, key=lambda one: one.distance_planes):
        good = _good(found, used, least_correlation)
        if rules.preset == "aggressive" or not _is_joined(link, list(good)):
            ids = link.fixed_id, link.moving_id
            found[ids] = compare(*ids)
    return list(found.values())


def _good(
    links: Mapping[Pair, SliceLink], used: Collection[int], least_correlation: float
) -> Iterator[SliceLink]:
    for ids, link in links.items():
        if link.counts and link.correlation >= least_correlation and set(ids) <= set(used):
            yield link


def _is_joined(link: SliceLink, good: Sequence[SliceLink]) -> bool:
    """Say whether links join the slices of another, by shared tissue or as near as that one."""
    group = shared_tissue(good)
    sides = sides_of(link, group)
    return sides[0] == sides[1] or any(
        one.distance_planes and sides_of(one, group) == sides for one in good
    )
