"""One tile's image, in the order in which the instrument writes it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mosaicflow.simulation.light import (
    dark_field,
    field_change,
    flat_field,
    slice_time,
    sunk_um,
    tile_brightness,
    tile_distortion,
)
from mosaicflow.simulation.specimen import Box

if TYPE_CHECKING:
    from mosaicflow.simulation.plan import AcquisitionPlan, CutSlice, TilePlan
    from mosaicflow.simulation.settings import Lattice, SimulationSettings
    from mosaicflow.simulation.specimen import Tissue

__all__ = ["render_tile", "sample"]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

_SPECKLE = 11  # stream of random numbers
_RETURN_BRIGHTNESS = 0.5  # of the galvo's return sweep, where less light comes back
_NEARLY_NORMAL = 0.35  # speckle contrast below which a gamma variable is cheap to make
_DARKER, _NOISIER, _BLUR_PX = 10.0, 25.0, 5.0  # what is wrong with bad slices that have an image
_BLOCK_A_LINES = 4096  # rendered at a time, so that the work stays in the processor's cache


@dataclass(frozen=True, slots=True)
class _ALines:
    """Per A-line of a tile in acquisition order, each of shape (n,): where it is and how bright."""

    y_um: F64
    x_um: F64
    brightness: F32
    offset_um: F32  # depth that the optics add: the knife's plane and the field's curvature
    height_um: F32  # of the face above that
    change: F32  # of the log brightness from the middle to the deepest plane
    dark: F32  # signal that is there without light


def render_tile(plan: AcquisitionPlan, piece: CutSlice, tile: TilePlan, tissue: Tissue) -> F32:
    """Image one tile.

    Parameters
    ----------
    plan, piece, tile : AcquisitionPlan, CutSlice, TilePlan
        Which tile of which acquisition.
    tissue : Tissue
        The specimen.

    Returns
    -------
    ndarray, shape (B-scans, A-lines with the galvo's return, depth), float32
        What the instrument records, without the faults of single files.
    """
    settings, shown = plan.settings, _shown(plan, piece, tile)
    rng = _generator(settings, *(shown or (piece, tile)))
    shape = _raw_shape(settings.lattice)
    if shown is None:
        return _camera(_bad(piece.fault, settings, rng, shape), settings)
    settings = _spoilt(settings, piece.fault)
    lines = _a_lines(plan, *shown)
    out = np.empty((lines.y_um.size, shape[2]), np.float32)
    parts = [slice(i, i + _BLOCK_A_LINES) for i in range(0, len(out), _BLOCK_A_LINES)]
    for part in parts:
        out[part] = _image(settings, shown[0], lines, part, tissue)
        if piece.fault != "blurred":
            _speckle(out[part], settings.optics.speckle_contrast, rng)
    raw = out.reshape(shape)
    if piece.fault == "blurred":
        # Light out of focus makes speckle as any other does.
        _blur(raw, settings)
        _speckle(raw, settings.optics.speckle_contrast, rng)
    if settings.light.dark_offset:
        raw += lines.dark.reshape(*shape[:2], 1)
    return _camera(raw, settings)


def _shown(
    plan: AcquisitionPlan, piece: CutSlice, tile: TilePlan
) -> tuple[CutSlice, TilePlan] | None:
    """Say whose tissue a tile shows: its own, unless the slice is spoiled; None for none."""
    if piece.fault in ("noise", "blank", "saturated") or tile.fault == "empty":
        return None
    if piece.fault == "frozen":
        return piece, piece.tiles[0]
    if piece.fault == "duplicated":
        number = plan.slices.index(piece)
        above = plan.slices[max(number - 1, 0)]
        return above, above.tiles[piece.tiles.index(tile)]
    return piece, tile


def _spoilt(settings: SimulationSettings, fault: str) -> SimulationSettings:
    if fault == "dark":
        # The camera's own signal does not fade with the light.
        gain, noise = settings.specimen.gain, settings.optics.noise
        return settings.changed(gain=gain / _DARKER, noise=noise * _DARKER)
    if fault == "noisy":
        return settings.changed(noise=settings.optics.noise * _NOISIER)
    return settings


def _blur(raw: F32, settings: SimulationSettings) -> None:
    """Blur each scan laterally, in place; the galvo's return stays out of it."""
    from scipy.ndimage import gaussian_filter1d

    kept = raw[:, : _scan_shape(settings.lattice)[0]]
    for axis, sigma in ((0, _BLUR_PX * settings.lattice.n_repeat), (1, _BLUR_PX)):
        kept[:] = gaussian_filter1d(kept, sigma, axis=axis, mode="nearest")


def _raw_shape(lattice: Lattice) -> tuple[int, int, int]:
    n_fast, n_slow = _scan_shape(lattice)
    return n_slow * lattice.n_repeat, n_fast + lattice.n_extra, lattice.tile_shape[0]


def _scan_shape(lattice: Lattice) -> tuple[int, int]:
    """Kept A-lines per B-scan, and B-scans."""
    _, n_y, n_x = lattice.tile_shape
    return (n_y, n_x) if lattice.preprocess else (n_x, n_y)


def _a_lines(plan: AcquisitionPlan, piece: CutSlice, tile: TilePlan) -> _ALines:
    settings = plan.settings
    lattice = settings.lattice
    n_fast, n_slow = _scan_shape(lattice)
    fast, brightness = _fast_positions(settings, piece, n_fast)
    slow = np.repeat(np.arange(n_slow), lattice.n_repeat)
    if lattice.preprocess:  # tile[k, i, j] = raw[k, a = n - 1 - i, b = n - 1 - j]
        fast, slow = n_fast - 1 - fast, n_slow - 1 - slow
        row, column = np.broadcast_arrays(fast[None, :], slow[:, None])
    else:
        row, column = np.broadcast_arrays(slow[:, None], fast[None, :])
    half_y, half_x = (lattice.tile_shape[1] - 1) / 2, (lattice.tile_shape[2] - 1) / 2
    bent_y, bent_x = tile_distortion(settings)[:, row, column]
    q_y = tile.centre_um[0] + (row + bent_y - half_y) * lattice.pitch_um[1]
    q_x = tile.centre_um[1] + (column + bent_x - half_x) * lattice.pitch_um[2]
    y, x = piece.to_specimen(q_y, q_x)
    bowl = sunk_um(settings)[row, column]
    shading = _brightness(settings, piece, tile)[row, column] * brightness
    change = settings.light.shading_depth * field_change(settings)[row, column]
    dark = settings.specimen.gain * dark_field(settings)[row, column]
    return _ALines(
        y_um=y.ravel(),
        x_um=x.ravel(),
        brightness=shading.astype(np.float32).ravel(),
        offset_um=(plan.tilt[0] * y + plan.tilt[1] * x + bowl).astype(np.float32).ravel(),
        height_um=piece.surface.height_um(y, x).astype(np.float32).ravel(),
        change=change.astype(np.float32).ravel(),
        dark=dark.astype(np.float32).ravel(),
    )


def _brightness(settings: SimulationSettings, piece: CutSlice, tile: TilePlan) -> F32:
    """Flat field of one tile at middle depth, times the tile's own brightness."""
    field = flat_field(settings)
    if settings.light.shading_drift:
        later = settings.light.shading_drift * slice_time(settings, piece)
        field = field * np.exp(np.float32(later) * field_change(settings))
    return field * np.float32(tile_brightness(settings, piece, tile.iy, tile.ix))


def _fast_positions(
    settings: SimulationSettings, piece: CutSlice, n_fast: int
) -> tuple[NDArray[np.int64], F32]:
    """Where each recorded A-line of a B-scan looks, and how bright it is."""
    n_extra = settings.lattice.n_extra
    back = (n_fast - 1) * (1 - (np.arange(n_extra) + 0.5) / max(n_extra, 1))
    position = np.concatenate([np.arange(n_fast), np.rint(back).astype(np.int64)])
    brightness = np.ones(n_fast + n_extra, np.float32)
    brightness[n_fast:] = _RETURN_BRIGHTNESS
    if piece.slice_id in settings.optics.galvo_slices:
        band_start = galvo_band_start(settings, n_fast)
        position, brightness = (np.roll(a, band_start - n_fast) for a in (position, brightness))
    return position, brightness


def galvo_band_start(settings: SimulationSettings, n_fast: int | None = None) -> int:
    """First A-line of the return band in slices with a galvo phase error."""
    n_fast = n_fast or _scan_shape(settings.lattice)[0]
    return round(settings.optics.galvo_band_start * (n_fast + settings.lattice.n_extra))


def _image(
    settings: SimulationSettings, piece: CutSlice, lines: _ALines, part: slice, tissue: Tissue
) -> F32:
    lattice, optics = settings.lattice, settings.optics
    pitch = lattice.pitch_um[0]
    depth_um = pitch * np.arange(lattice.tile_shape[0], dtype=np.float64) - lattice.water_um
    offset, height = lines.offset_um[part], lines.height_um[part]
    value = sample(tissue, lines.y_um[part], lines.x_um[part], depth_um + piece.face_um, -offset)
    over_face = offset + height  # the face is seen this much deeper than water_um
    if optics.shadow_per_mm:
        value *= _shadows(settings, value, depth_um, over_face)
    value *= (settings.specimen.gain * _depth_profile(settings, depth_um)).astype(np.float32)
    loss = np.exp(np.float32(2e-3 * optics.attenuation_per_mm) * over_face)
    value *= (loss * lines.brightness[part])[:, None]
    if settings.light.shading_depth:
        below_middle = np.linspace(-1, 1, len(depth_um), dtype=np.float32)
        value *= np.exp(lines.change[part][:, None] * below_middle)
    # Full signal from the first sample at or below the face on, none one sample above it.
    last_water = int(np.searchsorted(depth_um, over_face.max(initial=0)))
    top = depth_um[: last_water + 1].astype(np.float32)
    value[:, : last_water + 1] *= np.clip((top - over_face[:, None]) / pitch + 1, 0, 1)
    if optics.noise:
        value += np.float32(settings.specimen.gain * optics.noise) * lines.brightness[part][:, None]
    return value


def _shadows(settings: SimulationSettings, value: F32, depth_um: F64, over_face: F32) -> F32:
    """Light that reaches each sample through the tissue between it and the face."""
    pitch = np.float32(settings.lattice.pitch_um[0])
    inside = np.clip((depth_um.astype(np.float32) - over_face[:, None]) / pitch, 0, 1)
    above = np.cumsum(value * inside, axis=1, dtype=np.float32)
    above -= value * inside
    loss = np.exp(np.float32(-2e-3 * settings.optics.shadow_per_mm) * pitch * above)
    return np.asarray(loss, np.float32)


def _depth_profile(settings: SimulationSettings, depth_um: F64) -> F64:
    optics = settings.optics
    profile = np.exp(-2e-3 * optics.attenuation_per_mm * depth_um)
    if optics.rayleigh_um:
        profile = profile / (1 + ((depth_um - optics.focus_um) / optics.rayleigh_um) ** 2)
    return np.asarray(profile)


def sample(tissue: Tissue, y_um: F64, x_um: F64, depth_um: F64, offset_um: F32) -> F32:
    """Interpolate the specimen linearly along straight A-lines.

    Parameters
    ----------
    tissue : Tissue
        The specimen.
    y_um, x_um : ndarray, shape (n,), float64
        Lateral position of each A-line.
    depth_um : ndarray, shape (k,), float64
        Depths, evenly spaced.
    offset_um : ndarray, shape (n,), float32
        Added to the depths of each A-line.

    Returns
    -------
    ndarray, shape (n, k), float32
        Reflectivity.
    """
    from scipy.sparse import csr_array

    (o_z, o_y, o_x), (d_z, d_y, d_x) = tissue.origin_um, tissue.spacing_um
    box, row, column = _lateral(((y_um - o_y) / d_y, (x_um - o_x) / d_x))
    depth = (depth_um - o_z) / d_z
    shift = np.asarray(offset_um / np.float32(d_z), np.float32)
    first = math.floor(depth[0] + float(shift.min()))
    n_z = math.floor(depth[-1] + float(shift.max())) + 2 - first
    block = tissue.block(Box((first, *box.start[1:]), (n_z, *box.shape[1:])))
    n_x = box.shape[2]
    lower_y, lower_x = row.astype(np.int64), column.astype(np.int64)
    f_y, f_x = row - lower_y, column - lower_x
    corner = lower_y * n_x + lower_x
    index = np.stack([corner, corner + 1, corner + n_x, corner + n_x + 1], axis=1)
    weight = np.stack([(1 - f_y) * (1 - f_x), (1 - f_y) * f_x, f_y * (1 - f_x), f_y * f_x], axis=1)
    gather = csr_array(
        (weight.astype(np.float32).ravel(), index.ravel(), np.arange(0, index.size + 1, 4)),
        shape=(len(row), box.shape[1] * n_x),
    )
    columns = gather @ block.reshape(-1, n_z)
    return _along_depth(columns, (depth - first).astype(np.float32), shift)


def _lateral(position: tuple[F64, F64]) -> tuple[Box, F64, F64]:
    """Box of voxels around the positions, and the positions inside it."""
    start = [math.floor(p.min()) for p in position]
    shape = [math.floor(p.max()) + 2 - s for p, s in zip(position, start, strict=True)]
    box = Box((0, start[0], start[1]), (0, shape[0], shape[1]))
    return box, position[0] - start[0], position[1] - start[1]


def _along_depth(columns: F32, depth: F32, shift: F32) -> F32:
    n_lines, n_z = columns.shape
    if not shift.any() and np.array_equal(depth, np.rint(depth)):
        return np.ascontiguousarray(columns[:, depth.astype(np.int64)])
    at = depth[None, :] + shift[:, None]
    lower = at.astype(np.int32)
    at -= lower
    lower += (np.arange(n_lines, dtype=np.int32) * n_z)[:, None]
    flat = columns.ravel()
    # take() lets other threads run, an index in brackets does not.
    value = flat.take(lower, mode="clip")
    lower += 1
    upper = flat.take(lower, mode="clip")
    upper -= value
    upper *= at
    value += upper
    return value


def _generator(
    settings: SimulationSettings, piece: CutSlice, tile: TilePlan
) -> np.random.Generator:
    # Keyed by the tile, so that no order of threads changes a byte.
    key = [settings.seed, _SPECKLE, piece.slice_id, tile.iy, tile.ix]
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence(key)))


