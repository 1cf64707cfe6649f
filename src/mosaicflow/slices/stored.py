"""Slices as the stages across slices see them: geometry, and projections of chosen planes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import affine_transform

from mosaicflow.averages import bin_mean, whole_blocks
from mosaicflow.errors import FormatError, InputError
from mosaicflow.io.blocks import SliceBlock
from mosaicflow.io.tables import check_schema
from mosaicflow.io.zarr import LevelReader, open_level
from mosaicflow.names import parse_slice_id
from mosaicflow.slices.face import settle_face
from mosaicflow.slices.intensity import PlaneScale
from mosaicflow.slices.islands import Islands
from mosaicflow.slices.surface import Surface
from mosaicflow.threads import map_threads

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = [
    "Projection",
    "SliceStore",
    "at_pitch",
    "averaged",
    "check_near_pitch",
    "open_slice",
    "project",
]


@dataclass(frozen=True, slots=True)
class SliceStore:
    """A finished slice on disk.

    Parameters
    ----------
    slice_id : int
        Number of the slice.
    level : LevelReader
        Full resolution, (z, y, x).
    pitch_um : tuple of float
        True pitch (z, y, x).
    origin_mm : tuple of float
        (y, x) of pixel (0, 0) from the corner of the slice's mosaic, along the array axes.
    stage_sign : tuple of float
        (y, x): +1 where the array index grows with the stage coordinate.
    stage_corner_mm : tuple of float or None
        (y, x) of the mosaic's corner in stage coordinates; None when the stage is unknown.
    face : Surface or None
        Block face that the columns were moved to by whole planes; None when they were not moved.
    scale : PlaneScale or None
        What `normalize` did to each plane; None when the values are as recorded.
    block : SliceBlock
        The ``mosaicflow`` block of the store.
    islands : Islands or None
        Tiles that no overlap joins; None where overlaps join all.
    """

    slice_id: int
    level: LevelReader
    pitch_um: tuple[float, float, float]
    origin_mm: tuple[float, float]
    stage_sign: tuple[float, float]
    stage_corner_mm: tuple[float, float] | None
    face: Surface | None = None
    scale: PlaneScale | None = None
    block: SliceBlock = field(default_factory=SliceBlock)
    islands: Islands | None = None

    @property
    def usable_planes(self) -> int:
        """Planes from the face down that hold tissue in every column."""
        return self.shape[0] if self.block.usable_planes is None else self.block.usable_planes

    def settled(
        self,
        rows: slice,
        columns: slice,
        *,
        recorded: bool = False,
        sunk_planes: float = 0.0,
    ) -> NDArray[np.float32]:
        """Read a part over the whole depth, with the block face exactly in plane 0.

        With `recorded` the values are those from before `normalize`; with `sunk_planes` (-0.5 to
        0.5) the face lies that much below plane 0.
        """
        data = np.require(self.level[:, rows, columns], np.float32, ["W", "O"])
        if recorded and self.scale is not None:
            data = self.scale.undo(data)
        if len(data) == 1 or (self.face is None and not sunk_planes):
            return data
        depth = np.zeros(data.shape[1:]) if self.face is None else self.face.depth(rows, columns)
        return settle_face(data, (depth - np.rint(depth) - sunk_planes).astype(np.float32))

    def filled_planes(self) -> NDArray[np.int64]:
        """Count the planes that columns spread over the slice fill, from the face down."""
        n_z, n_y, n_x = self.shape
        usable = min(self.usable_planes, n_z)
        if self.face is None or usable == n_z:
            return np.full(1, usable)
        rows = range(0, n_y, max(1, n_y // _FACE_ROWS))
        depth = np.concatenate(
            [self.face.depth(slice(y, y + 1), slice(0, n_x)).ravel() for y in rows]
        )
        sunk = np.rint(depth).astype(np.int64)
        return np.asarray(np.minimum(usable + sunk.max() - sunk, n_z), np.int64)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (z, y, x)."""
        n_z, n_y, n_x = self.level.shape
        return n_z, n_y, n_x


