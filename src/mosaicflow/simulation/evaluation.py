"""Errors of a run against the truth of its simulated acquisition."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mosaicflow import names
from mosaicflow.errors import InputError
from mosaicflow.io.tables import read_json, write_json
from mosaicflow.names import parse_slice_id
from mosaicflow.simulation.light_error import (
    CurvatureError,
    DistortionError,
    FlatFieldError,
    curvature_error,
    distortion_error,
    flatfield_error,
)
from mosaicflow.simulation.link_error import LinkErrors, link_errors
from mosaicflow.simulation.placement_error import (
    SlicePlacementScore,
    placement_errors,
    present_tiles,
)
from mosaicflow.simulation.plan import rotation
from mosaicflow.simulation.results import (
    SliceMap,
    find_results,
    read_alignment,
    read_placements,
)
from mosaicflow.simulation.slice_error import SliceErrors, measure_slices
from mosaicflow.simulation.volume_error import VolumeError, measure_volume

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mosaicflow.simulation.results import PublishedFiles, RunPlacement

__all__ = ["CountCheck", "Evaluation", "SliceErrors", "TileErrors", "evaluate"]

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TileErrors:
    """Distance of tiles from their true place, in native px, less one translation per slice.

    Parameters
    ----------
    n_tiles : int
        Tiles compared.
    median_px, p95_px, worst_px : float
        Over all of them.
    worst_tile : str
        slice/y/x of the worst, by position in the lattice.
    """

    n_tiles: int
    median_px: float
    p95_px: float
    worst_px: float
    worst_tile: str


@dataclass(frozen=True, slots=True)
class CountCheck:
    """What went in and what came out.

    Parameters
    ----------
    tiles_in, tiles_placed, tiles_listed, tiles_failed : int
        On disk; with a position; listed as unplaced; in slices with a failure record.
    tiles_unaccounted : int
        Neither placed nor listed, in slices that were not given up.
    slices_in, slices_aligned, slices_excluded, slices_failed : int
        On disk; in the alignment; finished but left out of it; with a failure record.
    """

    tiles_in: int
    tiles_placed: int
    tiles_listed: int
    tiles_failed: int
    tiles_unaccounted: int
    slices_in: int
    slices_aligned: int
    slices_excluded: int
    slices_failed: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All errors of a run; a part is None where the run published nothing to compare."""

    counts: CountCheck
    tiles: TileErrors | None
    placement: tuple[SlicePlacementScore, ...]
    slices: SliceErrors | None
    links: LinkErrors | None
    flatfield: FlatFieldError | None
    distortion: DistortionError | None
    curvature: CurvatureError | None
    volume: VolumeError | None

    def document(self) -> dict[str, Any]:
        """Return the errors as plain values for JSON."""
        return asdict(self)


def evaluate(run: Path, truth: Path, *, output: Path | None = None) -> Evaluation:
    """Compare a run's published results with the truth.

    Parameters
    ----------
    run : Path
        Output folder of a run; results are found by name anywhere below it.
    truth : Path
        The ``truth`` folder that `simulate` wrote.
    output : Path, optional
        JSON file for the result.

    Returns
    -------
    Evaluation
        The errors.

    Raises
    ------
    InputError
        If `run` or `truth` is not what it should be.
    """
    path = truth / "truth.json"
    if not path.is_file():
        raise InputError(f"{path} does not exist", remedy="name the truth folder of a simulation")
    known = read_json(path)
    files = find_results(run)
    placements = read_placements(files)
    alignment = read_alignment(files)
    frames = _slice_frames(files, known, placements)
    drawn = _slice_frames(files, known, _as_drawn(files, known, placements, alignment))
    maps = _slice_maps(known, drawn, alignment)
    result = Evaluation(
        counts=_counts(files, known, placements, alignment),
        tiles=_tile_errors(known, placements),
        placement=placement_errors(files, truth, known, placements),
        slices=measure_slices(maps, known, _plane_um(known, alignment)),
        links=link_errors(files, known, frames),
        flatfield=flatfield_error(files, truth),
        distortion=distortion_error(files, truth),
        curvature=curvature_error(files, truth),
        volume=measure_volume(files, truth, known, (maps, _canvas_um(known, alignment))),
    )
    if output is not None:
        write_json(output, result.document())
    return result


