"""Light and optics that no low-order polynomial describes: rough, deep, drifting, bent.

Everything here is the same for all tiles but for depth and time; (y, x) are pixels of a tile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from mosaicflow.simulation.plan import CutSlice
    from mosaicflow.simulation.settings import SimulationSettings

__all__ = [
    "dark_field",
    "field_change",
    "flat_field",
    "slice_time",
    "sunk_um",
    "tile_brightness",
    "tile_distortion",
]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

_ROUGH, _DUST, _CHANGE, _LAMP = 31, 32, 33, 34  # streams of random numbers
_DUST_PX = 0.02  # radius of a speck as a part of the tile's side: 2-4 px
_DUST_SHADE = 0.25  # light that a speck takes away in its middle


def flat_field(settings: SimulationSettings) -> F32:
    """Return the shading of the scan lens, at middle depth and in the middle of the acquisition.

    Returns
    -------
    ndarray, shape (tile y, tile x), float32
        Mean 1; the same for all tiles.
    """
    y, x = _axes(settings)
    # A vignette off the axis and a gain that runs along the scan: no symmetry helps the fit.
    field = -0.5 * ((y - 0.15) ** 2 + (x + 0.2) ** 2) + 0.12 * x + 0.06 * np.cos(2.2 * y + x)
    field = 1 + settings.optics.shading * field
    if settings.light.rough:
        field = field * np.exp(settings.light.rough * _texture(settings, _ROUGH))
    for row, column in _specks(settings):
        distance2 = (y - row) ** 2 + (x - column) ** 2
        field = field * (1 - _DUST_SHADE * np.exp(-distance2 / (2 * (2 * _DUST_PX) ** 2)))
    return np.asarray(field / field.mean(), np.float32)


def field_change(settings: SimulationSettings) -> F32:
    """Return the pattern, shape (tile y, tile x), mean 0 and deviation 1, of all changes."""
    y, x = _axes(settings)
    angle = np.random.default_rng([settings.seed, _CHANGE]).uniform(0, 2 * np.pi)
    # Another focus widens or narrows the vignette, another alignment tilts it.
    pattern = 0.7 * (y**2 + x**2) + np.cos(angle) * y + np.sin(angle) * x
    return np.asarray((pattern - pattern.mean()) / pattern.std(), np.float32)


def dark_field(settings: SimulationSettings) -> F32:
    """Return the signal without light, shape (tile y, tile x), as a reflectivity."""
    y, x = _axes(settings)
    return np.asarray(settings.light.dark_offset * (1 + 0.25 * y + 0 * x), np.float32)


def slice_time(settings: SimulationSettings, piece: CutSlice) -> float:
    """When a slice was imaged: -1 for the first, 1 for the last, 0 for a single one."""
    last = settings.lattice.n_slices - 1
    return 2 * (piece.slice_id - settings.lattice.first_slice) / last - 1 if last else 0.0


def tile_brightness(settings: SimulationSettings, piece: CutSlice, iy: int, ix: int) -> float:
    """Brightness of a tile by bleaching and by the lamp; `iy`, `ix` as written in its name."""
    light, lattice = settings.light, settings.lattice
    if not (light.bleaching or light.lamp_drift):
        return 1.0
    number = (iy - lattice.first_index[0]) * lattice.grid[1] + ix - lattice.first_index[1]
    bleached = (1 - light.bleaching) ** (number / max(1, lattice.grid[0] * lattice.grid[1] - 1))
    draw = np.random.default_rng([settings.seed, _LAMP, piece.slice_id, iy, ix]).standard_normal()
    return float(bleached * np.exp(light.lamp_drift * np.clip(draw, -2, 2)))


def tile_distortion(settings: SimulationSettings) -> F64:
    """Return the common distortion of all tiles: what is seen at pixel p belongs at p + d.

    Returns
    -------
    ndarray, shape (2, tile y, tile x), float64
        d along y and x in native px, with mean 0 and no linear part.
    """
    light = settings.light
    y, x = np.broadcast_arrays(*_axes(settings))
    scan = x**2 + 0.5 * x**3
    radius2 = (y - 0.1) ** 2 + (x + 0.05) ** 2
    scan_part = np.stack([0 * x, scan])
    lens_part = np.stack([(y - 0.1) * radius2, (x + 0.05) * radius2])
    parts = [
        size * found / np.hypot(*found).max()
        for size, found in (
            (light.scan_distortion_px, _without_linear(scan_part)),
            (light.lens_distortion_px, _without_linear(lens_part)),
        )
    ]
    return np.asarray(parts[0] + parts[1], np.float64)


def sunk_um(settings: SimulationSettings) -> F64:
    """Depth by which a flat face appears lower than in the tile's middle, shape (y, x), um."""
    y, x = _axes(settings)
    return np.asarray((y**2 + x**2) / 2 * settings.optics.field_curvature_um, np.float64)


def _axes(settings: SimulationSettings) -> tuple[F64, F64]:
    _, n_y, n_x = settings.lattice.tile_shape
    return np.linspace(-1, 1, n_y)[:, None], np.linspace(-1, 1, n_x)[None, :]


def _texture(settings: SimulationSettings, stream: int) -> F64:
    """Smoothed noise, mean 0 and deviation 1."""
    from scipy.ndimage import gaussian_filter

    shape = settings.lattice.tile_shape[1:]
    noise = np.random.default_rng([settings.seed, stream]).standard_normal(shape)
    grain = [settings.light.rough_scale * length for length in shape]
    smooth = gaussian_filter(noise, grain, mode="reflect")
    return np.asarray((smooth - smooth.mean()) / smooth.std())


def _specks(settings: SimulationSettings) -> list[list[float]]:
    rng = np.random.default_rng([settings.seed, _DUST])
    places: list[list[float]] = rng.uniform(-0.9, 0.9, (settings.light.dust, 2)).tolist()
    return places


def _without_linear(field: F64) -> F64:
    """Take the mean and the linear part off each component: they are position, turn and scale."""
    n_y, n_x = field.shape[1:]
    y, x = np.linspace(-1, 1, n_y)[:, None], np.linspace(-1, 1, n_x)[None, :]
    design = np.stack([np.ones((n_y, n_x)), y + 0 * x, x + 0 * y]).reshape(3, -1)
    flat = field.reshape(2, -1)
    fit = np.linalg.lstsq(design.T, flat.T, rcond=None)[0].T @ design
    return np.asarray((flat - fit).reshape(field.shape))