def _speckle(value: F32, contrast: float, rng: np.random.Generator) -> None:
    if not contrast:
        return
    if contrast == 1:
        value *= rng.standard_exponential(value.shape, dtype=np.float32)
        return
    shape = 1 / contrast**2
    if contrast > _NEARLY_NORMAL:
        grain = rng.standard_gamma(shape, value.shape, dtype=np.float32)
        grain *= np.float32(1 / shape)
    else:
        # The cube of a normal variable is gamma to better than 0.1 % here, at half the time
        # (Wilson and Hilferty 1931, https://doi.org/10.1073/pnas.17.12.684).
        root = rng.standard_normal(value.shape, dtype=np.float32)
        root *= np.float32(1 / (3 * shape**0.5))
        root += np.float32(1 - 1 / (9 * shape))
        grain = root * root
        grain *= root
    value *= grain


def _bad(
    kind: str, settings: SimulationSettings, rng: np.random.Generator, shape: tuple[int, ...]
) -> F32:
    gain = np.float32(settings.specimen.gain)
    if kind == "noise":
        return gain * np.float32(0.1) * rng.standard_exponential(shape, dtype=np.float32)
    return np.full(shape, gain * (4.0 if kind == "saturated" else 0.0), np.float32)


def _camera(raw: F32, settings: SimulationSettings) -> F32:
    if settings.optics.marker:
        raw[:, 0, :] = 2 * raw.max()
    if settings.optics.camera_shift_px:
        raw = np.roll(raw, settings.optics.camera_shift_px, axis=1)
    return raw
