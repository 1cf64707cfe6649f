"""The one picture of a volume: three orthogonal planes on one page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.io.previews import save_picture
from mosaicflow.io.zarr.errors import ArgumentError
from mosaicflow.io.zarr.info import read_omezarr_info
from mosaicflow.io.zarr.reader import LevelReader, StoreChoice

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from mosaicflow.io.zarr.location import StorePath

__all__ = ["contrast_of", "pick_level", "render_planes", "three_planes", "write_screenshot"]

# Longest side of a plane, in pixels of the picture.
_PLANE_PX = 1000
_GAP_PX = 8  # between two panels, by eye
# Voxels that the contrast is taken from, 16 MB of float32. Doubled, twice as much is read.
_MAX_SAMPLES = 4_000_000


def write_screenshot(
    path: StorePath,
    output: Path,
    *,
    level: int | None = None,
    percentiles: tuple[float, float] = (0.5, 99.5),
    choice: StoreChoice | None = None,
) -> None:
    """Write the three central planes of a store as a PNG.

    Parameters
    ----------
    path : path or URL
        Store.
    output : Path
        Picture to write: the lateral plane, below it the plane (z, x), right of it (y, z); all
        with the same scale, which the file says (text ``um_per_px``).
    level : int, optional
        Pyramid level; default is the finest that need not be shrunk much.
    percentiles : (float, float), optional
        Shown as black and white.
    choice : StoreChoice, optional
        What to show where the store has several channels or time points.
    """
    from PIL import Image

    if output.suffix.lower() != ".png":
        raise ArgumentError(f"{output}: the picture is a PNG; give it a name that ends in .png")
    chosen = pick_level(path) if level is None else level
    reader = (choice or StoreChoice()).open(path, chosen)
    page, um_per_px = render_planes(reader, percentiles)
    output.parent.mkdir(parents=True, exist_ok=True)
    save_picture(output, Image.fromarray(page), um_per_px)


def pick_level(path: StorePath) -> int:
    """Return the coarsest level that still fills a plane of the picture."""
    levels = read_omezarr_info(path).levels
    large = [n for n, level in enumerate(levels) if max(level.shape[-2:]) >= _PLANE_PX]
    return large[-1] if large else 0


def render_planes(
    reader: LevelReader, percentiles: tuple[float, float]
) -> tuple[NDArray[np.uint8], float]:
    """Return the three central planes as one grey picture, and what a pixel of it shows [um]."""
    pitch_um = [1000 * pitch for pitch in reader.resolution_mm]
    if reader.ndim == 2:
        plane = reader[...]
        planes, pitch_um = (plane, plane[:1], plane[:, :1]), [pitch_um[0], *pitch_um]
    else:
        _, y, x = (n // 2 for n in reader.shape)
        planes = (_middle_plane(reader), reader[:, y], reader[:, :, x].T)
    return three_planes(planes, pitch_um, percentiles)


def _middle_plane(reader: LevelReader) -> NDArray[np.generic]:
    """Read the plane nearest to the middle that is not in a gap."""
    n_z = reader.shape[0]
    for z in sorted(range(n_z), key=lambda z: abs(z - n_z // 2)):
        plane = reader[z]
        if plane.any():
            break
    return plane


def three_planes(
    planes: tuple[NDArray[np.generic], NDArray[np.generic], NDArray[np.generic]],
    pitch_um: Sequence[float],
    percentiles: tuple[float, float] = (0.5, 99.5),
) -> tuple[NDArray[np.uint8], float]:
    """Lay the central planes of a volume on one page, all with the same scale.

    Parameters
    ----------
    planes : (ndarray, ndarray, ndarray)
        Axes (y, x), (z, x) and (y, z); 0 is no data.
    pitch_um : sequence of float
        Pitch (z, y, x).
    percentiles : (float, float)
        Of what is not 0, shown as black and white.

    Returns
    -------
    page : ndarray, shape (rows, columns), uint8
        The first; below it the second, right of it the third. A volume of one plane has no sides.
    um_per_px : float
        Length that a pixel shows.
    """
    (n_y, n_x), n_z = planes[0].shape, planes[1].shape[0]
    extents = [n * pitch for n, pitch in zip((n_z, n_y, n_x), pitch_um, strict=True)]
    seen = slice(n_z == 1, None)  # of one plane the depth is not seen
    um_per_px = max(extents[seen]) / min(_PLANE_PX, max((n_z, n_y, n_x)[seen]))
    deep, high, wide = (max(1, round(extent / um_per_px)) for extent in extents)
    if n_z == 1:
        return _stretched([_resized(planes[0], (high, wide))], percentiles)[0], um_per_px
    sizes = ((high, wide), (deep, wide), (high, deep))
    drawn = [_resized(plane, size) for plane, size in zip(planes, sizes, strict=True)]
    lateral, front, side = _stretched(drawn, percentiles)
    page = np.full((high + _GAP_PX + deep, wide + _GAP_PX + deep), 64, np.uint8)
    page[:high, :wide] = lateral
    page[high + _GAP_PX :, :wide] = front
    page[:high, wide + _GAP_PX :] = side
    return page, um_per_px


def contrast_of(
    path: StorePath, percentiles: tuple[float, float], choice: StoreChoice | None = None
) -> tuple[float, float]:
    """Return the values to show as black and white, from the coarsest level."""
    reader = (choice or StoreChoice()).open(path, -1)
    # A coarsest level may be the only one: take planes evenly until there are enough voxels.
    plane = max(1, int(np.prod(reader.shape[1:])))
    step = max(1, -(-reader.shape[0] * plane // _MAX_SAMPLES))
    values = np.concatenate([_real(reader[k]).ravel() for k in range(0, reader.shape[0], step)])
    return _limits(values, percentiles)


def _real(values: NDArray[np.generic]) -> NDArray[np.float32]:
    magnitude = np.abs(values) if values.dtype.kind == "c" else values
    return np.nan_to_num(magnitude.astype(np.float32), posinf=0, neginf=0)


def _resized(plane: NDArray[np.generic], size: tuple[int, int]) -> NDArray[np.float32]:
    from PIL import Image

    image = Image.fromarray(_real(plane))
    return np.asarray(image.resize((size[1], size[0]), Image.Resampling.BOX))


def _stretched(
    planes: list[NDArray[np.float32]], percentiles: tuple[float, float]
) -> list[NDArray[np.uint8]]:
    low, high = _limits(np.concatenate([plane.ravel() for plane in planes]), percentiles)
    scale = 255 / (high - low)
    return [np.clip((plane - low) * scale + 0.5, 0, 255).astype(np.uint8) for plane in planes]


def _limits(values: NDArray[np.float32], percentiles: tuple[float, float]) -> tuple[float, float]:
    if not 0 <= percentiles[0] < percentiles[1] <= 100:
        raise ArgumentError(f"percentiles {percentiles} are not two rising numbers in 0 to 100")
    filled = values[values != 0]  # missing tiles are zero
    low, high = np.percentile(filled if filled.size else values, percentiles)
    return float(low), float(high if high > low else low + 1)
