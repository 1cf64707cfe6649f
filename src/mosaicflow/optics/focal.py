"""The curvature of the field as few numbers, so that two stages take off one and the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.mosaic.tile_basis import FieldBasis

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Image = NDArray[np.float32]

__all__ = ["FocalPlanes", "curvature_terms", "focal_planes"]

# The order that the curvature is measured with.
_ORDER = 2
# What is left of a plane and worth an interpolation: less moves nothing, and blurs.
_LEAST_PART = 0.02


@dataclass(frozen=True, slots=True)
class FocalPlanes:
    """Depth by which columns of a tile appear lower than at its highest place, in planes.

    Parameters
    ----------
    whole : ndarray, shape (y, x), int64
        Whole planes.
    part : ndarray, shape (y, x), float32
        The rest, from 0 to 1; all zero where it is next to nothing.
    """

    whole: NDArray[np.int64]
    part: Image

    @property
    def deepest(self) -> int:
        """Planes that straightening by whole ones costs."""
        return int(self.whole.max())

    def lifted(self, tile: Image) -> Image:
        """Lift the columns of a tile (z, y, x) by whole planes; as deep as all of them reach."""
        depth = len(tile) - self.deepest
        at = np.arange(depth)[:, None, None] + self.whole
        return np.take_along_axis(tile, at, axis=0)


def curvature_terms(curvature_um: Image) -> list[float]:
    """Say a measured curvature, shape (y, x), in its terms [um]; the tile's mean is left out."""
    n_y, n_x = curvature_um.shape
    basis = FieldBasis(_ORDER, (n_y, n_x))
    design = np.concatenate([np.ones((1, curvature_um.size)), basis.images()])
    found = np.linalg.lstsq(design.T, curvature_um.ravel().astype(np.float64), rcond=None)[0]
    return [float(value) for value in found[1:]]


def focal_planes(
    terms_um: Sequence[float], tile_yx: tuple[int, int], plane_um: float
) -> FocalPlanes:
    """Bring a curvature to the pitch of a grid.

    Parameters
    ----------
    terms_um : sequence of float
        What `curvature_terms` gave.
    tile_yx : (int, int)
        Lateral shape of the tiles.
    plane_um : float
        Distance of their planes.
    """
    images = FieldBasis(_ORDER, tile_yx).images()
    planes = (np.asarray(terms_um) @ images).reshape(tile_yx) / plane_um
    planes -= planes.min()
    whole = np.floor(planes + _LEAST_PART)
    part = np.clip(planes - whole, 0, None)
    part[part < _LEAST_PART] = 0
    return FocalPlanes(whole.astype(np.int64), np.asarray(part, np.float32))
