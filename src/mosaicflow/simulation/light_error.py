"""Errors of what a run found out about the light and the optics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mosaicflow import names
from mosaicflow.io.tables import read_csv

if TYPE_CHECKING:
    from pathlib import Path

    from mosaicflow.simulation.results import PublishedFiles

__all__ = [
    "CurvatureError",
    "DistortionError",
    "FlatFieldError",
    "curvature_error",
    "distortion_error",
    "flatfield_error",
]

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FlatFieldError:
    """Root mean square of estimated over true flat field less 1, in percent.

    Parameters
    ----------
    rms_percent : float
        Of the estimate, at middle depth; the mean over slices when each has its own.
    rms_percent_uncorrected : float
        Of no correction at all, for comparison.
    rms_percent_deepest : float or None
        Of the estimate at the deepest plane; None where the truth does not tell.
    """

    rms_percent: float
    rms_percent_uncorrected: float
    rms_percent_deepest: float | None = None


@dataclass(frozen=True, slots=True)
class DistortionError:
    """Root mean square of the vectors, in native px, after mean and linear part are taken off.

    Parameters
    ----------
    rms_px, worst_px : float
        Estimated less true distortion over the tile.
    rms_px_uncorrected : float
        The true one.
    """

    rms_px: float
    worst_px: float
    rms_px_uncorrected: float


@dataclass(frozen=True, slots=True)
class CurvatureError:
    """How much of the field's curvature is left, as root mean square over the tile.

    Parameters
    ----------
    left_percent : float
        True less applied curvature, over the true one.
    true_um : float
        Depth from the highest to the lowest place of the true one.
    """

    left_percent: float
    true_um: float


def flatfield_error(files: PublishedFiles, truth: Path) -> FlatFieldError | None:
    """Compare the flat fields of a run with the true one; None where it has none."""
    true = np.load(truth / "flatfield.npy").astype(np.float64)
    errors, deepest = [], []
    for path in _illumination(files):
        with np.load(path) as saved:
            found = np.asarray(saved["flatfield"], np.float64)
            change = np.asarray(saved["depth_change"], np.float64) if "depth_change" in saved else 0
        errors.append(_rms_percent(found, _resized(true, found.shape)))
        if (deep := _true_light(truth, "depth_change")) is not None:
            expected = true * np.exp(deep)
            deepest.append(_rms_percent(found * np.exp(change), _resized(expected, found.shape)))
    if not errors:
        return None
    return FlatFieldError(
        float(np.mean(errors)),
        _rms_percent(np.ones(true.shape), true),
        float(np.mean(deepest)) if deepest else None,
    )


def distortion_error(files: PublishedFiles, truth: Path) -> DistortionError | None:
    """Compare ``tile_distortion.csv`` with the truth; None where the run wrote none."""
    path = files.files.get(names.DISTORTION.of())
    true = _true_light(truth, "distortion_px")
    if path is None or true is None:
        return None
    found = _distortion_on(path, true.shape[1:])
    difference = np.array([_bent(part) for part in found - true])
    size = np.array([_bent(part) for part in true])
    return DistortionError(
        rms_px=float(np.sqrt((difference**2).sum(axis=0).mean())),
        worst_px=float(np.hypot(*difference).max()),
        rms_px_uncorrected=float(np.sqrt((size**2).sum(axis=0).mean())),
    )


def curvature_error(files: PublishedFiles, truth: Path) -> CurvatureError | None:
    """Compare the curvature that a run took off with the true one; None where there is none."""
    true = _true_light(truth, "sunk_um")
    paths = _illumination(files)
    if true is None or not true.any() or not paths:
        return None
    with np.load(paths[0]) as saved:
        found = np.asarray(saved["curvature_um"], np.float64) if "curvature_um" in saved else None
    applied = found is not None and any(
        name.endswith("_focal_fix.ome.zarr") for name in files.stores
    )
    size = _bent(true)
    left = size if found is None or not applied else _bent(true - _resized(found, true.shape))
    return CurvatureError(
        float(100 * np.sqrt((left**2).mean() / (size**2).mean())), float(np.ptp(true))
    )


def _illumination(files: PublishedFiles) -> list[Path]:
    return files.matching("illumination", ".npz") or files.matching("z", "_illumination.npz")


def _true_light(truth: Path, name: str) -> F64 | None:
    path = truth / "light.npz"
    if not path.is_file():  # of a simulation by an older version
        return None
    with np.load(path) as known:
        return np.asarray(known[name], np.float64)


def _distortion_on(path: Path, shape: tuple[int, ...]) -> F64:
    """Read a table on a regular grid and interpolate it at every pixel, (2, y, x)."""
    from scipy.interpolate import RegularGridInterpolator

    names = ("row_px", "col_px", "dy_px", "dx_px")
    table = np.array([[float(row[k]) for k in names] for row in read_csv(path, required=names)])
    rows, columns = np.unique(table[:, 0]), np.unique(table[:, 1])
    grid = np.zeros((len(rows), len(columns), 2))
    at = np.searchsorted(rows, table[:, 0]), np.searchsorted(columns, table[:, 1])
    grid[at] = table[:, 2:]
    spline = RegularGridInterpolator((rows, columns), grid, bounds_error=False, fill_value=None)
    places = np.moveaxis(np.indices(shape), 0, -1).astype(np.float64)
    return np.asarray(np.moveaxis(spline(places), -1, 0))


def _bent(image: F64) -> F64:
    """Take the mean and the linear part off an image (y, x)."""
    y, x = (np.linspace(-1, 1, n) for n in image.shape)
    design = np.stack([np.ones(image.size), np.repeat(y, len(x)), np.tile(x, len(y))], axis=1)
    fit = design @ np.linalg.lstsq(design, image.ravel(), rcond=None)[0]
    return np.asarray(image - fit.reshape(image.shape))


def _resized(field: F64, shape: tuple[int, ...]) -> F64:
    if field.shape == shape:
        return field
    from scipy.ndimage import zoom

    factors = [n / m for n, m in zip(shape, field.shape, strict=True)]
    return np.asarray(zoom(field, factors, order=1, grid_mode=True, mode="nearest"))


def _rms_percent(found: F64, true: F64) -> float:
    ratio = found / found.mean() / (true / true.mean())
    return float(100 * np.sqrt(np.mean((ratio - 1) ** 2)))
