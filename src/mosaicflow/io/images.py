"""An image of one slice, as stages read it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mosaicflow.errors import FormatError
from mosaicflow.io.tables import check_schema
from mosaicflow.io.zarr import LevelReader, open_level

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["StoredImage"]


@dataclass(frozen=True)
class StoredImage:
    """A finished store of three axes (z, y, x).

    Parameters
    ----------
    path : Path
        The store.
    """

    path: Path
    _level: LevelReader = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        level = open_level(self.path, checked=True)
        if level.ndim != 3:
            raise FormatError(f"{self.path}: found shape {level.shape}, expected (z, y, x)")
        check_schema(level.attrs, str(self.path))
        object.__setattr__(self, "_level", level)

    @property
    def attrs(self) -> dict[str, Any]:
        """The ``mosaicflow`` block of the store."""
        return self._level.attrs

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (z, y, x)."""
        n_z, n_y, n_x = self._level.shape
        return n_z, n_y, n_x

    @property
    def pitch_mm(self) -> tuple[float, float, float]:
        """Voxel pitch (z, y, x) in mm."""
        z, y, x = self._level.resolution_mm
        return z, y, x