def _present(known: Mapping[str, Any]) -> dict[int, dict[tuple[int, int], dict[str, Any]]]:
    """Slice id -> lattice index from the first row and column on disk -> the tile's truth."""
    found = {
        piece["slice_id"]: present_tiles(piece)
        for piece in known["slices"]
        if piece["fault"] != "missing"
    }
    return {slice_id: tiles for slice_id, tiles in found.items() if tiles}


def _residuals(
    tiles: Mapping[tuple[int, int], Mapping[str, Any]], placement: RunPlacement
) -> tuple[list[tuple[int, int]], F64, F64]:
    """Return indices, position errors (n, 2) less their translation, and the translation."""
    shared = [key for key in tiles if key in placement.corners_px]
    found = np.array([placement.corners_px[key] for key in shared]).reshape(-1, 2)
    true = np.array([(tiles[k]["row_px"], tiles[k]["col_px"]) for k in shared]).reshape(-1, 2)
    if not shared:
        return shared, found, np.zeros(2)
    difference = found - true
    # The median, so that one lost tile is one bad tile and not a shift of all others.
    translation = np.median(difference, axis=0)
    return shared, difference - translation, translation


def _tile_errors(
    known: Mapping[str, Any], placements: Mapping[int, RunPlacement]
) -> TileErrors | None:
    bad = set(known["bad_slices"])
    names, errors = [], []
    for slice_id, tiles in _present(known).items():
        if slice_id in placements and slice_id not in bad:
            keys, residual, _ = _residuals(tiles, placements[slice_id])
            names += [f"{slice_id}/{iy}/{ix}" for iy, ix in keys]
            errors += np.hypot(*residual.T).tolist()
    if not errors:
        return None
    return TileErrors(
        n_tiles=len(errors),
        median_px=float(np.median(errors)),
        p95_px=float(np.percentile(errors, 95)),
        worst_px=max(errors),
        worst_tile=names[int(np.argmax(errors))],
    )


def _slice_frames(
    files: PublishedFiles, known: Mapping[str, Any], placements: Mapping[int, RunPlacement]
) -> dict[int, tuple[F64, F64]]:
    """Slice id -> matrix and offset from specimen um to px of the stitched slice."""
    present = _present(known)
    frames = {}
    for piece in known["slices"]:
        slice_id = piece["slice_id"]
        placement = placements.get(slice_id)
        if slice_id in present and placement and placement.corners_px:
            _, _, translation = _residuals(present[slice_id], placement)
            frames[slice_id] = _specimen_to_slice(files, known, piece, (placement, translation))
    return frames


def _as_drawn(
    files: PublishedFiles,
    known: Mapping[str, Any],
    placements: Mapping[int, RunPlacement],
    alignment: Mapping[str, Any] | None,
) -> dict[int, RunPlacement]:
    """Put tiles where the stack draws them: islands of a slice may move against its pose."""
    result = dict(placements)
    native_um = np.array(known["native_pitch_um"][1:])
    canvas_um = _canvas_um(known, alignment)
    for entry in (alignment or {}).get("slices", ()):
        moves, slice_id = entry.get("island_moves_yx"), int(entry["slice_id"])
        if moves and slice_id in placements:
            one = placements[slice_id]
            islands = sorted(set(one.island.values()))
            if len(islands) != len(moves):
                raise InputError(
                    f"slice {slice_id}: alignment.json moves {len(moves)} islands of tiles, but "
                    f"their table has {len(islands)}",
                    remedy="compare the files of one run",
                )
            corners = {}
            for tile, corner in one.corners_px.items():
                move = np.array(moves[islands.index(one.island[tile])]) * canvas_um / native_um
                y, x = np.array(corner) - move
                corners[tile] = (float(y), float(x))
            result[slice_id] = replace(one, corners_px=corners)
    return result


def _slice_maps(
    known: Mapping[str, Any],
    frames: Mapping[int, tuple[F64, F64]],
    alignment: Mapping[str, Any] | None,
) -> list[SliceMap]:
    """Compose, per aligned slice, specimen -> px of the slice -> canvas px."""
    truths = {piece["slice_id"]: piece for piece in known["slices"]}
    maps = [
        _to_canvas(entry, truths[slice_id], *frames[slice_id])
        for entry in (alignment or {}).get("slices", ())
        if (slice_id := int(entry["slice_id"])) in frames
    ]
    return sorted(maps, key=lambda one: one.slice_id)


