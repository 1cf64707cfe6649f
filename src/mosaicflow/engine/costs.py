"""What the stages cost: seconds and memory by what there is to do.

Measured on five acquisitions (benchmarks/resources.py): CPU seconds of a machine whose
`mosaicflow.engine.pace` is 1, and the peak of memory in use; which amounts count follows from what
each stage holds at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mosaicflow.engine.sizes import MIB, VOXEL_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from mosaicflow.engine.sizes import SliceSize, VolumeSize

__all__ = ["COSTS", "Amounts", "Cost"]

# Lateral side of the blocks that slices are worked on in [px].
_BLOCK_PX = 256
# Stages that work tile by tile; the others do block by block.
_TILE_BY_TILE = (
    "create_mosaic_grid",
    "resample_mosaic_grid",
    "estimate_illumination",
    "estimate_tile_positions",
    "fix_illumination",
)
# What stages keep at most of tiles that they need again [bytes].
_CACHE_BYTES = 400_000_000
# Planes of a slice that registration keeps, and a part of the volume [bytes].
_PLANES_BYTES, _PART_BYTES = 200_000_000, 1_000_000_000
# Planes of a chunk of the volume, and what it takes to sample a slice, in planes of it [planes].
_CHUNK_PLANES, _SAMPLER_PLANES = 64, 5


@dataclass(frozen=True, slots=True)
class Amounts:
    """What a task has to do, and what it holds at once.

    Parameters
    ----------
    size : SliceSize
        Of the slice; of the largest one for what works on all.
    volume : VolumeSize
        Of the volume.
    n_slices, n_tiles : int
        Of the acquisition.
    n_samples : int
        Tiles that the flat field is estimated from.
    """

    size: SliceSize
    volume: VolumeSize
    n_slices: int
    n_tiles: int
    n_samples: int

    @property
    def native_voxels(self) -> int:
        """Voxels of all tiles of the slice as recorded."""
        return self.size.n_tiles * math.prod(self.size.native)

    @property
    def working_voxels(self) -> int:
        """The same at the working pitch."""
        return self.size.n_tiles * math.prod(self.size.working)

    @property
    def canvas_px(self) -> float:
        """Px of the stitched slice."""
        return self.size.canvas_px

    @property
    def stitched_voxels(self) -> float:
        """Voxels of the stitched slice."""
        return self.canvas_px * self.size.working[0]

    @property
    def kept_voxels(self) -> float:
        """Voxels of it below the block face."""
        return self.canvas_px * self.size.kept_planes

    @property
    def volume_voxels(self) -> float:
        """Voxels of the finest level of the volume."""
        return self.volume.planes * self.volume.canvas_px

    @property
    def tile_mib(self) -> float:
        """Size of a tile as recorded."""
        return VOXEL_BYTES * math.prod(self.size.native) / MIB

    @property
    def small_tile_mib(self) -> float:
        """Size of a tile at the working pitch."""
        return VOXEL_BYTES * math.prod(self.size.working) / MIB

    @property
    def block_mib(self) -> float:
        """Size of a block of the stitched slice over its whole depth."""
        y, x = (min(_BLOCK_PX, side) for side in self.size.canvas_yx)
        return VOXEL_BYTES * self.size.working[0] * y * x / MIB

    def busy(self, stage: str, threads: int) -> float:
        """Count the threads that find something to do: there may be fewer tiles or blocks."""
        if stage in _TILE_BY_TILE:
            return min(threads, self.size.n_tiles)
        y, x = self.size.canvas_yx
        blocks = y * x / (min(_BLOCK_PX, y) * min(_BLOCK_PX, x))
        return min(threads, max(1.0, blocks))

    @property
    def kept_block_mib(self) -> float:
        """Size of a block below the block face."""
        return self.block_mib * self.size.kept_planes / self.size.working[0]

    @property
    def cached_mib(self) -> float:
        """Size of the tiles at the working pitch that stitching keeps."""
        return min(self.size.n_tiles * self.small_tile_mib, _CACHE_BYTES / MIB)

    @property
    def views_mib(self) -> float:
        """Size of the smoothed views of tiles that linking keeps: seven planes of a tile."""
        bands = 7 if self.size.native[0] > 1 else 1
        plane = VOXEL_BYTES * self.size.native[1] * self.size.native[2]
        return min(self.size.n_tiles * bands * plane, _CACHE_BYTES) / MIB

    def thinned_px(self, most: float) -> float:
        """Count columns spread over a slice, every second or fourth, at most so many."""
        steps = max(0, math.ceil(math.log(self.canvas_px / most, 4)))
        return float(self.canvas_px / 4**steps)

    def columns_mib(self, most: float, planes: float) -> float:
        """Size of these columns."""
        return VOXEL_BYTES * self.thinned_px(most) * planes / MIB

    @property
    def planes_mib(self) -> float:
        """Size of the planes of a slice that registration keeps."""
        return min(VOXEL_BYTES * self.kept_voxels, _PLANES_BYTES) / MIB

    @property
    def chunk_mib(self) -> float:
        """Size of a chunk of the volume."""
        y, x = (min(_BLOCK_PX, side) for side in self.size.canvas_yx)
        return VOXEL_BYTES * min(_CHUNK_PLANES, self.volume.planes) * y * x / MIB

    @property
    def part_mib(self) -> float:
        """Size of what is open while a part of the volume is drawn (see `stacking.draw`)."""
        need = self.size.kept_planes + _SAMPLER_PLANES
        blocks = 2 * min(_CHUNK_PLANES, self.volume.planes)
        planes = self.volume.open_slices * need + need + blocks
        return min(VOXEL_BYTES * self.volume.canvas_px * planes, _PART_BYTES) / MIB


@dataclass(frozen=True, slots=True)
class Cost:
    """What one stage costs.

    Parameters
    ----------
    base_mib : float
        Memory of Python with what the stage imports.
    seconds : callable
        CPU time by amounts.
    shared_mib, own_mib : callable
        Memory beyond the base, and that of each thread.
    """

    base_mib: float
    seconds: Callable[[Amounts], float]
    shared_mib: Callable[[Amounts], float]
    own_mib: Callable[[Amounts], float]


def _none(_: Amounts) -> float:
    return 0.0


# Times in seconds: a task's own, per tile, and per million voxels (or px) of what it works on.
# Twice too large or small, a prediction is off by as much; benchmarks/resources.py shows by how
# much they are.
COSTS: dict[str, Cost] = {
    "inspect_acquisition": Cost(100, lambda a: 0.2 + 0.001 * a.n_tiles, lambda _: 9, _none),
    "create_mosaic_grid": Cost(
        86,
        lambda a: 0.05 + 0.015 * a.size.n_tiles + 50e-9 * a.native_voxels,
        lambda a: 5 + 1.5 * a.tile_mib,
        lambda a: 2 * a.tile_mib,
    ),
    "resample_mosaic_grid": Cost(
        64,
        lambda a: 0.025 + 0.0234 * a.size.n_tiles + 33e-9 * a.native_voxels,
        lambda a: 6 + 2 * a.tile_mib,
        lambda a: 2 * a.tile_mib,
    ),
    "detect_rehoming": Cost(44, lambda _: 0.065, lambda _: 4, _none),
    "estimate_illumination": Cost(
        88,
        lambda a: 0.08 + 0.06 * a.n_samples + 36e-9 * a.n_samples * math.prod(a.size.native),
        lambda a: 5 + 32 * min(1.0, a.n_samples / 40) + 2 * a.tile_mib,
        lambda a: 5 * a.tile_mib,
    ),
    "estimate_tile_positions": Cost(
        105,
        lambda a: 0.03 + 0.06 * a.size.n_tiles + 33e-9 * a.native_voxels,
        lambda a: 10 + a.views_mib + 4 * a.tile_mib,
        lambda a: 1.5 * a.tile_mib,
    ),
    "fix_illumination": Cost(
        82,
        lambda a: 0.1 + 0.009 * a.size.n_tiles + 45e-9 * a.working_voxels,
        lambda _: 8,
        lambda a: 4 * a.small_tile_mib,
    ),
    "pool_tile_positions": Cost(
        92, lambda a: 0.01 + 0.2 * (a.n_slices - 1) + 0.008 * a.n_tiles, lambda _: 14, _none
    ),
    "stitch_3d": Cost(
        112,
        lambda a: 0.3 + 120e-9 * a.stitched_voxels + 600e-9 * a.canvas_px,
        lambda a: 14 + a.cached_mib + min(14, a.canvas_px / 1e5),
        lambda a: 1.6 * a.block_mib,
    ),
    "correct_axial": Cost(
        88,
        lambda a: (
            0.05
            + 120e-9 * a.thinned_px(2e5) * a.size.working[0]
            + 40e-9 * a.stitched_voxels
            + 190e-9 * a.canvas_px
        ),
        lambda a: 8 + a.columns_mib(2e5, a.size.working[0]),
        lambda a: 4.5 * a.block_mib,
    ),
    "crop_interface": Cost(
        86,
        lambda a: (
            0.04
            + 76e-9 * a.thinned_px(2e5) * a.size.working[0]
            + 95e-9 * a.stitched_voxels
            + 130e-9 * a.canvas_px
        ),
        lambda _: 8,
        lambda a: 4.5 * a.block_mib,
    ),
    "normalize": Cost(
        90,
        lambda a: (
            0.06
            + 138e-9 * a.thinned_px(3e5) * a.size.kept_planes
            + 52e-9 * a.kept_voxels
            + 330e-9 * a.canvas_px
        ),
        lambda a: 8 + 2 * a.columns_mib(3e5, a.size.kept_planes),
        lambda a: 3.2 * a.kept_block_mib,
    ),
    "register_pairwise": Cost(
        98,
        lambda a: 0.65 + 215e-9 * a.kept_voxels,
        lambda a: 2.7 * a.planes_mib,
        lambda a: 12 * a.kept_block_mib,
    ),
    "solve_alignment": Cost(90, lambda a: 0.02 + 0.05 * a.n_slices, lambda _: 9, _none),
    "estimate_depth_profile": Cost(
        86,
        lambda a: (
            0.05
            + 54e-9 * a.n_slices * a.canvas_px
            + (a.n_slices - 1) * (3.8e-6 * a.canvas_px + 262e-6 * min(a.canvas_px / 64, 2000))
        ),
        lambda _: 10,
        lambda a: 4.5 * a.block_mib,
    ),
    "stack": Cost(
        98,
        lambda a: 0.01 + 9.9e-3 * a.volume.planes + 174e-9 * a.volume_voxels + 1.1e-6 * a.canvas_px,
        lambda a: 3.5 * a.chunk_mib + a.part_mib,
        _none,
    ),
}
