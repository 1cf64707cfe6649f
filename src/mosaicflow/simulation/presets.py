"""Sets of settings with a name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mosaicflow.errors import ParameterError
from mosaicflow.simulation.settings import SimulationSettings

if TYPE_CHECKING:
    from mosaicflow.simulation.settings import Lattice, PresetName

__all__ = ["PRESETS", "preset"]

# Degradations that are switched off, each in its own unit.
_OFF: dict[str, object] = {
    "jitter_px": 0.0,
    "lattice_rotation_deg": 0.0,
    "drift_um": 0.0,
    "residual_shift_um": 0.0,
    "residual_rotation_deg": 0.0,
    "shading": 0.0,
    "speckle_contrast": 0.0,
    "noise": 0.0,
    "attenuation_per_mm": 0.0,
    "rayleigh_um": 0.0,
    "tilt_um": (0.0, 0.0),
    "tilt_spread_um": 0.0,
    "waviness_um": 0.0,
    "n_extra": 0,
    "truncated_tiles": (),
}
# What an instrument is known to do and does not report; a solver that believes the stage and the
# microtome loses here.
_HARD: dict[str, object] = {
    "n_extra": 8,
    "files_per_tile": 1,
    "lattice_rotation_deg": 0.3,
    "residual_shift_um": 30.0,
    "residual_rotation_deg": 0.5,
    "thickness_sigma_um": 5.0,
    "depth_contrast": 0.3,
    "attenuation_per_mm": 0.3,
    "shadow_per_mm": 1.2,
    "speckle_contrast": 0.35,
    "field_curvature_um": 14.0,
}
# What each is for says docs/simulation.md; settings that are not here have their defaults.
PRESETS: dict[str, dict[str, object]] = {
    "toy": {
        "n_slices": 2,
        "grid": (2, 2),
        "tile_shape": (40, 40, 40),
        "pitch_um": (10.0, 10.0, 10.0),
        "overlap_fraction": 0.3,
        "n_extra": 4,
        "drift_um": 30.0,
        "jitter_px": 1.0,
    },
    "demo": {"truncated_tiles": ("3/0/2",)},
    "benchmark": {
        "n_slices": 8,
        "grid": (5, 5),
        "tile_shape": (120, 160, 160),
        "n_extra": 8,
        "lattice_rotation_deg": 0.3,
        "files_per_tile": 1,
    },
    "hard": {**_HARD, "grid": (5, 5), "n_slices": 8, "tile_shape": (120, 160, 160)},
    "deep": {
        **_HARD,
        "grid": (2, 2),
        "n_slices": 24,
        "tile_shape": (62, 160, 160),
        "slicing_interval_mm": 0.07,
        "water_um": 55.0,
        "focus_um": 45.0,
    },
    "native": {
        "n_slices": 2,
        "tile_shape": (400, 300, 300),
        "pitch_um": (1.5, 3.0, 3.0),
        "n_extra": 8,
        "speckle_contrast": 1.0,
        "water_um": 100.0,
        "files_per_tile": 4,
    },
    "ideal": {
        **_OFF,
        "tile_shape": (40, 120, 120),
        "pitch_um": (10.0, 10.0, 10.0),
        "agarose": 0.15,
        "gain": 1.0,
    },
}


def preset(name: PresetName, **changes: object) -> SimulationSettings:
    """Return the settings of a preset, with some of them replaced.

    Parameters
    ----------
    name : {"toy", "demo", "benchmark", "hard", "deep", "native", "ideal"}
        toy: 2 MB for tests; demo: what ``make demo`` runs; benchmark: 2.6 GB; hard: its lattice
        with shifts, turns and section thicknesses that nothing reports; deep: the same with 24
        thin sections of 2 x 2 tiles, 0.6 GB; native: 2.7 GB at a microscope's own pitch; ideal:
        demo's lattice without any degradation.
    **changes
        Settings of any group, by name, e.g. ``speckle_contrast=0.0``.

    Raises
    ------
    ParameterError
        For an unknown preset or setting, or a value out of range.
    """
    if name not in PRESETS:
        raise ParameterError(f"preset {name!r} is unknown", remedy=f"use one of {list(PRESETS)}")
    settings = SimulationSettings().changed(**{**PRESETS[name], **changes})
    inside = tuple(t for t in settings.faults.truncated_tiles if _is_inside(t, settings.lattice))
    # A tile that the user names must exist; one that the preset names may lie in another lattice.
    return settings if "truncated_tiles" in changes else settings.changed(truncated_tiles=inside)


def _is_inside(tile: str, lattice: Lattice) -> bool:
    index = [int(number) for number in tile.split("/")]
    first = (lattice.first_slice, *lattice.first_index)
    size = (lattice.n_slices, *lattice.grid)
    return all(f <= i < f + n for i, f, n in zip(index, first, size, strict=True))
