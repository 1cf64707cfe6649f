"""Pictures of a store: three orthogonal planes on one page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.io.zarr.errors import ArgumentError
from mosaicflow.io.zarr.info import read_omezarr_info
from mosaicflow.io.zarr.reader import LevelReader, StoreChoice

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from mosaicflow.io.zarr.location import StorePath

__all__ = ["contrast_of", "pick_level", "render_planes", "write_screenshot"]

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
        with the same scale.
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
    picture = Image.fromarray(render_planes(reader, percentiles))
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f".{output.name}.tmp")
    picture.save(partial, format="PNG")
    partial.replace(output)


def pick_level(path: StorePath) -> int:
    """Return the coarsest level that still fills a plane of the picture."""
    levels = read_omezarr_info(path).levels
    large = [n for n, level in enumerate(levels) if max(level.shape[-2:]) >= _PLANE_PX]
    return large[-1] if large else 0


def render_planes(reader: LevelReader, percentiles: tuple[float, float]) -> NDArray[np.uint8]:
    """Return the three central planes as one grey picture, shape (rows, columns)."""
    pitch = reader.resolution_mm
    extents = [n * p for n, p in zip(reader.shape, pitch, strict=True)]
    px_per_mm = min(_PLANE_PX, max(reader.shape)) / max(extents)
    sizes = [max(1, round(extent * px_per_mm)) for extent in extents]
    if reader.ndim == 2:
        return _stretched([_resized(reader[...], (sizes[0], sizes[1]))], percentiles)[0]
    z, y, x = (n // 2 for n in reader.shape)
    planes = [
        _resized(reader[z], (sizes[1], sizes[2])),
        _resized(reader[:, y], (sizes[0], sizes[2])),
        _resized(reader[:, :, x].T, (sizes[1], sizes[0])),
    ]
    lateral, front, side = _stretched(planes, percentiles)
    rows, columns = sizes[1] + _GAP_PX + sizes[0], sizes[2] + _GAP_PX + sizes[0]
    page = np.full((rows, columns), 64, np.uint8)
    page[: sizes[1], : sizes[2]] = lateral
    page[sizes[1] + _GAP_PX :, : sizes[2]] = front
    page[: sizes[1], sizes[2] + _GAP_PX :] = side
    return page


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
