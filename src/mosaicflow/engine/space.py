"""How much disk a run takes: the voxels of every stage, and how well a few tiles compress."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from rich.filesize import decimal

from mosaicflow.acquisition.read.reading import read_tile, tile_here
from mosaicflow.engine.sizes import (
    VOXEL_BYTES,
    SliceSize,
    slice_size,
    volume_size,
    working_shape,
)
from mosaicflow.errors import InputError, MosaicflowError
from mosaicflow.io.remote_files import at_address
from mosaicflow.io.zarr.codecs import compressed_bytes
from mosaicflow.mosaic.resampling import resample_tile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from mosaicflow.acquisition.tiles import SliceTiles
    from mosaicflow.engine.parameters import Parameters

__all__ = [
    "Shares",
    "Space",
    "bytes_below",
    "measured_shares",
    "predict_space",
    "refuse_too_little_space",
    "space_lines",
]

# Tiles that are read to see how well they compress: twice as many changed the share by less than
# 1 % on the demo; with one, a tile of bare gel or of black ground would speak for all.
_TILES_READ = 4
# What a prediction may be off by before a run is refused [factor]: stages came within 1.2, and all
# together within 1.05, of what the toy, the demo and 63 real tiles took; doubled, disks half too
# small would not be noticed.
_DOUBT = 1.2


@dataclass(frozen=True, slots=True)
class Shares:
    """Bytes on disk over bytes in memory.

    Parameters
    ----------
    native, working : float
        Of tiles as recorded, and at the working pitch.
    lit, spread : float
        Of these once they were divided by a flat field, and once their brightness was brought to
        0-1: of whole numbers, which compress well, each makes fractions, which do not.
    """

    native: float = 1.0
    working: float = 1.0
    lit: float = 1.0
    spread: float = 1.0


# Which of them the stores of a stage have; the others have those of lit tiles.
_SHARE_OF = {
    "create_mosaic_grid": "native",
    "resample_mosaic_grid": "working",
    "normalize": "spread",
    "stack": "spread",
}


@dataclass(frozen=True, slots=True)
class Space:
    """Bytes that one stage leaves on the disk.

    Parameters
    ----------
    stage : str
        Its stem.
    n_bytes : int
        Of all its stores.
    """

    stage: str
    n_bytes: int


def measured_shares(
    raw: Path, slices: Sequence[SliceTiles], parameters: Parameters
) -> Shares | None:
    """Compress a few tiles, spread over the acquisition, the way stores are compressed.

    Parameters
    ----------
    raw : Path
        Raw folder, or a tile table in it.
    slices : sequence of SliceTiles
        Of the acquisition.
    parameters : Parameters
        Settings of the run.

    Returns
    -------
    Shares or None
        None where none of them can be read; the stages say why.
    """
    source = at_address(raw)
    root = source.parent if source.is_file() else source
    name = parameters.setting("create_mosaic_grid", "compressor")
    places = [(one, tile) for one in slices if not one.failure for tile in one.used.values()]
    chosen = np.unique(np.linspace(0, len(places) - 1, 2 * _TILES_READ + 1)[1::2].round())
    found = []
    for one, tile in (places[int(n)] for n in chosen if places):
        values = np.empty(one.tile_shape, np.float32)
        try:
            with tile_here(root, tile) as here:
                read_tile(here, one, tile, values)
        except (MosaicflowError, OSError):
            continue
        small = resample_tile(values, working_shape(one, parameters))
        forms = (values, small, *_corrected(small))
        found.append([compressed_bytes(part, name) / part.nbytes for part in forms])
    if not found:
        return None
    return Shares(*map(float, np.mean(found, axis=0)))


def _corrected(tile_zyx: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Make of a tile what correcting it makes, as far as compression can tell."""
    # A fall of brightness by a tenth across the tile: how large it is decides nothing, only that
    # no two columns keep one factor.
    field = np.linspace(1.05, 0.95, tile_zyx.shape[2], dtype=np.float32)
    lit = tile_zyx / field
    low, high = np.percentile(lit, [0.5, 99.5])
    spread = np.where(tile_zyx != 0, (lit - low) / max(float(high - low), 1e-12), 0)
    return lit, spread.astype(np.float32)


def predict_space(
    slices: Sequence[SliceTiles], parameters: Parameters, shares: Shares
) -> list[Space]:
    """Count what each stage that writes stores leaves on the disk, every channel included.

    Parameters
    ----------
    slices : sequence of SliceTiles
        Of the acquisition; those that give nothing take nothing.
    parameters : Parameters
        Settings of the run.
    shares : Shares
        How well its images compress.

    Returns
    -------
    list of Space
        In the order of the stages. A curved field, where one is found, adds grids as large as
        those of `fix_illumination`.
    """
    whole = [one for one in slices if not one.failure]
    voxels: dict[str, float] = {}
    sizes = [slice_size(one, parameters) for one in whole]
    for one in sizes:
        for stage, count in _of_slice(one, parameters):
            voxels[stage] = voxels.get(stage, 0.0) + count * one.n_channels
    if whole:
        volume = volume_size(whole, sizes, parameters)
        finest = volume.planes * volume.canvas_px * max(one.n_channels for one in sizes)
        voxels["stack"] = finest * volume.levels
    return [
        Space(stage, round(VOXEL_BYTES * count * getattr(shares, _SHARE_OF.get(stage, "lit"))))
        for stage, count in voxels.items()
    ]


def space_lines(spaces: Sequence[Space]) -> list[str]:
    """Say what the stages take, and all together.

    Parameters
    ----------
    spaces : sequence of Space
        As `predict_space` gives them.
    """
    lines = [f"  {one.stage:<27} {decimal(one.n_bytes):>10}" for one in spaces]
    whole = decimal(sum(one.n_bytes for one in spaces))
    return ["disk, by the compression of a few tiles:", *lines, f"  {'in all':<27} {whole:>10}"]


def bytes_below(root: Path) -> int:
    """Count the bytes of all files in a folder, which may not be there."""
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file())


def refuse_too_little_space(root: Path, spaces: Sequence[Space], *, there: int = 0) -> None:
    """Refuse a run whose stores cannot fit.

    Parameters
    ----------
    root : Path
        Output folder; it may not be there yet.
    spaces : sequence of Space
        What the stages take.
    there : int
        Bytes of stores that an earlier run left in it.

    Raises
    ------
    InputError
        With both numbers and what to do.
    """
    folder = next(path for path in (root.absolute(), *root.absolute().parents) if path.exists())
    needed, free = sum(one.n_bytes for one in spaces), shutil.disk_usage(folder).free
    if needed > _DOUBT * (free + there):
        raise InputError(
            f"{root}: not enough disk, {decimal(free)} are free and the run takes about "
            f"{decimal(needed)}",
            remedy="free some, choose another --output, a coarser resolution_um, or run fewer"
            " slices (debug_slices)",
        )


def _of_slice(one: SliceSize, parameters: Parameters) -> Iterator[tuple[str, float]]:
    working = one.n_tiles * math.prod(one.working)
    yield "create_mosaic_grid", one.n_tiles * math.prod(one.native)
    if float(parameters.setting("resample_mosaic_grid", "resolution_um")) > 0:
        yield "resample_mosaic_grid", working
    if parameters.engine("fix_illum_enabled"):
        yield "fix_illumination", working
    yield "stitch_3d", one.canvas_px * one.working[0]
    if parameters.engine("compensate_psf_enabled"):
        yield "correct_axial", one.canvas_px * one.working[0]
    yield "crop_interface", one.canvas_px * one.kept_planes
    yield "normalize", one.canvas_px * one.kept_planes
