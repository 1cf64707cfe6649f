"""The analysis pyramid: fixed physical pitches, exact area-weighted means."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from mosaicflow.io.zarr.area import ReduceMethod, axis_ratio, fill_level
from mosaicflow.io.zarr.errors import ArgumentError, OmeZarrWarning
from mosaicflow.io.zarr.metadata import LevelScale, PyramidNotes
from mosaicflow.io.zarr.units import clean_um
from mosaicflow.io.zarr.workspace import Workspace
from mosaicflow.io.zarr.writer import OmeZarrWriter

if TYPE_CHECKING:
    from collections.abc import Sequence

    import zarr

    from mosaicflow.io.zarr.pyramid import DownscaleAxes
    from mosaicflow.io.zarr.units import Resolution

__all__ = ["AnalysisLevel", "AnalysisOmeZarrWriter", "plan_levels"]

# Pitches of the levels (um), those of the usual brain atlases: the format page names them.
DEFAULT_RESOLUTIONS_UM = (10.0, 25.0, 50.0, 100.0)
# A base of 25.0000001 um still has a 25 um level.
_RELATIVE_TOLERANCE = 1e-3
_METHOD_NAMES = {"mean": "area-weighted mean", "nearest": "central voxel"}


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
    pitch = max(base_um)
    finer = [f"{target:g}" for target in kept if _is_coarser(pitch, target)]
    if finer and make_isotropic:
        warnings.warn(
            f"levels of {', '.join(finer)} um: an axis with a pitch of {pitch:g} um keeps it",
            OmeZarrWarning,
            stacklevel=3,
        )
    pitches = [_level_pitch(base_um, target, make_isotropic) for target in kept]
    return tuple(AnalysisLevel(one, _level_shape(shape, base_um, one)) for one in pitches)


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
    return tuple(pitch if _is_coarser(pitch, target) else target for pitch in base_um)


def _is_coarser(pitch_um: float, target_um: float) -> bool:
    return pitch_um > target_um * (1 + _RELATIVE_TOLERANCE)


def _level_shape(
    shape: Sequence[int], base_um: Sequence[float], pitch_um: Sequence[float]
) -> tuple[int, ...]:
    ratios = [axis_ratio(base, pitch) for base, pitch in zip(base_um, pitch_um, strict=True)]
    whole = (math.floor(n / float(r) + 1e-6) for n, r in zip(shape, ratios, strict=True))
    return tuple(max(1, n) for n in whole)


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
        method: ReduceMethod = "mean",
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
        method : {"mean", "nearest"}, optional
            Area-weighted means for images, the central voxel for labels.
        """
        if not hasattr(resolutions, "__len__"):
            raise TypeError(
                f"finalize: the second argument is the list of resolutions in um, found"
                f" {resolutions!r}; for a power-of-two pyramid give n_levels= by name"
            )
        if n_levels is not None:
            super().finalize(resolution, n_levels, downscale_axes=downscale_axes, method=method)
            return
        base_um = self._begin_finalize(resolution)
        base = self._workspace
        try:
            levels = plan_levels(base_um, self.shape, resolutions, make_isotropic=make_isotropic)
            self._workspace = Workspace(
                self._final,
                self._spec.storage.ngff_version,
                overwrite=self._overwrite,
                checksums=self._checksums,
                resume_key=base.resume_key,
            )
            self._write_levels(base, base_um, levels, method)
        except BaseException:
            if base.journal is None:
                base.discard()
            base.release()
            raise
        pitches = tuple(max(level.pitch_um[-2:]) for level in levels)
        notes = PyramidNotes(
            method, _METHOD_NAMES[method], "analysis", "zyx"[-self.ndim :], pitches
        )
        scales = [LevelScale(str(number), v.pitch_um) for number, v in enumerate(levels)]
        self._publish(scales, notes)
        base.retire()  # its journal knew the finest level, until the store is complete

    def _publish(self, levels: Sequence[LevelScale], notes: PyramidNotes) -> None:
        super()._publish(_overlaid(levels), notes)

    def _write_levels(
        self,
        base: Workspace,
        base_um: tuple[float, ...],
        levels: Sequence[AnalysisLevel],
        method: ReduceMethod,
    ) -> None:
        """Fill each level from the base, or from an earlier level whose pitch divides its own."""
        sources = [(base_um, self._target.array)]
        is_first = base.location.is_folder and _same_grid(levels[0], base_um, self.shape)
        if is_first:
            sources = [(levels[0].pitch_um, self._target.array)]
        for number, level in enumerate(levels):
            if number == 0 and is_first:
                continue
            ratios, source = _coarsest_source(sources, level)
            target = self._create_level(number, level.shape)
            fill_level(source, target, ratios, method=method)
            sources.append((level.pitch_um, target.array))
        if is_first:  # last: until then a writer that comes after a kill finds it
            base.move_array("0", self._workspace)


def _same_grid(level: AnalysisLevel, base_um: Sequence[float], shape: tuple[int, ...]) -> bool:
    same_pitch = (axis_ratio(a, b) == 1 for a, b in zip(base_um, level.pitch_um, strict=True))
    return level.shape == shape and all(same_pitch)


def _coarsest_source(
    sources: Sequence[tuple[Sequence[float], zarr.Array[Any]]], level: AnalysisLevel
) -> tuple[list[Fraction], zarr.Array[Any]]:
    """Return the last level that whole voxels of another one are made of, or else the base."""
    choices = [
        ([axis_ratio(a, b) for a, b in zip(source_um, level.pitch_um, strict=True)], array)
        for source_um, array in sources
    ]
    whole = [c for c in choices if _is_made_of(level.shape, *c)]
    return whole[-1] if whole else choices[0]


def _is_made_of(shape: Sequence[int], ratios: Sequence[Fraction], source: zarr.Array[Any]) -> bool:
    # A level that is a single voxel may reach over the end of a finer level, where the base
    # still has a last part of a voxel.
    zipped = zip(shape, ratios, source.shape, strict=True)
    return all(ratio.denominator == 1 and n * ratio <= n_in for n, ratio, n_in in zipped)


def _overlaid(levels: Sequence[LevelScale]) -> list[LevelScale]:
    """Add the translation that makes all levels lie on each other.

    The outer corners of the first voxels coincide, so their centres are half a pitch apart.
    """
    origin = levels[0].scale_um
    return [
        replace(
            level,
            translation_um=tuple(
                clean_um((pitch - first) / 2)
                for pitch, first in zip(level.scale_um, origin, strict=True)
            ),
        )
        for level in levels
    ]
