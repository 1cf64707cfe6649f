"""Errors of placed tiles, told apart by what their place rests on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mosaicflow import names
from mosaicflow.io.tables import parse_bool, read_csv
from mosaicflow.names import parse_slice_id
from mosaicflow.simulation.plan import rotation

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from mosaicflow.simulation.results import PublishedFiles, RunPlacement

    Tile = tuple[int, int]

__all__ = ["SlicePlacementScore", "placement_errors"]

F64 = NDArray[np.float64]

_FALSE_PX = 1.0  # a tile further off than this is not where evidence could have put it
_LEAST_WIDTH_PX = 8  # of a true overlap that ought to tell a shift
_TISSUE_SHARE = 0.25  # of such an overlap that shows tissue
_TISSUE = 0.1  # reflectivity above that of gel; tissue has about 1
_PLANES = 6  # of the imaged depth that are looked at for tissue


@dataclass(frozen=True, slots=True)
class SlicePlacementScore:
    """How the tiles of one slice were placed; distances in native px, as in `TileErrors`.

    Parameters
    ----------
    slice_id, n_tiles : int
        The slice, and the tiles compared.
    n_due : int
        Tiles that overlaps at least 8 px wide, a quarter of them tissue, join to the largest part.
    n_due_by_evidence : int
        Those of them whose place is called measured.
    n_evidence : int
        All tiles whose place is called measured.
    evidence_p95_px, evidence_worst_px : float
        Errors of these; NaN without one.
    stage_worst_px : float
        Largest error of the others; NaN without one.
    false_tiles : tuple of str
        Tiles called measured that are more than 1 px off, slice/y/x.
    missed_tiles : tuple of str
        Due tiles that are not called measured.
    n_islands : int
        Tiles or groups that no overlap joins to the largest part, as the run says.
    link_calibration, tile_calibration : float
        Root mean square, per axis, of errors over the standard errors that the run claims, of the
        links it used and of the tiles it calls measured; NaN where the run does not tell.
    """

    slice_id: int
    n_tiles: int
    n_due: int
    n_due_by_evidence: int
    n_evidence: int
    evidence_p95_px: float
    evidence_worst_px: float
    stage_worst_px: float
    false_tiles: tuple[str, ...]
    missed_tiles: tuple[str, ...]
    n_islands: int
    link_calibration: float
    tile_calibration: float

    @property
    def share_by_evidence(self) -> float:
        """Share of the due tiles whose place is called measured; 1 where none is due."""
        return self.n_due_by_evidence / self.n_due if self.n_due else 1.0


def placement_errors(
    files: PublishedFiles,
    truth: Path,
    known: Mapping[str, Any],
    placements: Mapping[int, RunPlacement],
) -> tuple[SlicePlacementScore, ...]:
    """Compare every placed slice with the truth; bad slices are left out.

    Parameters
    ----------
    files : PublishedFiles
        Files of the run.
    truth : Path
        Folder of the truth.
    known : mapping
        truth.json.
    placements : mapping
        Slice id -> where the run put its tiles.
    """
    bad = set(known["bad_slices"])
    tissue = _TissueMap(truth, known)
    residuals = {parse_slice_id(path): path for path in files.of(names.RESIDUALS)}
    found = []
    for piece in known["slices"]:
        slice_id = piece["slice_id"]
        if slice_id not in placements or slice_id in bad or piece["fault"] == "missing":
            continue
        tiles = present_tiles(piece)
        due = _due(tiles, known, lambda low, high, piece=piece: tissue.share(piece, low, high))
        found.append(_slice(placements[slice_id], tiles, due, residuals.get(slice_id)))
    return tuple(found)


def present_tiles(piece: Mapping[str, Any]) -> dict[Tile, dict[str, Any]]:
    """Lattice index, from the first row and column on disk -> the tile's truth."""
    tiles = [tile for tile in piece["tiles"] if tile["fault"] != "missing"]
    first = [min((t[axis] for t in tiles), default=0) for axis in ("iy", "ix")]
    return {(tile["iy"] - first[0], tile["ix"] - first[1]): tile for tile in tiles}


def _slice(
    placement: RunPlacement,
    tiles: Mapping[Tile, Mapping[str, Any]],
    due: set[Tile],
    residuals: Path | None,
) -> SlicePlacementScore:
    shared = sorted(set(tiles) & set(placement.corners_px))
    off = np.array([np.subtract(placement.corners_px[t], _corner(tiles[t])) for t in shared])
    off = off.reshape(-1, 2)
    measured = np.array([t in placement.measured for t in shared], bool)
    off -= np.median(off[measured] if measured.any() else off, axis=0) if len(off) else 0.0
    size = np.hypot(*off.T)

    def named(which: Iterable[Tile]) -> tuple[str, ...]:
        return tuple(f"{placement.slice_id}/{iy}/{ix}" for iy, ix in which)

    sigma = np.array([placement.sigma_px.get(t, np.nan) for t in shared])
    return SlicePlacementScore(
        slice_id=placement.slice_id,
        n_tiles=len(shared),
        n_due=len(due),
        n_due_by_evidence=len(due & placement.measured),
        n_evidence=int(measured.sum()),
        evidence_p95_px=_quantile(size[measured], 95),
        evidence_worst_px=_quantile(size[measured], 100),
        stage_worst_px=_quantile(size[~measured], 100),
        false_tiles=named(t for t, far in zip(shared, size > _FALSE_PX, strict=True)
                          if far and t in placement.measured),
        missed_tiles=named(sorted(due - placement.measured)),
        n_islands=max(len({placement.island.get(t, t) for t in shared}) - 1, 0),
        link_calibration=_link_calibration(residuals, tiles, placement.first),
        tile_calibration=_rms(off[measured] / sigma[measured, None]),
    )  # fmt: skip