def open_slice(path: Path) -> SliceStore:
    """Open a slice and read its place from the ``mosaicflow`` block.

    Raises
    ------
    FormatError
        When it is no volume.
    """
    level = open_level(path, checked=True)
    if level.ndim != 3:
        raise FormatError(f"{path}: found {level.ndim} axes, expected a slice with axes z, y, x")
    z_um, y_um, x_um = (1000 * value for value in level.resolution_mm)
    check_schema(level.attrs, str(path))
    block = SliceBlock.from_attrs(level.attrs, str(path))
    row, column = block.canvas_origin_px
    return SliceStore(
        slice_id=parse_slice_id(path) if block.slice_id is None else block.slice_id,
        level=level,
        pitch_um=(z_um, y_um, x_um),
        origin_mm=(row * y_um / 1000, column * x_um / 1000),
        stage_sign=block.stage.known_sign_yx,
        stage_corner_mm=block.stage.origin_mm,
        face=Surface.from_record(block.surface, level.shape[1:]),
        scale=PlaneScale.from_json(block.intensity, level.shape[0], path.name),
        block=block,
        islands=_islands(block, path.name),
    )


def _islands(block: SliceBlock, where: str) -> Islands | None:
    try:
        return Islands.from_json(block.islands)
    except (TypeError, ValueError, OverflowError) as error:
        raise FormatError(f"{where}: its islands cannot be read ({error})") from error


# Rows of a face that are looked at to learn its shape: it has a few waves at most.
_FACE_ROWS = 64
# Pitches that differ by a smaller share misplace nothing by a tenth of a pixel in a thousand.
_SAME = 1e-4
# Slices of nearly one pitch are compared on the pixels of the upper one; of their planes, which are
# not brought together, the deepest common one is then off by less than one plane in twenty.
_NEAR = 0.05


def check_near_pitch(fixed: SliceStore, moving: SliceStore) -> None:
    """Refuse slices whose pitch differs so much that their planes do not match."""
    pitches = zip(fixed.pitch_um, moving.pitch_um, strict=True)
    if any(abs(a / b - 1) > _NEAR for a, b in pitches):
        raise InputError(
            f"slice {moving.slice_id} has a pitch of {_pitch(moving)} um but slice "
            f"{fixed.slice_id} {_pitch(fixed)} um (z, y, x)",
            remedy="resample all grids to one pitch (resolution_um)",
        )


def _pitch(one: SliceStore) -> str:
    return " x ".join(f"{value:.6g}" for value in one.pitch_um)


@dataclass(frozen=True, slots=True)
class Projection:
    """Weighted means over the planes of a slice.

    Parameters
    ----------
    images : ndarray, shape (n, y, x), float32
        One image per row of weights, binned.
    valid : ndarray, shape (y, x), bool
        Where the column holds data down to the deepest plane that any row uses.
    planes : ndarray, shape (z, y, x), float32
        All planes, binned; empty when not asked for.
    """

    images: NDArray[np.float32]
    valid: NDArray[np.bool_]
    planes: NDArray[np.float32]


def averaged(planes: NDArray[np.float32], weights: NDArray[np.float64]) -> Projection:
    """Average planes that are in memory, (z, y, x), by rows of weights, (n, z)."""
    used = _used_planes(weights)
    table, part = weights[:, used].astype(np.float32), planes[used]
    images = (table @ part.reshape(len(part), -1)).reshape(-1, *planes.shape[1:])
    return Projection(images, _is_deep(planes, weights), planes[:0])


def _used_planes(weights: NDArray[np.float64]) -> slice:
    """Give the planes from the first to the last that any row of weights uses."""
    used = np.flatnonzero(weights.any(axis=0))
    return slice(int(used[0]), int(used[-1]) + 1) if used.size else slice(0, 1)


