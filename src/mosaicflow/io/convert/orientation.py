"""Where the voxels of a NIfTI file lie in the world.

OME-Zarr 0.4 and 0.5 give a pitch and a translation per axis: no mirrored axis, no rotation. Voxels
are therefore never reordered; the affine is recorded in the attributes and written back.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.errors import FormatError
from mosaicflow.io.zarr.errors import OmeZarrWarning

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["ATTRIBUTE", "SpaceAffine"]

# Key in the `mosaicflow` attribute block.
ATTRIBUTE = "nifti"
# Of direction cosines: a float32 affine rounds to 1e-7, and 1e-4 is 0.006 degrees, below a voxel in
# 10,000. Doubled, nothing real changes.
_AXIS_TOLERANCE = 1e-4


@dataclass(frozen=True)
class SpaceAffine:
    """An affine and the space it leads to.

    Parameters
    ----------
    affine_mm : ndarray, shape (4, 4)
        From voxel indices (x, y, z, 1) to millimetres along right, anterior, superior.
    code : int
        NIfTI's number for the space: 1 scanner, 2 aligned, 3 Talairach, 4 MNI, 5 template.
    shape : tuple of int
        Extent (z, y, x) of the array whose indices these are.
    """

    affine_mm: NDArray[np.float64]
    code: int
    shape: tuple[int, ...]

    @property
    def pitch_mm(self) -> NDArray[np.float64]:
        """Distance of neighbouring voxels along (z, y, x)."""
        lengths: NDArray[np.float64] = np.linalg.norm(self.affine_mm[:3, :3], axis=0)[::-1]
        return lengths

    @property
    def is_plain(self) -> bool:
        """Whether x runs to the right, y to anterior and z to superior."""
        return bool(np.allclose(self._directions, np.eye(3), atol=_AXIS_TOLERANCE))

    @property
    def is_oblique(self) -> bool:
        """Whether some axis is not parallel to one of the world's."""
        largest = np.abs(self._directions).max(axis=0)
        return bool((largest < 1 - _AXIS_TOLERANCE).any())

    @property
    def is_sheared(self) -> bool:
        """Whether the axes are not perpendicular to each other."""
        products = self._directions.T @ self._directions
        return not np.allclose(products, np.eye(3), atol=_AXIS_TOLERANCE)

    @property
    def _directions(self) -> NDArray[np.float64]:
        columns: NDArray[np.float64] = self.affine_mm[:3, :3] / self.pitch_mm[::-1]
        return columns

    def stretched(self, pitch_mm: Sequence[float] | NDArray[np.float64]) -> SpaceAffine:
        """Return the same place and directions with another pitch, (z, y, x)."""
        affine = self.affine_mm.copy()
        affine[:3, :3] = self._directions * np.asarray(pitch_mm)[::-1]
        return SpaceAffine(affine, self.code, self.shape)

    def of_level(self, shape: Sequence[int], pitch_mm: Sequence[float]) -> SpaceAffine | None:
        """Return the orientation of a coarser level, or None if it cannot be a level of this.

        The outer corners of the first voxels coincide, so their centres are half the difference
        of the pitches apart.
        """
        pitch = np.asarray(pitch_mm)
        lost = np.asarray(self.shape) * self.pitch_mm - np.asarray(shape) * pitch
        if np.any(np.abs(lost) > pitch * (1 + _AXIS_TOLERANCE)):
            return None
        shift = (pitch / self.pitch_mm - 1)[::-1] / 2
        affine = self.stretched(pitch_mm).affine_mm
        affine[:3, 3] = self.affine_mm[:3, 3] + self.affine_mm[:3, :3] @ shift
        return SpaceAffine(affine, self.code, tuple(shape))

    def announce(self, where: str) -> None:
        """Warn where a viewer of the store will show something else than one of the file."""
        if self.is_plain:
            return
        import nibabel

        codes = nibabel.aff2axcodes(self.affine_mm)  # type: ignore[no-untyped-call]
        skew = ", with shear" if self.is_sheared else ""
        found = f"rotated{skew}; nearest to" if self.is_oblique else "along"
        warnings.warn(
            f"{where}: its x, y, z axes run {found} {', '.join(map(str, codes))} (R, A, S is"
            " plain), which OME-Zarr cannot say: the voxels keep their order, and the affine is"
            " kept in the attributes and written back to NIfTI",
            OmeZarrWarning,
            stacklevel=3,
        )

    def as_attribute(self) -> dict[str, Any]:
        """Return what is kept in the attributes of a store."""
        return {
            "affine_mm": self.affine_mm[:3].tolist(),
            "code": self.code,
            "shape": list(self.shape),
        }

    @classmethod
    def from_attributes(cls, block: Mapping[str, Any], where: str) -> SpaceAffine | None:
        """Return what the `mosaicflow` block of a store holds, or None."""
        found = block.get(ATTRIBUTE)
        if found is None:
            return None
        try:
            rows = np.asarray(found["affine_mm"], dtype=np.float64).reshape(3, 4)
            shape = tuple(int(n) for n in found["shape"])
            return cls(np.vstack([rows, [0, 0, 0, 1]]), int(found["code"]), shape)
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(
                f"{where}: the attribute {ATTRIBUTE!r} is malformed ({error!r})",
                remedy="remove it from the metadata to go without an orientation",
            ) from error
