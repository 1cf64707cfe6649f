"""The analysis pyramid: fixed physical pitches, exact area-weighted means."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from mosaicflow.io.zarr.area import fill_area_levels
from mosaicflow.io.zarr.errors import ArgumentError, OmeZarrWarning
from mosaicflow.io.zarr.metadata import LevelScale, PyramidNotes
from mosaicflow.io.zarr.units import clean_um
from mosaicflow.io.zarr.workspace import Workspace, create_array
from mosaicflow.io.zarr.writer import DownscaleAxes, OmeZarrWriter

if TYPE_CHECKING:
    from mosaicflow.io.zarr.units import Resolution

__all__ = ["AnalysisLevel", "AnalysisOmeZarrWriter", "plan_levels"]

DEFAULT_RESOLUTIONS_UM = (10.0, 25.0, 50.0, 100.0)
# A base of 25.0000001 um still has a 25 um level.
_RELATIVE_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class AnalysisLevel:
    """One level to be computed.

    Parameters
    ----------
    pitch_um : tuple of float
        Exact pitch per axis.
    shape : tuple of int
        Number of whole voxels of that pitch that fit into the base.
    """

    pitch_um: tuple[float, ...]
    shape: tuple[int, ...]


def plan_levels(
    base_um: Sequence[float],
    shape: Sequence[int],
    resolutions_um: Sequence[float],
    *,
    make_isotropic: bool = True,
) -> tuple[AnalysisLevel, ...]:
    """Return pitch and shape of every level, finest first.

    Parameters
    ----------
    base_um : sequence of float
        Pitch of the data, (z, y, x) or (y, x), in micrometres.
    shape : sequence of int
        Shape of the data.
    resolutions_um : sequence of float
        Pitches asked for. Those finer than the coarser lateral pitch of the data are left out;
        when none is left, the data itself is the only level (with a warning).
    make_isotropic : bool, optional
        Same pitch on every axis (an axis that is coarser keeps its own, with a warning);
        otherwise one factor for all axes.
    """
    lateral = max(base_um[-2:])
    wanted = sorted(set(map(_checked, resolutions_um)))
    kept = [target for target in wanted if target >= lateral * (1 - _RELATIVE_TOLERANCE)]
    if not kept:
        warnings.warn(
            f"none of the resolutions {wanted} um is as coarse as the data ({lateral:g} um):"
            " the data itself is the only level",
            OmeZarrWarning,
            stacklevel=3,
        )
        return (AnalysisLevel(tuple(base_um), tuple(shape)),)
    pitches = [_level_pitch(base_um, target, make_isotropic) for target in kept]
    return tuple(AnalysisLevel(pitch, _level_shape(shape, base_um, pitch)) for pitch in pitches)


def _checked(target: float) -> float:
    value = float(target)
    if not (math.isfinite(value) and value > 0):
        raise ArgumentError(f"resolution {target} um is not a positive number")
    return value


def _level_pitch(
    base_um: Sequence[float], target: float, make_isotropic: bool
) -> tuple[float, ...]:
    if not make_isotropic:
        factor = Fraction(str(target)) / Fraction(str(min(base_um)))
        return tuple(clean_um(float(Fraction(str(pitch)) * factor)) for pitch in base_um)
    coarse = [pitch for pitch in base_um if pitch > target * (1 + _RELATIVE_TOLERANCE)]
    if coarse:
        warnings.warn(
            f"level {target:g} um: an axis with a pitch of {max(coarse):g} um keeps it",
            OmeZarrWarning,
            stacklevel=4,
        )
    return tuple(max(target, p) if p in coarse else target for p in base_um)


def _level_shape(
    shape: Sequence[int], base_um: Sequence[float], pitch_um: Sequence[float]
) -> tuple[int, ...]:
    zipped = zip(shape, base_um, pitch_um, strict=True)
    return tuple(max(1, math.floor(n * base / pitch + 1e-6)) for n, base, pitch in zipped)


class AnalysisOmeZarrWriter(OmeZarrWriter):
    """Write the final volume: data in any pitch in, levels of fixed physical pitch out.

    Takes the same arguments as `OmeZarrWriter`. The data that is written region by region is
    the base of the levels, not a level itself.
    """

    _work_kind = "base.tmp"

    def finalize(  # type: ignore[override]  # the documented call puts the list second
        self,
        resolution: Resolution,
        resolutions: Sequence[float] = DEFAULT_RESOLUTIONS_UM,
        *,
        n_levels: int | None = None,
        make_isotropic: bool = True,
        downscale_axes: DownscaleAxes = "yx",
    ) -> None:
        """Write the levels and the metadata, and give the store its name.

        Parameters
        ----------
        resolution : float or sequence of float
            Millimetres per pixel of the data, one value or one per axis.
        resolutions : sequence of float, optional
            Pitches of the levels in micrometres; those finer than the data are left out.
        n_levels : int, optional
            Write a power-of-two pyramid with this many extra levels instead.
        make_isotropic : bool, optional
            Same pitch on every axis (default), or one factor for all axes.
        downscale_axes : {"yx", "zyx"}, optional
            Axes that a power-of-two pyramid halves.
        """
        if not isinstance(resolutions, Sequence) and not hasattr(resolutions, "__len__"):
            raise TypeError(
                f"finalize: the second argument is the list of resolutions in um, found"
                f" {resolutions!r}; for a power-of-two pyramid give n_levels= by name"
            )
        if n_levels is not None:
            super().finalize(resolution, n_levels, downscale_axes=downscale_axes)
            return
        base_um = self._begin_finalize(resolution)
        levels = plan_levels(base_um, self.shape, resolutions, make_isotropic=make_isotropic)
        base = self._workspace
        try:
            self._workspace = Workspace(
                self._final, self._spec.storage.ngff_version, overwrite=True
            )
            self._write_levels(base_um, levels)
        finally:
            base.discard()
        axes = "zyx"[-self.ndim :]
        notes = PyramidNotes(
            "area-weighted mean", "analysis", axes, tuple(max(v.pitch_um[-2:]) for v in levels)
        )
        self._publish(_level_scales(levels), notes)

    def _write_levels(self, base_um: Sequence[float], levels: Sequence[AnalysisLevel]) -> None:
        specs = [self._level_spec(level.shape) for level in levels]
        arrays = [
            create_array(self._workspace.location, str(number), spec)
            for number, spec in enumerate(specs)
        ]
        fill_area_levels(self._array, base_um, arrays, [level.pitch_um for level in levels])


def _level_scales(levels: Sequence[AnalysisLevel]) -> list[LevelScale]:
    origin = levels[0].pitch_um
    scales = []
    for number, level in enumerate(levels):
        # The first voxels' outer corners coincide, so their centres are half a pitch apart.
        shift = tuple(
            clean_um((pitch - first) / 2)
            for pitch, first in zip(level.pitch_um, origin, strict=True)
        )
        scales.append(LevelScale(str(number), level.pitch_um, shift))
    return scales
