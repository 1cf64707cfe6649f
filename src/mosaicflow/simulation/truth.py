"""What is true of a simulated acquisition, written beside its data."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

import mosaicflow
from mosaicflow.io.tables import SCHEMA, write_json, write_text
from mosaicflow.simulation.light import (
    dark_field,
    field_change,
    flat_field,
    sunk_um,
    tile_distortion,
)
from mosaicflow.simulation.plan import WITHOUT_IMAGE
from mosaicflow.simulation.render import galvo_band_start, sample

if TYPE_CHECKING:
    from pathlib import Path

    from mosaicflow.simulation.plan import AcquisitionPlan, CutSlice, TilePlan
    from mosaicflow.simulation.settings import SimulationSettings
    from mosaicflow.simulation.specimen import Tissue

__all__ = ["TruthGrid", "truth_grid", "write_params", "write_truth"]

REFLECTIVITY_STEP = 2e-4
"""Reflectivity that one step of the truth volume's uint16 stands for."""


@dataclass(frozen=True, slots=True)
class TruthGrid:
    """The voxels of the truth volume: position (um) of the first, shape, spacing; (z, y, x)."""

    origin_um: tuple[float, float, float]
    shape: tuple[int, int, int]
    spacing_um: float


def truth_grid(plan: AcquisitionPlan) -> TruthGrid:
    """Return the truth volume's grid: it covers all that any tile shows of the specimen."""
    lattice = plan.settings.lattice
    um = lattice.resolution_um
    half_y = lattice.tile_shape[1] * lattice.pitch_um[1] / 2
    half_x = lattice.tile_shape[2] * lattice.pitch_um[2] / 2
    low, high = np.full(2, np.inf), np.full(2, -np.inf)
    for piece in plan.slices:
        centres = np.array([tile.centre_um for tile in piece.tiles])
        for sign_y, sign_x in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
            corner = centres + np.array([sign_y * half_y, sign_x * half_x])
            place = np.stack(piece.to_specimen(corner[:, 0], corner[:, 1]))
            low, high = np.minimum(low, place.min(1)), np.maximum(high, place.max(1))
    first = [math.floor(v / um) for v in low]
    last = [math.ceil(v / um) for v in high]
    imaged_um = lattice.tile_shape[0] * lattice.pitch_um[0] - lattice.water_um
    n_z = math.ceil((plan.slices[-1].face_um + imaged_um) / um)
    return TruthGrid(
        (0.0, first[0] * um, first[1] * um),
        (n_z, last[0] - first[0] + 1, last[1] - first[1] + 1),
        um,
    )


def write_truth(folder: Path, plan: AcquisitionPlan, tissue: Tissue, *, threads: int = 1) -> None:
    """Write truth.json, flatfield.npy, light.npz and, unless switched off, truth.ome.zarr.

    Parameters
    ----------
    folder : Path
        Made here.
    plan : AcquisitionPlan
        What was drawn.
    tissue : Tissue
        The specimen.
    threads : int
        Regions of the volume written side by side.
    """
    folder.mkdir(parents=True)
    np.save(folder / "flatfield.npy", flat_field(plan.settings))
    light = plan.settings.light
    np.savez(
        folder / "light.npz",
        depth_change=light.shading_depth * field_change(plan.settings),
        time_change=light.shading_drift * field_change(plan.settings),
        dark_field=plan.settings.specimen.gain * dark_field(plan.settings),
        distortion_px=tile_distortion(plan.settings),
        sunk_um=sunk_um(plan.settings),
    )
    grid = truth_grid(plan)
    if plan.settings.truth_volume:
        _write_volume(folder / "truth.ome.zarr", grid, tissue, threads)
    write_json(folder / "truth.json", _document(plan, grid))


def _write_volume(path: Path, grid: TruthGrid, tissue: Tissue, threads: int) -> None:
    from mosaicflow.io.zarr import OmeZarrWriter, write_regions
    from mosaicflow.threads import map_threads

    chunks = tuple(min(n, c) for n, c in zip(grid.shape, (64, 128, 128), strict=True))
    writer = OmeZarrWriter(path, grid.shape, chunks=chunks, dtype=np.uint16)
    writer.attrs.update(
        {"kind": "truth", "reflectivity_step": REFLECTIVITY_STEP, "origin_um": list(grid.origin_um)}
    )

    def write(region: tuple[slice, ...]) -> None:
        z, y, x = (
            origin + grid.spacing_um * np.arange(part.start, part.stop)
            for origin, part in zip(grid.origin_um, region, strict=True)
        )
        place_y, place_x = np.meshgrid(y, x, indexing="ij")
        lines = sample(
            tissue, place_y.ravel(), place_x.ravel(), z, np.zeros(place_y.size, np.float32)
        )
        value = np.clip(np.rint(lines / np.float32(REFLECTIVITY_STEP)), 0, 65535)
        writer[region] = value.reshape(len(y), len(x), len(z)).transpose(2, 0, 1).astype(np.uint16)

    map_threads(write, write_regions(writer), threads)
    spacing_mm = grid.spacing_um / 1000
    writer.finalize((spacing_mm, spacing_mm, spacing_mm))


