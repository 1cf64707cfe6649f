"""How much there is of a slice and of the volume, stage by stage, before anything is made."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mosaicflow.mosaic.resampling import resampled_length

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mosaicflow.acquisition.tiles import SliceTiles
    from mosaicflow.engine.parameters import Parameters

__all__ = [
    "MIB",
    "VOXEL_BYTES",
    "SliceSize",
    "VolumeSize",
    "slice_size",
    "volume_size",
    "working_shape",
]

# Bytes of a MiB, by its definition [bytes].
MIB = 2**20
# Bytes of a voxel in every store, and in memory [bytes]: float32.
VOXEL_BYTES = 4

Shape = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class SliceSize:
    """How much one slice holds.

    Parameters
    ----------
    slice_id : int
        Which one.
    n_tiles : int
        Tiles that are used.
    native, working : tuple of int
        Shape of a tile as recorded and at the working pitch (z, y, x).
    canvas_yx : tuple of float
        Sides of the stitched slice [working px].
    canvas_px : float
        Px of it that hold data.
    kept_planes : float
        Planes kept below the block face.
    n_channels : int
        Channels that are read one by one.
    """

    slice_id: int
    n_tiles: int
    native: Shape
    working: Shape
    canvas_yx: tuple[float, float]
    canvas_px: float
    kept_planes: float
    n_channels: int


@dataclass(frozen=True, slots=True)
class VolumeSize:
    """How much the volume holds, in one channel.

    Parameters
    ----------
    planes : float
        Planes of the finest level.
    canvas_px : float
        Px of a plane.
    levels : float
        Voxels of all levels per voxel of the data.
    open_slices : int
        Slices that overlap at one depth, at most.
    """

    planes: float
    canvas_px: float
    levels: float
    open_slices: int


def slice_size(one: SliceTiles, parameters: Parameters) -> SliceSize:
    """Count what a slice holds.

    Parameters
    ----------
    one : SliceTiles
        Its tiles.
    parameters : Parameters
        Settings of the run.

    Returns
    -------
    SliceSize
    """
    working = working_shape(one, parameters)
    sides, px = _canvas(one, working[1:])
    return SliceSize(
        one.slice_id,
        len(one.used),
        one.tile_shape,
        working,
        sides,
        px,
        _kept_planes(one, working[0], parameters),
        max(1, one.n_channels),
    )


def volume_size(
    slices: Sequence[SliceTiles], sizes: Sequence[SliceSize], parameters: Parameters
) -> VolumeSize:
    """Count what the volume holds.

    Parameters
    ----------
    slices : sequence of SliceTiles
        Those that give an image; at least one.
    sizes : sequence of SliceSize
        How much each of them holds.
    parameters : Parameters
        Settings of the run.

    Returns
    -------
    VolumeSize
    """
    largest, size = max(zip(slices, sizes, strict=True), key=lambda both: both[1].canvas_px)
    ids = [one.slice_id for one in slices]
    before = zip(largest.tile_shape, largest.pitch_um, size.working, strict=True)
    pitch = [n * um / after for n, um, after in before]
    step = 1000 * float(parameters.setting("solve_alignment", "slicing_interval_mm")) / pitch[0]
    planes = (max(ids) - min(ids)) * step + size.kept_planes
    together = math.ceil(size.kept_planes / step) + 1
    return VolumeSize(planes, size.canvas_px, _levels(pitch, parameters), min(len(sizes), together))


def working_shape(one: SliceTiles, parameters: Parameters) -> Shape:
    """Give the shape of a tile at the working pitch (z, y, x)."""
    target = float(parameters.setting("resample_mosaic_grid", "resolution_um"))
    if target <= 0:
        return one.tile_shape
    n_z, n_y, n_x = (
        resampled_length(n, um, target) for n, um in zip(one.tile_shape, one.pitch_um, strict=True)
    )
    return n_z, n_y, n_x


def _canvas(one: SliceTiles, tile_yx: tuple[int, int]) -> tuple[tuple[float, float], float]:
    """Give the sides of a stitched slice and its px; places without a tile are not stored."""
    step = 1 - one.overlap_fraction
    y, x = (n * (1 + (count - 1) * step) for n, count in zip(tile_yx, one.grid_shape, strict=True))
    return (y, x), min(y * x, float(len(one.used) * math.prod(tile_yx)))


def _kept_planes(one: SliceTiles, n_z: int, parameters: Parameters) -> float:
    pitch_um = one.tile_shape[0] * one.pitch_um[0] / n_z
    depth_um = float(parameters.setting("crop_interface", "crop_depth_um"))
    return min(n_z, max(1.0, depth_um / pitch_um))


def _levels(pitch_um: Sequence[float], parameters: Parameters) -> float:
    halved = parameters.setting("stack", "pyramid_n_levels")
    if halved is not None:
        return sum(8.0**-level for level in range(int(halved) + 1))
    wanted = [float(um) for um in parameters.setting("stack", "pyramid_resolutions")]
    native_um = max(pitch_um[1:])
    if parameters.setting("stack", "resolution_um") == -1 and native_um < min(wanted):
        wanted.append(native_um)  # the volume then begins with it
    # A level as fine as the data to one in a thousand is the data.
    usable = [um for um in wanted if um >= 0.999 * native_um]
    return sum(math.prod(min(1.0, one / um) for one in pitch_um) for um in usable) or 1.0
