"""What pairs join to groups."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    Member = TypeVar("Member", bound=Hashable)

__all__ = ["joined"]


def joined(pairs: Iterable[tuple[Member, Member]]) -> dict[Member, Member]:
    """Name for every member of a pair one member that stands for all that are joined with it."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    known = list(pairs)
    number = {member: n for n, member in enumerate(dict.fromkeys(chain.from_iterable(known)))}
    if not number:
        return {}
    ends = [[number[member] for member in side] for side in zip(*known, strict=True)]
    graph = coo_array(([True] * len(known), ends), shape=(len(number), len(number)))
    _, group = connected_components(graph, directed=False)
    first: dict[int, Member] = {}
    return {m: first.setdefault(g, m) for m, g in zip(number, group.tolist(), strict=True)}
