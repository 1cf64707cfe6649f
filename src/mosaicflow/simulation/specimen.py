"""The specimens: functions of physical position, given on a voxel lattice of their own.

A specimen *is* the trilinear interpolation between its voxels, so two tiles that show the same
tissue agree exactly, and the truth volume is the specimen itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from mosaicflow.simulation.settings import Specimen

__all__ = ["Box", "ProceduralSpecimen", "Tissue", "VolumeSpecimen"]

F32 = NDArray[np.float32]

_PERIOD = (192, 208, 64)  # voxels (y, x, z) after which the textures of a large specimen repeat


@dataclass(frozen=True, slots=True)
class Box:
    """A block of voxels: first index and shape, both (z, y, x)."""

    start: tuple[int, int, int]
    shape: tuple[int, int, int]

    def index(self, axis: int) -> NDArray[np.int64]:
        """Return the voxel indices along one axis."""
        return np.arange(self.start[axis], self.start[axis] + self.shape[axis])


class Sliceable(Protocol):
    """A volume (z, y, x) read piece by piece."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along z, y and x."""
        ...

    def __getitem__(self, key: tuple[slice, ...]) -> NDArray[Any]:
        """Return a block."""
        ...


class Tissue(Protocol):
    """Reflectivity on a voxel lattice whose voxel (0, 0, 0) sits at `origin_um`."""

    @property
    def spacing_um(self) -> tuple[float, float, float]:
        """Voxel spacing (z, y, x)."""
        ...

    @property
    def origin_um(self) -> tuple[float, float, float]:
        """Position (z, y, x) of voxel (0, 0, 0)."""
        ...

    def block(self, box: Box) -> F32:
        """Return reflectivity, shape (y, x, z) of the box, float32, depth varying fastest."""
        ...


@dataclass(frozen=True, slots=True)
class ProceduralSpecimen:
    """Layered tissue with cells and vessels in gel: a rounded piece, or many small ones.

    Parameters
    ----------
    spacing_um : tuple of float
        Voxel spacing (z, y, x).
    half_size_um : tuple of float
        Half the extent (y, x) of the mosaic around position (0, 0).
    options : Specimen
        Contrasts and the gel's reflectivity.
    seed : int
        Which specimen.
    """

    spacing_um: tuple[float, float, float]
    half_size_um: tuple[float, float]
    options: Specimen
    seed: int
    origin_um: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def block(self, box: Box) -> F32:
        """Return reflectivity, shape (y, x, z) of the box, float32, depth varying fastest."""
        radius = self._radius(box)
        # The edge is two voxels wide, so that interpolation finds nothing to ring on.
        voxels = float(np.float32(min(self.half_size_um) / self.spacing_um[1]))
        inside = np.clip((np.float32(1) - radius) * np.float32(voxels / 2), 0, 1)
        if self.options.tissue == "cores":
            inside = inside * _cores(box)
        tissue: F32 = np.interp(radius, *_LAYERS).astype(np.float32)
        for texture in _textures(self.seed, self.options, self._period()):
            tissue *= _wrapped(texture, box)
        if self.options.depth_contrast:
            tissue *= self._fading(radius, box)
        gel = np.float32(self.options.agarose)
        tissue -= gel
        tissue *= inside
        tissue += gel
        return tissue

    def _period(self) -> tuple[int, int, int]:
        """Take smaller textures for a small specimen, which then need not repeat at all."""
        voxels = [
            2 * math.ceil(half / um) + 24
            for half, um in zip(self.half_size_um, self.spacing_um[1:], strict=True)
        ]
        y, x = (min(n, limit) for n, limit in zip(voxels, _PERIOD[:2], strict=True))
        return y, x, _PERIOD[2]

    def _fading(self, radius: F32, box: Box) -> F32:
        """Brightness of core and rim along depth, each with a rhythm of its own."""
        z = box.index(0) * self.spacing_um[0]
        phase = np.random.default_rng([self.seed, 102]).uniform(0, 2 * np.pi, len(_FADING_UM))
        core, rim = (
            np.cos(2 * np.pi * z / period + p) for period, p in zip(_FADING_UM, phase, strict=True)
        )
        share = np.clip((radius - np.float32(0.4)) * np.float32(5), 0, 1)
        swing = core.astype(np.float32) * (1 - share) + rim.astype(np.float32) * share
        return np.asarray(np.exp(np.float32(self.options.depth_contrast) * swing), np.float32)

    def _radius(self, box: Box) -> F32:
        """Distance from the middle relative to the outline, which varies slowly with depth."""
        z = (box.index(0) * self.spacing_um[0]).astype(np.float32)
        half = np.asarray(self.half_size_um) * self.options.tissue_fill
        y = (box.index(1) * self.spacing_um[1] / half[0])[:, None]
        x = (box.index(2) * self.spacing_um[2] / half[1])[None, :]
        radius = ((y**4 + x**4) ** 0.25).astype(np.float32)[..., None]
        angle = np.arctan2(y, x)
        wave = np.ones((), np.float32)
        for order, amplitude, period_um in _OUTLINE:
            turn = (z * np.float32(2 * np.pi / period_um)).astype(np.float32)
            even = (amplitude * np.cos(order * angle)).astype(np.float32)[..., None]
            odd = (amplitude * np.sin(order * angle)).astype(np.float32)[..., None]
            wave = wave + even * np.cos(turn) + odd * np.sin(turn)
        return np.asarray(radius * wave, np.float32)


