"""How the axes of a stored array become (z, y, x)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mosaicflow.errors import FormatError
from mosaicflow.io.zarr.errors import ArgumentError

if TYPE_CHECKING:
    from mosaicflow.io.zarr.info import OmeZarrInfo

__all__ = ["AxisView", "LateralOrder", "view_of"]

LateralOrder = Literal["yx", "xy"]


@dataclass(frozen=True, slots=True)
class AxisView:
    """How the axes of an array become (z, y, x).

    `fixed` holds the index taken on every axis that is left out; `order` the array axis behind
    each remaining axis.
    """

    fixed: dict[int, int]
    order: tuple[int, ...]

    def pick(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return what belongs to the remaining axes, in their order."""
        return tuple(values[axis] for axis in self.order)


def view_of(
    info: OmeZarrInfo, lateral_order: LateralOrder, picked: dict[str, int | None]
) -> AxisView:
    """Find z, y and x among the axes of a store; an index is taken on every other one."""
    names = [axis.name for axis in info.axes]
    spatial = [name for name in "zyx" if name in names]
    if len(set(names)) != len(names) or len(spatial) < 2 or spatial[-2:] != ["y", "x"]:
        raise FormatError(f"{info.location}: axes {names} are not a permutation of z, y, x or y, x")
    extents = dict(zip(names, info.levels[0].shape, strict=True))
    fixed = {
        names.index(name): _fixed_index(info, name, extents, picked)
        for name in names
        if name not in spatial
    }
    order = [names.index(name) for name in spatial]
    if lateral_order == "xy":
        order[-2:] = order[:-3:-1]
    elif lateral_order != "yx":
        raise ArgumentError(f"lateral_order {lateral_order!r} is not known (expected yx or xy)")
    return AxisView(fixed, tuple(order))


def _fixed_index(
    info: OmeZarrInfo, name: str, extents: dict[str, int], picked: dict[str, int | None]
) -> int:
    extent, wanted = extents[name], picked.get(name)
    if wanted is None:
        if extent == 1:
            return 0
        shape = ", ".join(f"{key}: {value}" for key, value in extents.items())
        raise FormatError(
            f"{info.location}: axes ({shape}): axis {name!r} has {extent} entries, expected 1",
            remedy="choose one with channel= or time=",
        )
    if not 0 <= wanted < extent:
        raise ArgumentError(
            f"{info.location}: index {wanted} is outside axis {name!r} with {extent} entries"
        )
    return wanted