def _document(plan: AcquisitionPlan, grid: TruthGrid) -> dict[str, object]:
    settings = plan.settings
    native = settings.lattice.pitch_um[1:]
    return {
        "schema": "mosaicflow-truth/1",
        "software": f"mosaicflow {mosaicflow.__version__}",
        "settings": _settings(settings),
        "native_pitch_um": list(settings.lattice.pitch_um),
        "camera_matrix": plan.camera.tolist(),
        "lattice_step_px": _lattice_step_px(plan),
        "knife_tilt_um_per_mm": [1000 * value for value in plan.tilt],
        "galvo_band_start": galvo_band_start(settings),
        "volume": asdict(grid),
        "slices": [_slice_document(plan, piece, native) for piece in plan.slices],
        "missing_slices": [p.slice_id for p in plan.slices if p.fault == "missing"],
        "bad_slices": [p.slice_id for p in plan.slices if p.fault not in ("", "missing")],
        "slices_without_image": [p.slice_id for p in plan.slices if p.fault in WITHOUT_IMAGE],
    }


def _lattice_step_px(plan: AcquisitionPlan) -> list[list[float]]:
    """Return the matrix that maps a lattice index to a tile's corner, (y, x) in native px."""
    lattice = plan.settings.lattice
    shape, pitch = np.array(lattice.tile_shape[1:]), np.array(lattice.pitch_um[1:])
    step_um = shape * pitch * (1 - lattice.overlap_fraction)
    matrix: list[list[float]] = (plan.camera * step_um[None, :] / pitch[:, None]).tolist()
    return matrix


def _settings(settings: SimulationSettings) -> dict[str, object]:
    document = asdict(settings)
    volume = settings.specimen.volume
    document["specimen"]["volume"] = volume.name if volume else None
    return document


def _slice_document(
    plan: AcquisitionPlan, piece: CutSlice, native: tuple[float, ...]
) -> dict[str, object]:
    return {
        "slice_id": piece.slice_id,
        "fault": piece.fault,
        "angle_deg": piece.angle_deg,
        "shift_um": list(piece.shift_um),
        "drift_mm": list(piece.drift_mm),
        "face_um": piece.face_um,
        "galvo_shift": _galvo_shift(plan, piece),
        "surface": {
            "tilt_um_per_mm": (1000 * piece.surface.tilt).tolist(),
            "waves": piece.surface.waves.tolist(),
        },
        "tiles": [_tile_document(plan, tile, native) for tile in piece.tiles],
    }


def _galvo_shift(plan: AcquisitionPlan, piece: CutSlice) -> int:
    """A-lines by which the raw B-scans of a slice must be rolled."""
    lattice = plan.settings.lattice
    if piece.slice_id not in plan.settings.optics.galvo_slices:
        return 0
    n_fast = lattice.tile_shape[1] if lattice.preprocess else lattice.tile_shape[2]
    return n_fast - galvo_band_start(plan.settings)


def _tile_document(
    plan: AcquisitionPlan, tile: TilePlan, native: tuple[float, ...]
) -> dict[str, object]:
    shape = plan.settings.lattice.tile_shape[1:]
    corner = [
        centre / pitch - (n - 1) / 2
        for centre, pitch, n in zip(tile.centre_um, native, shape, strict=True)
    ]
    return {
        "iy": tile.iy,
        "ix": tile.ix,
        "row_px": corner[0],
        "col_px": corner[1],
        "centre_mm": [value / 1000 for value in tile.centre_um],
        "reported_mm": list(tile.reported_mm),
        "fault": tile.fault,
    }


def write_params(path: Path, raw: Path, plan: AcquisitionPlan) -> None:
    """Write the parameters that no raw file holds, for either engine.

    Parameters
    ----------
    path : Path
        The YAML file.
    raw : Path
        Folder of the raw tiles.
    plan : AcquisitionPlan
        What was drawn.
    """
    import yaml

    lattice = plan.settings.lattice
    values: dict[str, object] = {
        "schema": SCHEMA,
        "input": str(raw.resolve()),
        "axial_resolution_um": lattice.pitch_um[0],
        "slicing_interval_mm": lattice.slicing_interval_mm,
        "resolution_um": lattice.resolution_um,
        "crop_depth_um": _crop_depth_um(plan),
        "stitch_overlap_fraction": lattice.overlap_fraction,
        "pyramid_resolutions": [
            lattice.resolution_um,
            *(um for um in (25.0, 50.0, 100.0) if um > lattice.resolution_um),
        ],
    }
    if not lattice.preprocess:
        values["preprocess"] = False
    write_text(path, yaml.safe_dump(values, sort_keys=False))


def _crop_depth_um(plan: AcquisitionPlan) -> float:
    """Return the deepest multiple of the working spacing that every A-line still holds."""
    settings = plan.settings
    lattice, sections = settings.lattice, settings.sections
    lowest = sum(abs(value) for value in sections.tilt_um) / 2
    lowest += 2 * sections.tilt_spread_um + sections.waviness_um
    lowest += max(0.0, settings.optics.field_curvature_um)  # corners appear lower
    imaged_um = lattice.tile_shape[0] * lattice.pitch_um[0] - lattice.water_um - lowest
    return max(1, math.floor(imaged_um / lattice.resolution_um) - 1) * lattice.resolution_um
