"""The instrument's own files: ``info.txt`` and ``image_*.bin`` in one folder per tile."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mosaicflow.io.tables import write_json, write_text
from mosaicflow.names import format_slice_id

if TYPE_CHECKING:
    from pathlib import Path

    from mosaicflow.simulation.plan import AcquisitionPlan, CutSlice, TilePlan
    from mosaicflow.simulation.settings import Lattice, SimulationSettings

__all__ = ["info_text", "tile_folder", "write_tile", "write_tree_metadata"]

F32 = NDArray[np.float32]


def tile_folder(root: Path, lattice: Lattice, tile: TilePlan) -> Path:
    """Return where a tile belongs in the layout."""
    number = format_slice_id(tile.slice_id)
    parents = {
        "flat": root,
        "per_slice": root / f"z{number}",
        "acquisition": root / f"slice_z{number}" / "tiles",
    }
    return parents[lattice.layout] / tile.name


def info_text(settings: SimulationSettings, tile: TilePlan) -> str:
    """Return the content of a tile's ``info.txt``."""
    lattice = settings.lattice
    n_z, n_y, n_x = lattice.tile_shape
    length_y, length_x = n_y * lattice.pitch_um[1], n_x * lattice.pitch_um[2]
    fast_slow = ((n_y, length_y), (n_x, length_x))
    (nx, width), (ny, height) = fast_slow if lattice.preprocess else fast_slow[::-1]
    focus = (lattice.water_um + settings.optics.focus_um) / lattice.pitch_um[0]
    values: dict[str, object] = {
        "nx": nx,
        "ny": ny,
        "n_repeat": lattice.n_repeat,
        "width": round(width, 6),
        "height": round(height, 6),
        "n_extra": lattice.n_extra,
        "line_rate": 80,
        "exposure": 10,
        "alinerepeat": 1,
        "top_z": 0,
        "bottom_z": n_z - 1,
        "n_samples": 2 * n_z,
        "focus_z": round(focus),
    }
    if settings.stage.report_positions:
        values["stage_x_pos_mm"] = f"{tile.reported_mm[1]:.6f}"
        values["stage_y_pos_mm"] = f"{tile.reported_mm[0]:.6f}"
        values["stage_z_pos_mm"] = f"{lattice.slicing_interval_mm * tile.slice_id:.6f}"
    return "Scan info\n" + "".join(f"{key}: {value}\n" for key, value in values.items())


def write_tile(
    folder: Path, raw: F32, settings: SimulationSettings, tile: TilePlan, rng: np.random.Generator
) -> int:
    """Write one tile's folder, with the tile's fault.

    Parameters
    ----------
    folder : Path
        Made here.
    raw : ndarray, shape (B-scans, A-lines, depth), float32
        The recorded stream.
    settings : SimulationSettings
        For ``info.txt``, the number of files and the size of faults.
    tile : TilePlan
        Which tile.
    rng : numpy.random.Generator
        Draws the places of NaN samples.

    Returns
    -------
    int
        Bytes of image data written.
    """
    folder.mkdir(parents=True)
    write_text(folder / "info.txt", info_text(settings, tile))
    if tile.fault == "nan":
        number = round(settings.faults.nan_fraction * raw.size)
        raw.reshape(-1)[rng.choice(raw.size, number, replace=False)] = np.nan
    data = np.ascontiguousarray(raw, "<f4")
    edges = np.linspace(0, len(raw), settings.lattice.files_per_tile + 1).astype(int)
    stream = data.reshape(-1)
    stop = stream.size
    if tile.fault == "truncated":
        stop = round(settings.faults.truncated_fraction * stop)
    for number, (low, high) in enumerate(pairwise(edges)):
        per_scan = data.shape[1] * data.shape[2]
        stream[low * per_scan : min(high * per_scan, stop)].tofile(
            folder / f"image_{number:05d}.bin"
        )
    return 4 * stop


def write_tree_metadata(root: Path, plan: AcquisitionPlan) -> None:
    """Write what newer acquisition software leaves beside its tiles."""
    lattice = plan.settings.lattice
    if lattice.layout != "acquisition":
        return
    n_z, n_y, n_x = lattice.tile_shape
    common = {
        "tile_size_um": [n_y * lattice.pitch_um[1], n_x * lattice.pitch_um[2]],
        "tile_n_samples": n_z,
        "slice_thickness": lattice.slicing_interval_mm,
        "overlap_fraction": lattice.overlap_fraction,
    }
    write_json(root / "state.json", common)
    for piece in plan.slices:
        folder = root / f"slice_z{format_slice_id(piece.slice_id)}"
        if folder.is_dir():
            write_json(folder / "metadata.json", {**common, **_depth_range(piece, lattice)})


def _depth_range(piece: CutSlice, lattice: Lattice) -> dict[str, float]:
    z_min = (piece.face_um - lattice.water_um) / 1000
    return {"z_min": z_min, "z_max": z_min + lattice.tile_shape[0] * lattice.pitch_um[0] / 1000}
