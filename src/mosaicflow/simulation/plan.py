"""Where everything is in a simulated acquisition: drawn once from the seed, then only read.

Lateral positions are (y, x) in the camera's axes and um; (0, 0) is the middle of the first
slice's lattice. Three frames follow each other:

- *specimen*: the tissue; the truth volume lives here;
- *slice*: what the camera frame of one slice shows, ``q = R(angle) p + shift`` of specimen p, with
  the rotation and shift that nothing reports;
- *stage*: what info.txt says, in mm; ``q = M (stage - zero)`` with the camera matrix M, and the
  tile's own error on top.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mosaicflow.errors import ParameterError

if TYPE_CHECKING:
    from mosaicflow.simulation.settings import SimulationSettings

__all__ = [
    "WITHOUT_IMAGE",
    "AcquisitionPlan",
    "CutFace",
    "CutSlice",
    "TilePlan",
    "make_plan",
    "rotation",
]

F64 = NDArray[np.float64]

# Where the stage stands at the first tile: far from 0, as real ones are, and no two numbers equal.
STAGE_ZERO_MM = (20.0, 31.0)
WITHOUT_IMAGE = ("noise", "blank", "saturated", "frozen", "duplicated")
"""Kinds of bad slices that do not show their own tissue where it lies."""
_JITTER, _SLICE, _SURFACE, _THICKNESS = 1, 2, 3, 4  # streams of random numbers
_JUMP_SHARE = 1 / 6  # of the tiles start another error of the stage, where it jumps


@dataclass(frozen=True, slots=True)
class CutFace:
    """The cut face's own departure from the knife's plane: a tilt and two waves.

    Parameters
    ----------
    tilt : ndarray, shape (2,), float64
        Rise per um along y and x.
    waves : ndarray, shape (n, 4), float64
        Amplitude (um), wave number along y and x (rad/um) and phase of each wave.
    """

    tilt: F64
    waves: F64

    def height_um(self, y_um: F64, x_um: F64) -> F64:
        """Return how much deeper than the knife's plane the face lies, in um."""
        height = self.tilt[0] * y_um + self.tilt[1] * x_um
        for amplitude, wave_y, wave_x, phase in self.waves:
            height = height + amplitude * np.cos(wave_y * y_um + wave_x * x_um + phase)
        return np.asarray(height, np.float64)


@dataclass(frozen=True, slots=True)
class TilePlan:
    """One tile: its lattice index as written, and where it is.

    Parameters
    ----------
    slice_id, iy, ix : int
        Names of its folder.
    reported_mm : tuple of float
        Stage position (y, x) in info.txt.
    centre_um : tuple of float
        True middle (y, x) of the tile in the slice frame.
    fault : {"", "missing", "truncated", "nan", "empty"}
        What is wrong with it.
    """

    slice_id: int
    iy: int
    ix: int
    reported_mm: tuple[float, float]
    centre_um: tuple[float, float]
    fault: str = ""

    @property
    def name(self) -> str:
        """The tile's folder name."""
        return f"tile_x{self.ix:02d}_y{self.iy:02d}_z{self.slice_id:02d}"


@dataclass(frozen=True, slots=True)
class CutSlice:
    """One slice.

    Parameters
    ----------
    slice_id : int
        Its id.
    angle_deg : float
        Rotation of the slice frame against the specimen, positive from y towards x.
    shift_um : tuple of float
        Shift (y, x) of the slice frame against the specimen.
    drift_mm : tuple of float
        Reported move (y, x) of the region since the first slice, in stage axes.
    face_um : float
        Depth of its block face.
    surface : CutFace
        The face's shape.
    fault : str
        What is wrong with it: "", "missing" or the kind of a bad slice.
    tiles : tuple of TilePlan
        Its tiles, row by row.
    """

    slice_id: int
    angle_deg: float
    shift_um: tuple[float, float]
    drift_mm: tuple[float, float]
    face_um: float
    surface: CutFace
    fault: str
    tiles: tuple[TilePlan, ...]

    def to_specimen(self, y_um: F64, x_um: F64) -> tuple[F64, F64]:
        """Map positions of the slice frame to the specimen, both in um."""
        turn = rotation(-self.angle_deg)
        y, x = y_um - self.shift_um[0], x_um - self.shift_um[1]
        return turn[0, 0] * y + turn[0, 1] * x, turn[1, 0] * y + turn[1, 1] * x


@dataclass(frozen=True, slots=True)
class AcquisitionPlan:
    """The whole acquisition.

    Parameters
    ----------
    settings : SimulationSettings
        With the grid and slice count filled in.
    camera : ndarray, shape (2, 2), float64
        The camera matrix M.
    tilt : tuple of float
        Tilt of the knife's plane against the optical axis, um per um along y and x.
    slices : tuple of CutSlice
        All slices, missing ones too.
    """

    settings: SimulationSettings
    camera: F64
    tilt: tuple[float, float]
    slices: tuple[CutSlice, ...]

    @property
    def half_size_um(self) -> tuple[float, float]:
        """Half the nominal extent (y, x) of a slice's mosaic."""
        return _half_size(self.settings)