# Distance of the middles of cores, and their radius [voxels].
_CORE_STEP, _CORE_RADIUS = 90, 34
# Voxels (y, x) after which a periodic grain repeats itself.
_GRAIN_PERIOD = 14
# Size (voxels, Gaussian sigma) and contrast of the tissue's grain: cells, clusters, nuclei.
_GRAINS = ((1.4, 0.32), (2.5, 0.30), (5.0, 0.22))
# Order, amplitude and period along depth (um) of the outline's waves.
_OUTLINE = ((3, 0.04, 2600.0), (5, 0.03, -1900.0), (8, 0.02, 1100.0))
# Period (um) of the brightness of core and rim along depth.
_FADING_UM = (1500.0, 900.0)
# Relative distance from the middle -> reflectivity: a pale core, a bright tract, banded cortex.
_LAYERS = (
    np.array([0.0, 0.2, 0.26, 0.38, 0.44, 0.6, 0.64, 0.74, 0.78, 0.9, 0.93, 1.0]),
    np.array([0.75, 0.8, 1.3, 1.35, 0.85, 0.9, 1.15, 1.1, 0.8, 0.85, 1.2, 1.1]),
)


@lru_cache(maxsize=4)
def _textures(seed: int, options: Specimen, period: tuple[int, int, int]) -> tuple[F32, ...]:
    """Make the periodic factors of the tissue, each with mean 1, axes (y, x, z).

    Their periods differ and share no factor beyond a few voxels, so their product does not
    repeat within any specimen, and no wrong shift matches on all of them.
    """
    from scipy.ndimage import gaussian_filter

    def noise(stream: int, size: int, sigma: float) -> F32:
        rng = np.random.default_rng([seed, 101, stream])
        shape = tuple(n - 6 * size - size % 2 for n in period)
        if options.tissue == "periodic" and stream < len(_GRAINS):
            shape = (_GRAIN_PERIOD, _GRAIN_PERIOD, shape[2])
        field = gaussian_filter(
            rng.standard_normal(shape, dtype=np.float32), sigma, mode="wrap", truncate=3
        )
        return np.asarray(field / field.std(), np.float32)

    strength = options.texture_contrast
    factors = [
        np.exp(np.float32(2 * contrast * strength) * np.tanh(noise(size, size, sigma) / 2))
        for size, (sigma, contrast) in enumerate(_GRAINS)
    ]
    # Where two smooth fields are both near zero is a set of curves in space: the vessels.
    distance_2 = noise(10, 3, 9.0) ** 2 + noise(11, 3, 9.0) ** 2
    factors.append(
        1 - np.float32(options.vessel_contrast) * np.exp(distance_2 * np.float32(-1 / 0.3**2))
    )
    # Rounded so that the last bits of exp() on another processor do not show in the data.
    return tuple(
        (np.round(factor / factor.mean() * 4096) / 4096).astype(np.float32) for factor in factors
    )


def _cores(box: Box) -> F32:
    """Share of each voxel (y, x, 1) that lies in a round core."""
    y, x = ((box.index(axis) + _CORE_STEP // 2) % _CORE_STEP - _CORE_STEP // 2 for axis in (1, 2))
    distance = np.hypot(y[:, None], x[None, :])[..., None]
    return np.asarray(np.clip((_CORE_RADIUS - distance) / 2 + 0.5, 0, 1), np.float32)


def _wrapped(texture: F32, box: Box) -> F32:
    index = [box.index(axis) % n for axis, n in zip((1, 2, 0), texture.shape, strict=True)]
    block: F32 = texture.take(index[0], 0).take(index[1], 1).take(index[2], 2)
    return block


@dataclass(frozen=True, slots=True)
class VolumeSpecimen:
    """A measured volume in gel, centred on position (0, 0), its first plane at depth 0.

    Parameters
    ----------
    volume : array, shape (z, y, x)
        Anything that returns a numpy array when it is sliced.
    spacing_um : tuple of float
        Voxel spacing (z, y, x).
    white : float
        The value that counts as reflectivity 1.
    agarose : float
        Reflectivity of the gel; tissue adds to it. Outside the volume there is only gel.
    """

    volume: Sliceable
    spacing_um: tuple[float, float, float]
    white: float
    agarose: float

    @property
    def origin_um(self) -> tuple[float, float, float]:
        """Position (z, y, x) of the first voxel."""
        _, n_y, n_x = self.volume.shape
        return (
            0.0,
            -(n_y - 1) / 2 * self.spacing_um[1],
            -(n_x - 1) / 2 * self.spacing_um[2],
        )

    def block(self, box: Box) -> F32:
        """Return reflectivity, shape (y, x, z) of the box, float32, depth varying fastest."""
        low = [max(start, 0) for start in box.start]
        stop = zip(box.start, box.shape, self.volume.shape, strict=True)
        high = [min(start + length, n) for start, length, n in stop]
        out = np.zeros(box.shape, np.float32)
        if all(a < b for a, b in zip(low, high, strict=True)):
            source = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
            target = tuple(
                slice(a - start, b - start)
                for a, b, start in zip(low, high, box.start, strict=True)
            )
            out[target] = self.volume[source]
        out *= np.float32((1 - self.agarose) / self.white)
        out += np.float32(self.agarose)
        return np.ascontiguousarray(out.transpose(1, 2, 0))
