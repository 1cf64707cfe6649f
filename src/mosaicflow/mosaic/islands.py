"""Tiles that measured shifts hold together, and those that none reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mosaicflow.groups import joined

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mosaicflow.mosaic.link import Link, Tile

__all__ = ["connected_parts", "islands_of"]


def connected_parts(links: Iterable[Link]) -> dict[Tile, Tile]:
    """Name for every linked tile one tile that stands for all that are linked with it."""
    return joined((link.a, link.b) for link in links)


def islands_of(tiles: Sequence[Tile], links: Sequence[Link]) -> tuple[tuple[Tile, ...], ...]:
    """Part tiles into islands that no link joins.

    Parameters
    ----------
    tiles : sequence of (int, int)
        All tiles of a slice.
    links : sequence of Link
        Links to be trusted.

    Returns
    -------
    tuple of tuple of (int, int)
        The tiles of each island, the largest one first.
    """
    name = connected_parts(links)
    parts: dict[Tile, list[Tile]] = {}
    for tile in sorted(tiles):
        parts.setdefault(name.get(tile, tile), []).append(tile)
    return tuple(tuple(part) for part in sorted(parts.values(), key=lambda p: (-len(p), p[0])))