def rotation(angle_deg: float) -> F64:
    """Return ``[[cos, -sin], [sin, cos]]``, acting on (y, x).

    On purpose not that of the alignment: the truth must not share its mistakes.
    """
    angle = math.radians(angle_deg)
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def make_plan(settings: SimulationSettings) -> AcquisitionPlan:
    """Draw an acquisition.

    Parameters
    ----------
    settings : SimulationSettings
        Complete settings: a grid or slice count of 0 must have been filled in.

    Raises
    ------
    ParameterError
        If a fault names a tile or slice that does not exist.
    """
    stage, lattice = settings.stage, settings.lattice
    shear = np.array([[1.0, stage.lattice_shear], [0.0, 1.0]])
    camera = rotation(stage.lattice_rotation_deg) @ shear * stage.lattice_scale
    half = _half_size(settings)
    tilt_y, tilt_x = (
        um / (2 * size) for um, size in zip(settings.sections.tilt_um, half, strict=True)
    )
    draws = np.random.default_rng([settings.seed, _SLICE]).standard_normal((lattice.n_slices, 5))
    draws = np.clip(draws, -2, 2)
    draws[0, :2] = 0
    drift = np.cumsum(draws[:, :2], axis=0) * stage.drift_um / 1000
    faces = _faces_um(settings)
    slices = tuple(
        _slice(settings, camera, number, drift[number], (*draws[number, 2:], faces[number]))
        for number in range(lattice.n_slices)
    )
    plan = AcquisitionPlan(settings, camera, (tilt_y, tilt_x), slices)
    _check_faults(plan)
    return plan


def _half_size(settings: SimulationSettings) -> tuple[float, float]:
    lattice = settings.lattice
    y, x = (
        0.5 * n * pitch * (1 + (tiles - 1) * (1 - lattice.overlap_fraction))
        for n, pitch, tiles in zip(
            lattice.tile_shape[1:], lattice.pitch_um[1:], lattice.grid, strict=True
        )
    )
    return y, x


def _faces_um(settings: SimulationSettings) -> F64:
    """Depth of every face: the sections above it, of which each has its own thickness."""
    n_slices = settings.lattice.n_slices
    rng = np.random.default_rng([settings.seed, _THICKNESS])
    spread = np.clip(rng.standard_normal(max(n_slices - 1, 0)), -2, 2)
    off = np.concatenate([[0.0], np.cumsum(spread * settings.sections.thickness_sigma_um)])
    return np.asarray(np.arange(n_slices) * settings.lattice.slicing_interval_mm * 1000 + off)


def _slice(
    settings: SimulationSettings,
    camera: F64,
    number: int,
    drift_mm: F64,
    draws: tuple[float, ...],
) -> CutSlice:
    stage, lattice, faults = settings.stage, settings.lattice, settings.faults
    slice_id = lattice.first_slice + number
    fault = "missing" if slice_id in faults.missing_slices else ""
    if slice_id in faults.bad_slices:
        fault = faults.bad_kind
    beside_um = faults.bad_shift_um if fault == "shifted" else 0.0
    return CutSlice(
        slice_id=slice_id,
        angle_deg=float(draws[2] * stage.residual_rotation_deg),
        shift_um=(
            float(draws[0]) * stage.residual_shift_um + beside_um,
            float(draws[1]) * stage.residual_shift_um,
        ),
        drift_mm=(float(drift_mm[0]), float(drift_mm[1])),
        face_um=float(draws[3]),
        surface=_surface(settings, number),
        fault=fault,
        tiles=_tiles(settings, camera, number, drift_mm),
    )


def _surface(settings: SimulationSettings, number: int) -> CutFace:
    rng = np.random.default_rng([settings.seed, _SURFACE, number])
    half = np.asarray(_half_size(settings))
    tilt = np.clip(rng.standard_normal(2), -2, 2) * settings.sections.tilt_spread_um / (2 * half)
    length_um = rng.uniform(0.5, 1.2, 2) * 2 * half.max()
    direction = rng.uniform(0, 2 * np.pi, 2)
    number_y, number_x = (2 * np.pi / length_um * f(direction) for f in (np.cos, np.sin))
    amplitude = settings.sections.waviness_um * np.array([0.7, 0.3])
    phase = rng.uniform(0, 2 * np.pi, 2)
    return CutFace(tilt, np.stack([amplitude, number_y, number_x, phase], axis=1))