def _is_deep(planes: NDArray[np.float32], weights: NDArray[np.float64]) -> NDArray[np.bool_]:
    deepest = _used_planes(weights).stop - 1
    # A plane less: the last of a column may be zero for lack of light.
    deep: NDArray[np.bool_] = (planes[max(deepest, 1) - 1 : deepest + 1] != 0).any(axis=0)
    return deep


def at_pitch(found: Projection, ratio_yx: tuple[float, float]) -> Projection:
    """Draw a projection on pixels of another pitch.

    Parameters
    ----------
    found : Projection
        What was read.
    ratio_yx : tuple of float
        (y, x): its pitch over the one wanted.

    Returns
    -------
    Projection
        Pixel corners stay where they are; a pixel is valid where all it is made from is.
    """
    if max(abs(ratio - 1) for ratio in ratio_yx) < _SAME:
        return found
    valid = _drawn(found.valid.astype(np.float32), ratio_yx) > 1 - _SAME
    drawn = [_drawn(image, ratio_yx) * valid for image in found.images]
    images = np.stack(drawn) if drawn else np.zeros((0, *valid.shape), np.float32)
    planes = np.array([_drawn(plane, ratio_yx) for plane in found.planes], np.float32)
    return Projection(images, valid, planes if found.planes.size else found.planes)


def _drawn(image: NDArray[np.float32], ratio_yx: tuple[float, float]) -> NDArray[np.float32]:
    shape = [round(n * ratio) for n, ratio in zip(image.shape, ratio_yx, strict=True)]
    scale = 1 / np.array(ratio_yx)
    drawn: NDArray[np.float32] = affine_transform(
        image, scale, 0.5 * scale - 0.5, tuple(shape), order=1, mode="nearest"
    )
    return drawn


def project(
    store: SliceStore,
    weights: NDArray[np.float64],
    *,
    image_bin: int = 1,
    plane_bin: int = 0,
    threads: int = 1,
) -> Projection:
    """Average planes block by block, so that a slice of any width fits into memory.

    They are read as the volume will show them: with the block face exactly in plane 0.

    Parameters
    ----------
    store : SliceStore
        The slice.
    weights : ndarray, shape (n, z), float64
        Weight of every plane in each image.
    image_bin, plane_bin : int
        Binning of the images and of the planes kept; `plane_bin` 0 keeps none, otherwise it is a
        multiple of `image_bin`.
    threads : int
        Blocks read at the same time.

    Returns
    -------
    Projection
    """
    n_z, n_y, n_x = store.shape
    grain = max(image_bin, plane_bin)
    step = [grain * max(1, -(-chunk // grain)) for chunk in store.level.chunks[1:]]
    images = np.zeros((len(weights), n_y // image_bin, n_x // image_bin), np.float32)
    valid = np.zeros(images.shape[1:], np.bool_)
    keep = plane_bin or max(n_y, n_x) + 1
    planes = np.zeros((n_z, n_y // keep, n_x // keep), np.float32)
    table = weights.astype(np.float32)

    def reduce(corner: tuple[int, int]) -> None:
        y, x = corner
        ends = min(y + step[0], n_y), min(x + step[1], n_x)
        block = store.settled(slice(y, ends[0]), slice(x, ends[1]))
        if len(weights):
            flat = (table @ block.reshape(n_z, -1)).reshape(-1, *block.shape[1:])
            small = bin_mean(flat, image_bin)
            part = _part(corner, image_bin, small.shape)
            images[:, *part] = small
            valid[part] = whole_blocks(_is_deep(block, weights), image_bin)
        if plane_bin:
            coarse = bin_mean(block, plane_bin)
            planes[:, *_part(corner, plane_bin, coarse.shape)] = coarse

    corners = [(y, x) for y in range(0, n_y, step[0]) for x in range(0, n_x, step[1])]
    map_threads(reduce, corners, threads)
    return Projection(images, valid, planes)


def _part(corner: tuple[int, int], factor: int, shape: tuple[int, ...]) -> tuple[slice, slice]:
    y, x = corner[0] // factor, corner[1] // factor
    return slice(y, y + shape[-2]), slice(x, x + shape[-1])
