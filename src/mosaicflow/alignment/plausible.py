"""Whether an alignment, which may come from anywhere, places slices in a volume of their size."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mosaicflow.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mosaicflow.alignment.solution import Alignment

__all__ = ["check_extent"]

# A volume of so many times the voxels of its slices is a mistake. The solver allows a canvas of 4
# times the largest slice; the rest is depth that nothing fills: 2500 lost slices between two. Half
# of it refuses a sparse trial run of a long stack, twice of it draws empty planes for a day more.
_LARGEST_RATIO = 1e4


def check_extent(
    alignment: Alignment, extents_um: Mapping[int, Sequence[float]], where: str
) -> None:
    """Compare the volume that an alignment describes with the slices that it places.

    Parameters
    ----------
    alignment : Alignment
        As it was read.
    extents_um : mapping
        Slice id -> size (z, y, x) of its array [um]; at least those that are placed.
    where : str
        Name of the file.

    Raises
    ------
    FormatError
        When a slice lies outside the volume, or nearly all of the volume is empty.
    """
    planes = alignment.n_planes
    outside = [one for one in alignment.slices if not 0 <= one.first_plane < planes]
    if outside:
        raise FormatError(
            f"{where}: slice {outside[0].slice_id} begins at plane {outside[0].z_plane:.6g} of a "
            f"volume of {planes:.6g} planes",
            remedy="write it with solve_alignment",
        )
    shape = (planes, *alignment.canvas_yx)
    volume = math.prod(n * um for n, um in zip(shape, alignment.pitch_um, strict=True))
    filled = sum(math.prod(extents_um[one.slice_id]) for one in alignment.slices)
    if volume > _LARGEST_RATIO * filled:
        size = " x ".join(f"{n:.6g}" for n in shape)
        raise FormatError(
            f"{where}: the volume ({size} px) is more than {_LARGEST_RATIO:g} times its slices",
            remedy="write it with solve_alignment",
        )