def _tiles(
    settings: SimulationSettings, camera: F64, number: int, drift_mm: F64
) -> tuple[TilePlan, ...]:
    lattice, stage = settings.lattice, settings.stage
    rows, columns = lattice.grid
    shape, pitch = np.array(lattice.tile_shape[1:]), np.array(lattice.pitch_um[1:])
    step_um = shape * pitch * (1 - lattice.overlap_fraction)
    sign = np.asarray(stage.stage_sign)
    missed_um = _missed_px(settings, number) * pitch
    jump = np.array([0.0, _jump_mm(settings, number)])
    tiles = []
    for iy, ix in np.ndindex(rows, columns):
        along_um = (np.array([iy, ix]) - (np.array([rows, columns]) - 1) / 2) * step_um
        # The region's move is one of the stage, so the camera sees it through its matrix too.
        stage_mm = sign * along_um / 1000 + drift_mm
        centre = camera @ (sign * stage_mm * 1000) + missed_um[iy, ix]
        reported = np.round(np.asarray(STAGE_ZERO_MM) + stage_mm + jump, 6)
        index = (lattice.first_index[0] + iy, lattice.first_index[1] + ix)
        slice_id = lattice.first_slice + number
        tiles.append(
            TilePlan(
                slice_id,
                *index,
                reported_mm=(float(reported[0]), float(reported[1])),
                centre_um=(float(centre[0]), float(centre[1])),
                fault=_tile_fault(settings, f"{slice_id}/{index[0]}/{index[1]}"),
            )
        )
    return tuple(tiles)


def _missed_px(settings: SimulationSettings, number: int) -> F64:
    """By how much each tile misses its reported place, shape (rows, columns, 2), native px."""
    rows, columns = settings.lattice.grid
    rng = np.random.default_rng([settings.seed, _JITTER, number])
    missed = np.clip(rng.standard_normal((rows, columns, 2)), -2.5, 2.5)
    kind = settings.stage.stage_error
    if kind != "jitter":
        missed = _in_order(_run_on(missed.reshape(-1, 2), kind, rng), rows, columns)
    return missed * settings.stage.jitter_px


def _run_on(draws: F64, kind: str, rng: np.random.Generator) -> F64:
    """Let errors last from tile to tile, in the order in which the stage visits them."""
    if kind == "jumps":
        starts = rng.random(len(draws)) < _JUMP_SHARE
        latest = np.maximum.accumulate(np.where(starts, np.arange(len(draws)), -1))
        return np.asarray(np.where(latest[:, None] < 0, 0.0, draws[latest]))
    errors = np.cumsum(draws, axis=0)
    errors -= errors.mean(axis=0)
    return np.asarray(errors / max(float(np.sqrt((errors**2).mean())), 1e-9))


def _in_order(errors: F64, rows: int, columns: int) -> F64:
    """Lay what belongs to tiles in the order of the visit on the lattice: rows to and fro."""
    laid = errors.reshape(rows, columns, 2)
    laid[1::2] = laid[1::2, ::-1].copy()
    return laid


def _jump_mm(settings: SimulationSettings, number: int) -> float:
    stage = settings.stage
    slice_id = settings.lattice.first_slice + number
    if stage.rehoming_kind == "spike":
        return stage.rehoming_mm * (slice_id in stage.rehoming_slices)
    return stage.rehoming_mm * sum(slice_id >= other for other in stage.rehoming_slices)


def _tile_fault(settings: SimulationSettings, name: str) -> str:
    faults = settings.faults
    named = {
        "missing": faults.missing_tiles,
        "truncated": faults.truncated_tiles,
        "nan": faults.nan_tiles,
    }
    found = next((fault for fault, names in named.items() if name in names), "")
    slice_id, iy, ix = (int(part) for part in name.split("/"))
    is_half = faults.bad_kind == "half_empty" and slice_id in faults.bad_slices
    return found or ("empty" if is_half and (iy + ix) % 2 else "")


def _check_faults(plan: AcquisitionPlan) -> None:
    faults = plan.settings.faults
    ids = {piece.slice_id for piece in plan.slices}
    named = (
        *faults.missing_slices,
        *faults.bad_slices,
        *plan.settings.optics.galvo_slices,
        *plan.settings.stage.rehoming_slices,
    )
    for slice_id in named:
        if slice_id not in ids:
            raise ParameterError(f"slice {slice_id} is not one of {sorted(ids)}")
    tiles = {f"{t.slice_id}/{t.iy}/{t.ix}" for piece in plan.slices for t in piece.tiles}
    for name in (*faults.missing_tiles, *faults.truncated_tiles, *faults.nan_tiles):
        if name not in tiles:
            raise ParameterError(f"tile {name!r} is not in the lattice", remedy="write slice/y/x")