def _specimen_to_slice(
    files: PublishedFiles,
    known: Mapping[str, Any],
    piece: Mapping[str, Any],
    placed: tuple[RunPlacement, F64],
) -> tuple[F64, F64]:
    """Matrix and offset from specimen um to px of the stitched slice."""
    placement, translation = placed
    native_um = np.array(known["native_pitch_um"][1:])
    lattice = known["settings"]["lattice"]
    working_um, origin_px = _slice_frame(files, piece["slice_id"])
    if working_um is None:
        n = np.array(lattice["tile_shape"][1:])
        kept = np.maximum(1, np.round(n * np.minimum(1, native_um / lattice["resolution_um"])))
        working_um = n * native_um / kept
    if origin_px is None:
        corners = np.array(list(placement.corners_px.values()))
        origin_px = np.floor(corners.min(axis=0) * native_um / working_um)
    matrix = rotation(piece["angle_deg"]) / working_um[:, None]
    shift_px = np.array(piece["shift_um"]) / native_um + translation
    # A sample is at the middle of its pixel, and tiles are resampled from their outer edge.
    offset = (shift_px + 0.5) * native_um / working_um - 0.5 - origin_px
    return matrix, offset


def _canvas_um(known: Mapping[str, Any], alignment: Mapping[str, Any] | None) -> float:
    """Pitch of the canvas that the alignment speaks of."""
    wanted = known["settings"]["lattice"]["resolution_um"]
    return float((alignment or {}).get("resolution_um") or wanted)


def _plane_um(known: Mapping[str, Any], alignment: Mapping[str, Any] | None) -> float:
    """Distance of the canvas's planes."""
    pitch = (alignment or {}).get("pitch_um")
    return float(pitch[0]) if pitch else _canvas_um(known, alignment)


def _slice_frame(files: PublishedFiles, slice_id: int) -> tuple[F64 | None, F64 | None]:
    """Working pitch (um) and canvas origin (px) from any finished store of the slice."""
    from mosaicflow.io.zarr import is_finished, open_level

    for path in files.slice_stores(slice_id):
        if is_finished(path):
            level = open_level(path)
            if (origin := level.attrs.get("canvas_origin_px")) is not None:
                return 1000 * np.array(level.resolution_mm[-2:]), np.array(origin, np.float64)
    return None, None


def _to_canvas(
    entry: Mapping[str, Any], piece: Mapping[str, Any], matrix: F64, offset: F64
) -> SliceMap:
    turn = rotation(float(entry["angle_deg"]))
    # Transforms count in canvas pixels; a slice may have a pitch of its own.
    scale = np.array(entry.get("pixel_scale_yx", (1.0, 1.0)), np.float64)
    matrix, offset = scale[:, None] * matrix, scale * (offset + 0.5) - 0.5
    centre = np.array(entry["center_yx"], np.float64)
    return SliceMap(
        slice_id=int(entry["slice_id"]),
        matrix=turn @ matrix,
        offset=turn @ (offset - centre) + centre + np.array(entry["translation_yx"], np.float64),
        angle_deg=float(entry["angle_deg"]) + piece["angle_deg"],
        z_plane=float(entry["z_plane"]),
    )


def _counts(
    files: PublishedFiles,
    known: Mapping[str, Any],
    placements: Mapping[int, RunPlacement],
    alignment: Mapping[str, Any] | None,
) -> CountCheck:
    present = _present(known)
    failed = {parse_slice_id(path) for path in files.of(names.FAILURE)}
    placed = listed = given_up = lost = 0
    for slice_id, tiles in present.items():
        placement = placements.get(slice_id)
        if placement is not None:
            found = sum(key in placement.corners_px for key in tiles)
            named = sum(key in placement.unplaced for key in tiles)
            placed, listed, lost = placed + found, listed + named, lost + len(tiles) - found - named
        elif slice_id in failed:
            given_up += len(tiles)
        else:
            lost += len(tiles)
    return CountCheck(
        tiles_in=sum(len(tiles) for tiles in present.values()),
        tiles_placed=placed,
        tiles_listed=listed,
        tiles_failed=given_up,
        tiles_unaccounted=lost,
        slices_in=len(present),
        slices_aligned=len(alignment["slices"]) if alignment else 0,
        slices_excluded=sum(
            one["status"] == "excluded" for one in (alignment or {}).get("left_out", ())
        ),
        slices_failed=len(failed),
    )
