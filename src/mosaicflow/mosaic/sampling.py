"""Sampling a tile once: at its place on the canvas, straightened, and with its depth made even."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    F64 = NDArray[np.float64]
    Image = NDArray[np.float32]
    Volume = NDArray[np.float32]

__all__ = ["SampledTile", "Span", "TileWarp", "sample_tile"]

# Steps of the inversion of a displacement: each is a tenth of the one before or less, as no lens
# stretches by more, and the error after four is below a thousandth of a pixel.
_INVERSION_STEPS = 4
# A column of which less than this is sampled without data counts as known.
_KNOWN = 1 - 1e-6


@dataclass(frozen=True, slots=True)
class Span:
    """One axis of the intersection of a tile with a block of the canvas.

    Parameters
    ----------
    target : slice
        Pixels of the block.
    source : slice
        Pixels of the tile, one more than the target when a fraction is needed.
    fraction : float
        How far a target pixel lies beyond its source pixel.
    """

    target: slice
    source: slice
    fraction: float

    @classmethod
    def of(cls, corner: float, length: int, part: slice) -> Span | None:
        """Intersect a tile of `length` px at `corner` with a part of the canvas."""
        first = int(np.ceil(corner - 1e-6))
        fraction = max(0.0, first - corner)
        whole = fraction < 1e-6
        count = length if whole else length - 1
        low, high = max(first, part.start), min(first + count, part.stop)
        if low >= high:
            return None
        source = slice(low - first, high - first + (0 if whole else 1))
        target = slice(low - part.start, high - part.start)
        return cls(target, source, 0.0 if whole else fraction)

    @property
    def length(self) -> int:
        """Number of target pixels."""
        return int(self.target.stop - self.target.start)

    @property
    def coordinates(self) -> F64:
        """Position of each target pixel in the tile."""
        return np.arange(self.source.start, self.source.start + self.length) + self.fraction


@dataclass(frozen=True, slots=True)
class TileWarp:
    """What all tiles need beside their place.

    Parameters
    ----------
    back : ndarray, shape (2, y, x), float32, or None
        What belongs at pixel q of the tile is seen at q + back(q); None: the tile is not bent.
    sink : ndarray, shape (y, x), float32, or None
        Planes, less than one, by which each column appears lower; None: none does.
    """

    back: Image | None = None
    sink: Image | None = None

    @classmethod
    def of(cls, shift_px: F64 | None, sink: Image | None) -> TileWarp:
        """Invert a displacement: what is seen at p belongs at p + shift_px(p), shape (2, y, x)."""
        if shift_px is None:
            return cls(None, sink)
        y, x = np.indices(shift_px.shape[1:]).astype(np.float64)
        back = -shift_px
        for _ in range(_INVERSION_STEPS):
            back = -_bilinear(shift_px, y + back[0], x + back[1])
        return cls(np.asarray(back, np.float32), sink)


@dataclass(frozen=True, slots=True)
class SampledTile:
    """A part of a tile, ready to be sampled plane by plane.

    Parameters
    ----------
    y, x : ndarray, shapes (y, 1) and (1, x), or both (y, x), float64
        Where in the tile each pixel of the block is seen.
    known : ndarray, shape (y, x), bool
        Where all that is sampled holds data.
    """

    y: F64
    x: F64
    known: NDArray[np.bool_]
    _tile: Volume
    _lateral: tuple[float, float] | _Gather
    _sink: Image | None

    def planes(self, start: int, stop: int) -> Volume:
        """Sample planes `start` to `stop`, shape (z, y, x); a new array."""
        part = self._tile[start:stop]
        if self._sink is not None:
            below = self._tile[start + 1 : stop + 1]
            if len(below) < len(part):  # nothing lies below the last plane
                below = np.concatenate([below, part[-1:]])
            part = part + self._sink * (below - part)
        if isinstance(self._lateral, tuple):
            return _moved(part, *self._lateral)
        return self._lateral.of(part)


def sample_tile(tile: Volume, spans: tuple[Span, Span], warp: TileWarp) -> SampledTile:
    """Prepare the part of a tile that lies in a block of the canvas.

    Parameters
    ----------
    tile : ndarray, shape (z, y, x), float32
        Zeros over the whole depth of a column mean no data.
    spans : (Span, Span)
        Its intersection with the block, along y and x.
    warp : TileWarp
        What all tiles need.

    Returns
    -------
    SampledTile
    """
    rows, columns = spans
    y, x = rows.coordinates[:, None], columns.coordinates[None]
    fraction = (rows.fraction, columns.fraction)
    if warp.back is None:
        cut = (rows.source, columns.source)
        part = tile[:, cut[0], cut[1]]
        known = _moved(_holds_data(part), *fraction)[0] > _KNOWN
        sink = None if warp.sink is None else warp.sink[cut]
        return SampledTile(y, x, known, part, fraction, sink)
    back = _moved(warp.back[:, rows.source, columns.source], *fraction)
    y, x = y + back[0], x + back[1]
    gather, cut = _Gather.at(y, x, (tile.shape[1], tile.shape[2]))
    part = tile[:, cut[0], cut[1]]
    known = gather.of(_holds_data(part))[0] > _KNOWN
    sink = None if warp.sink is None else warp.sink[cut]
    return SampledTile(y, x, known & gather.inside, part, gather, sink)


def _holds_data(tile: Volume) -> Image:
    """One where a column of a tile holds data, shape (1, y, x)."""
    return np.asarray(tile.any(axis=0, keepdims=True), np.float32)


@dataclass(frozen=True, slots=True)
class _Gather:
    """Bilinear sampling of images at places of their own, the same in every plane."""

    index: NDArray[np.int64]  # (y, x) of the upper left pixel, in a flat image
    row: int  # length of a row of the images
    part: tuple[Image, Image]
    inside: NDArray[np.bool_]

    @classmethod
    def at(cls, y: F64, x: F64, shape: tuple[int, int]) -> tuple[_Gather, tuple[slice, slice]]:
        """Sample at `y`, `x` of an image; also the part of it that this needs."""
        inside = (y >= 0) & (y <= shape[0] - 1) & (x >= 0) & (x <= shape[1] - 1)
        low = [
            np.clip(np.floor(at).astype(np.int64), 0, n - 2)
            for at, n in zip((y, x), shape, strict=True)
        ]
        first = [int(at.min()) for at in low]
        cut = [slice(f, int(at.max()) + 2) for f, at in zip(first, low, strict=True)]
        row = cut[1].stop - cut[1].start
        index = (low[0] - first[0]) * row + low[1] - first[1]
        part = [
            np.asarray(np.clip(at - at0, 0, 1), np.float32)
            for at, at0 in zip((y, x), low, strict=True)
        ]
        return cls(index, row, (part[0], part[1]), inside), (cut[0], cut[1])

    def of(self, images: Image) -> Image:
        """Sample images (n, y, x) of the part, shape (n, *index.shape)."""
        flat = images.reshape(len(images), -1)
        f_y, f_x = self.part

        def corner(offset: int) -> Image:
            return np.take(flat, self.index + offset, axis=1)

        top = corner(0) * (1 - f_x)
        top += corner(1) * f_x
        bottom = corner(self.row) * (1 - f_x)
        bottom += corner(self.row + 1) * f_x
        top *= 1 - f_y
        top += bottom * f_y
        return np.asarray(top, np.float32)


def _moved(planes: Volume, f_y: float, f_x: float) -> Volume:
    """Move planes by a fraction of a pixel, linearly; a new array."""
    result = planes
    if f_y:
        result = result[:, :-1] * np.float32(1 - f_y) + result[:, 1:] * np.float32(f_y)
    if f_x:
        result = result[:, :, :-1] * np.float32(1 - f_x) + result[:, :, 1:] * np.float32(f_x)
    return result.copy() if result is planes else result


def _bilinear(images: F64, y: F64, x: F64) -> F64:
    """Sample images (n, y, x) at places (y, x); beyond the border as on it."""
    from scipy.ndimage import map_coordinates

    return np.stack([map_coordinates(image, [y, x], order=1, mode="nearest") for image in images])
