"""Small stores with known content."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from mosaicflow.io.zarr import save_omezarr

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

RESOLUTION_MM = (0.0015, 0.010, 0.010)


def noise(shape: tuple[int, ...], dtype: str = "float32", seed: int = 0) -> NDArray:
    """Values that no codec can guess, none of them zero, whole numbers for integer types."""
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind in "iu":
        return rng.integers(1, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)
    values = rng.rayleigh(1.0, shape) + 0.01
    if np.dtype(dtype).kind == "c":
        values = values + 1j * rng.rayleigh(1.0, shape)
    return values.astype(dtype)


@pytest.fixture(params=["0.4", "0.5"])
def flavour(request) -> str:
    return request.param


@pytest.fixture
def store(tmp_path: Path, flavour: str) -> Path:
    """A finished store of shape (6, 40, 50) with two levels."""
    path = tmp_path / "slice_z00.ome.zarr"
    save_omezarr(
        noise((6, 40, 50)),
        path,
        RESOLUTION_MM,
        chunks=(6, 20, 20),
        n_levels=1,
        ngff_version=flavour,
        sharding_factor=1,
    )
    return path
