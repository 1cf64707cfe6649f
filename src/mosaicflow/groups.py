"""What pairs join to groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    Member = TypeVar("Member", bound=Hashable)

__all__ = ["joined"]


def joined(pairs: Iterable[tuple[Member, Member]]) -> dict[Member, Member]:
    """Name for every member of a pair one member that stands for all that are joined with it."""
    from scipy.cluster.hierarchy import DisjointSet

    groups = DisjointSet()
    for one, other in pairs:
        groups.add(one)
        groups.add(other)
        groups.merge(one, other)
    return {member: groups[member] for member in groups}