def _corner(tile: Mapping[str, Any]) -> tuple[float, float]:
    return tile["row_px"], tile["col_px"]


def _quantile(values: F64, percent: float) -> float:
    return float(np.percentile(values, percent)) if len(values) else float("nan")


def _rms(values: F64) -> float:
    known = values[np.isfinite(values)]
    return float(np.sqrt(np.mean(known**2))) if known.size else float("nan")


def _link_calibration(
    table: Path | None, tiles: Mapping[Tile, Mapping[str, Any]], first: Tile
) -> float:
    """Errors of used links over what the run says of them."""
    if table is None:
        return float("nan")
    scaled = []
    for row in read_csv(table, ["iy_a", "ix_a", "iy_b", "ix_b", "dy_px", "dx_px", "sigma_px"]):
        a, b = (
            (int(row[f"iy_{end}"]) - first[0], int(row[f"ix_{end}"]) - first[1]) for end in "ab"
        )
        if parse_bool(row["used"], str(table)) and a in tiles and b in tiles:
            true = np.subtract(_corner(tiles[b]), _corner(tiles[a]))
            error = np.array([float(row["dy_px"]), float(row["dx_px"])]) - true
            scaled.append(error / float(row["sigma_px"]))
    return _rms(np.array(scaled).reshape(-1, 2))


def _due(
    tiles: Mapping[Tile, Mapping[str, Any]],
    known: Mapping[str, Any],
    tissue_share: Any,  # noqa: ANN401
) -> set[Tile]:
    """Tiles that overlaps with tissue join to the largest such part."""
    from mosaicflow.mosaic.islands import connected_parts
    from mosaicflow.mosaic.lattice import neighbours
    from mosaicflow.mosaic.link import Link

    shape = np.array(known["settings"]["lattice"]["tile_shape"][1:])
    links = []
    for a, b in neighbours(tiles):
        if tiles[a]["fault"] == "empty" or tiles[b]["fault"] == "empty":
            continue
        corners = np.array([_corner(tiles[a]), _corner(tiles[b])])
        low, high = corners.max(axis=0), corners.min(axis=0) + shape
        if (high - low).min() >= _LEAST_WIDTH_PX and tissue_share(low, high) >= _TISSUE_SHARE:
            links.append(Link(a, b, (0.0, 0.0), 1.0, 1.0))
    parts: dict[Tile, set[Tile]] = {}
    for tile, name in connected_parts(links).items():
        parts.setdefault(name, set()).add(tile)
    return max(parts.values(), key=len, default=set())


class _TissueMap:
    """Where there is tissue in the truth volume; everywhere, if it was not written."""

    def __init__(self, truth: Path, known: Mapping[str, Any]) -> None:
        from mosaicflow.io.zarr import open_level

        store = truth / "truth.ome.zarr"
        self._level = open_level(store) if store.exists() else None
        self._known = known
        self._seen: dict[int, NDArray[np.bool_]] = {}

    def share(self, piece: Mapping[str, Any], low_px: F64, high_px: F64) -> float:
        """Share of a rectangle of a slice, corners (y, x) in native px, that shows tissue."""
        if self._level is None:
            return 1.0
        pitch = np.array(self._known["native_pitch_um"][1:])
        grid = self._known["volume"]
        steps = [np.linspace(a, b, 24) for a, b in zip(low_px, high_px, strict=True)]
        spots = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).reshape(-1, 2) * pitch
        place = (spots - piece["shift_um"]) @ rotation(-piece["angle_deg"]).T
        at = np.rint((place - grid["origin_um"][1:]) / grid["spacing_um"]).astype(int)
        seen = self._tissue(piece)
        inside = ((at >= 0) & (at < seen.shape)).all(axis=1)
        y, x = np.where(inside[:, None], at, 0).T
        return float(np.mean(seen[y, x] & inside))

    def _tissue(self, piece: Mapping[str, Any]) -> NDArray[np.bool_]:
        slice_id = piece["slice_id"]
        if slice_id not in self._seen:
            self._seen[slice_id] = self._tissue_at(float(piece["face_um"]))
        return self._seen[slice_id]

    def _tissue_at(self, face_um: float) -> NDArray[np.bool_]:
        """Tell tissue from gel by the mean over the imaged depth."""
        level = self._level
        if level is None:
            return np.zeros((0, 0), bool)
        lattice = self._known["settings"]["lattice"]
        imaged_um = lattice["tile_shape"][0] * lattice["pitch_um"][0] - lattice["water_um"]
        um = self._known["volume"]["spacing_um"]
        planes = np.unique((face_um + np.linspace(0.1, 0.9, _PLANES) * imaged_um) // um)
        planes = planes[planes < level.shape[0]].astype(int)
        mean = np.mean([level[int(z)] for z in planes], axis=0)
        gel = self._known["settings"]["specimen"]["agarose"]
        step = level.attrs["reflectivity_step"]
        return np.asarray(mean * step > gel + _TISSUE)
