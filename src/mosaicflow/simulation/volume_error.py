"""Correlation of a reconstructed volume with the noise-free specimen."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mosaicflow.simulation.plan import rotation
from mosaicflow.simulation.plane_scores import PlaneScores, PlaneView, drawn, score_planes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from mosaicflow.io.zarr import LevelReader
    from mosaicflow.simulation.results import PublishedFiles, SliceMap

__all__ = ["VolumeError", "measure_volume", "without_image"]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Pose = tuple[float, float, float, float]  # shift along z, y, x in voxels and turn in degrees

_BLOCK = (32, 128, 128)  # voxels of the volume compared at a time
_MARGIN = 6  # voxels that the pose may differ from the alignment's own mean
_FIT_BLOCKS, _FIT_POINTS = 24, 1500
# A sample, as millions of voxels settle a correlation to the third digit and billions take hours.
_BLOCKS, _POINTS = 200, 30_000
_PLANE_BLOCK_PX = 32_000_000  # of planes held at a time, which bounds memory


@dataclass(frozen=True, slots=True)
class VolumeError:
    """How well the volume agrees with the specimen after one rigid motion of the whole.

    Parameters
    ----------
    correlation : float
        Pearson correlation over all voxels that the aligned slices have imaged.
    correlation_nonzero : float
        The same over those where the volume is not 0.
    filled : float
        Share of the imaged voxels where the volume is not 0.
    offset_px : tuple of float
        Motion found on top of the alignment's own mean, along z, y and x, in voxels.
    angle_deg : float
        Rotation found on top of it.
    n_voxels : int
        Voxels compared, a random sample where there are many.
    tissue : PlaneScores or None
        Likeness over all tissue, plane by plane; None where there is none.
    """

    correlation: float
    correlation_nonzero: float
    filled: float
    offset_px: tuple[float, float, float]
    angle_deg: float
    n_voxels: int
    tissue: PlaneScores | None


@dataclass(frozen=True, slots=True)
class _Comparison:
    """Both volumes and the mean map between them."""

    truth: LevelReader
    volume: LevelReader
    origin_um: F64
    spacing_um: float
    volume_um: F64
    matrix: F64
    offset: F64
    plane: float
    slices: Sequence[_Imaged]


@dataclass(frozen=True, slots=True)
class _Imaged:
    """What one slice has imaged: depths (um) and tile corners (um) in its own frame."""

    low_um: float
    high_um: float
    turn: F64
    shift_um: F64
    corners_um: F64
    size_um: F64


def measure_volume(
    files: PublishedFiles,
    truth: Path,
    known: Mapping[str, Any],
    aligned: tuple[Sequence[SliceMap], float],
) -> VolumeError | None:
    """Compare the run's volume with ``truth.ome.zarr``; None where one of them is absent.

    `aligned` is the map of each slice to the canvas, and the canvas's pitch in um: the volume may
    be coarser.
    """
    store = truth / "truth.ome.zarr"
    path = next((p for p in files.stores.values() if p.parent == files.root), None)
    path = files.stores.get("3d_volume.ome.zarr", path)
    if path is None or not store.exists() or not aligned[0]:
        return None
    from mosaicflow.io.zarr import open_level

    pair = _comparison(open_level(store), open_level(path), known, aligned)
    pose = _fit(pair)
    gel = float(known["settings"]["specimen"]["agarose"])
    tissue = score_planes([_plane_views(pair, pose), _plane_views(pair, pose)], gel)
    return replace(_correlate(pair, pose), tissue=tissue)


def _comparison(
    truth: LevelReader,
    volume: LevelReader,
    known: Mapping[str, Any],
    aligned: tuple[Sequence[SliceMap], float],
) -> _Comparison:
    maps, canvas_um = aligned
    grid = known["volume"]
    volume_um = 1000 * np.array(volume.resolution_mm)
    pieces = {piece["slice_id"]: piece for piece in known["slices"]}
    last = max(m.z_plane for m in maps)
    # A slice has whole planes, and its face lies in the middle of the first.
    n_planes = math.floor(volume.shape[0] * volume_um[0] / canvas_um - last)
    depth_um = (n_planes - 0.5) * canvas_um if n_planes > 1 else canvas_um
    maps = [m for m in maps if m.slice_id not in without_image(known)] or maps
    faces = np.array([pieces[m.slice_id]["face_um"] for m in maps])
    planes = np.array([m.z_plane for m in maps])
    coarser = canvas_um / volume_um
    # All slices share one pose of the whole; its rotation is that of the mean.
    angle = float(np.mean([m.angle_deg for m in maps]))
    middle = np.array(grid["origin_um"][1:]) + grid["spacing_um"] * np.array(grid["shape"][1:]) / 2
    spot = np.mean([m(middle[None, :])[0] for m in maps], axis=0)
    spot = (spot + 0.5) * coarser[1:] - 0.5
    planes = (planes + 0.5) * coarser[0] - 0.5
    matrix = rotation(angle) / volume_um[1:, None]
    return _Comparison(
        truth=truth,
        volume=volume,
        origin_um=np.array(grid["origin_um"]),
        spacing_um=grid["spacing_um"],
        volume_um=volume_um,
        matrix=matrix,
        offset=spot - matrix @ middle,
        plane=float(np.median(planes - faces / volume_um[0])),
        slices=[_imaged(known, pieces[m.slice_id], depth_um) for m in maps],
    )


def without_image(known: Mapping[str, Any]) -> set[int]:
    """Slices that do not show their own tissue; older truths name all bad ones."""
    return set(known.get("slices_without_image", known["bad_slices"]))


def _imaged(known: Mapping[str, Any], piece: Mapping[str, Any], depth_um: float) -> _Imaged:
    lattice = known["settings"]["lattice"]
    tiles = [tile for tile in piece["tiles"] if tile["fault"] in ("", "nan")]
    size = np.array(lattice["tile_shape"][1:]) * np.array(lattice["pitch_um"][1:])
    centres = 1000 * np.array([tile["centre_mm"] for tile in tiles]).reshape(-1, 2)
    return _Imaged(
        low_um=piece["face_um"],
        high_um=piece["face_um"] + depth_um,
        turn=rotation(piece["angle_deg"]),
        shift_um=np.array(piece["shift_um"]),
        corners_um=centres - size / 2,
        size_um=size,
    )


def _is_imaged(pair: _Comparison, z_um: F64, place_um: F64) -> NDArray[np.bool_]:
    """Say which points some aligned slice has imaged, a voxel off its border."""
    imaged = np.zeros(len(z_um), bool)
    edge = pair.spacing_um
    for one in pair.slices:
        here = np.flatnonzero((z_um >= one.low_um + edge) & (z_um < one.high_um - edge))
        spot = place_um[here] @ one.turn.T + one.shift_um
        inside = np.zeros(len(here), bool)
        for corner in one.corners_um:
            inside |= ((spot > corner + edge) & (spot < corner + one.size_um - edge)).all(axis=1)
        imaged[here] |= inside
    return imaged


@dataclass(frozen=True, slots=True)
class _Points:
    """Some voxels of the volume: their index and value, and the truth around them."""

    index: F64
    found: F32
    patch: F32
    start: F64

    def true(self, pair: _Comparison, pose: Pose) -> F32:
        """Return the truth at the voxels under a pose, float32.

        The truth is interpolated and never the volume: noise averaged by interpolation would pass
        for agreement, and draw the fit to half a voxel beside the right pose.
        """
        from scipy.ndimage import map_coordinates

        at = (_in_truth(pair, pose, self.index) - self.start).T
        return np.asarray(map_coordinates(self.patch, at, order=1, mode="nearest"), np.float32)


def _in_truth(pair: _Comparison, pose: Pose, index: F64) -> F64:
    """Map voxel indices of the volume to those of the truth, both shape (n, 3)."""
    place = _in_specimen(pair, pose, index)
    return np.asarray((place - pair.origin_um) / pair.spacing_um)


def _in_specimen(pair: _Comparison, pose: Pose, index: F64) -> F64:
    """Map voxel indices of the volume to positions in the specimen (um), both shape (n, 3)."""
    z_um = (index[:, 0] - pose[0] - pair.plane) * pair.volume_um[0]
    middle = np.array(pair.volume.shape[1:]) / 2
    lateral = (index[:, 1:] - pose[1:3] - middle) @ rotation(-pose[3]).T + middle
    place = (lateral - pair.offset) @ np.linalg.inv(pair.matrix).T
    return np.column_stack([z_um, place])


def _blocks(shape: Sequence[int]) -> list[tuple[slice, slice, slice]]:
    ranges = [
        [slice(a, min(a + step, n)) for a in range(0, n, step)]
        for n, step in zip(shape, _BLOCK, strict=True)
    ]
    return [(z, y, x) for z in ranges[0] for y in ranges[1] for x in ranges[2]]


def _points(
    pair: _Comparison, block: tuple[slice, slice, slice], pose: Pose, sample: tuple[int, int]
) -> _Points | None:
    """Read some voxels of a block and the volume around; `sample`: how many, and the margin."""
    limit, margin = sample
    shape = tuple(part.stop - part.start for part in block)
    first = [part.start for part in block]
    rng = np.random.default_rng(first)
    n = int(np.prod(shape))
    chosen = np.sort(rng.choice(n, limit, replace=False)) if n > limit else np.arange(n)
    index = (np.stack(np.unravel_index(chosen, shape), axis=1) + first).astype(np.float64)
    place = _in_specimen(pair, pose, index)
    imaged = _is_imaged(pair, place[:, 0], place[:, 1:])
    if not imaged.any():
        return None
    chosen, index = chosen[imaged], index[imaged]
    at = _in_truth(pair, pose, index)
    low = np.maximum(np.floor(at.min(axis=0)).astype(int) - margin, 0)
    high = np.minimum(np.ceil(at.max(axis=0)).astype(int) + 1 + margin, pair.truth.shape)
    if (low >= high).any():
        return None
    patch = pair.truth[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    found = np.asarray(pair.volume[block], np.float32).ravel()[chosen]
    return _Points(index, found, patch.astype(np.float32), low.astype(np.float64))


def _fit(pair: _Comparison) -> Pose:
    """Find the motion of the whole that makes the volumes agree best."""
    from scipy.optimize import minimize

    blocks = _blocks(pair.volume.shape)
    chosen = np.random.default_rng(0).permutation(len(blocks))[: 4 * _FIT_BLOCKS]
    none = (0.0, 0.0, 0.0, 0.0)
    sets = (_points(pair, blocks[k], none, (_FIT_POINTS, _MARGIN)) for k in chosen)
    points = [p for p in sets if p is not None][:_FIT_BLOCKS]
    if not points:
        return none

    def loss(pose: F64) -> float:
        total = _Sums()
        for one in points:
            total.add(one.found, one.true(pair, (pose[0], pose[1], pose[2], pose[3])))
        return -total.correlation()

    start = np.array([[0, 0, 0, 0], [1.5, 0, 0, 0], [0, 1.5, 0, 0], [0, 0, 1.5, 0], [0, 0, 0, 0.3]])
    best = minimize(
        loss,
        start[0],
        method="Nelder-Mead",
        options={"initial_simplex": start, "xatol": 1e-3, "fatol": 1e-6, "maxfev": 200},
    ).x
    return (float(best[0]), float(best[1]), float(best[2]), float(best[3]))


@dataclass(slots=True)
class _Sums:
    """Running sums for a correlation in one pass."""

    n: int = 0
    x: float = 0.0
    y: float = 0.0
    xx: float = 0.0
    yy: float = 0.0
    xy: float = 0.0

    def add(self, x: F32, y: F32) -> None:
        self.n += x.size
        self.x += float(x.sum(dtype=np.float64))
        self.y += float(y.sum(dtype=np.float64))
        self.xx += float(np.einsum("i,i->", x, x, dtype=np.float64))
        self.yy += float(np.einsum("i,i->", y, y, dtype=np.float64))
        self.xy += float(np.einsum("i,i->", x, y, dtype=np.float64))

    def correlation(self) -> float:
        n = max(self.n, 1)
        both = (self.xx - self.x**2 / n) * (self.yy - self.y**2 / n)
        return (self.xy - self.x * self.y / n) / both**0.5 if both > 0 else 0.0


def _correlate(pair: _Comparison, pose: Pose) -> VolumeError:
    everywhere, nonzero = _Sums(), _Sums()
    for points in _all_points(pair, pose):
        true = points.true(pair, pose)
        everywhere.add(points.found, true)
        some = points.found != 0
        nonzero.add(points.found[some], true[some])
    return VolumeError(
        correlation=everywhere.correlation(),
        correlation_nonzero=nonzero.correlation(),
        filled=nonzero.n / max(everywhere.n, 1),
        offset_px=pose[:3],
        angle_deg=pose[3],
        n_voxels=everywhere.n,
        tissue=None,
    )


def _plane_views(pair: _Comparison, pose: Pose) -> Iterator[PlaneView]:
    """Give every plane between the first and the last face; of a lone slice, all it imaged."""
    faces = [one.low_um for one in pair.slices]
    last_um = max(faces) if max(faces) > min(faces) else max(one.high_um for one in pair.slices)
    n_z, n_y, n_x = pair.volume.shape
    z_um = (np.arange(n_z) - pose[0] - pair.plane) * pair.volume_um[0]
    # Voxels that lie below a face, and above where a slice ends, as a whole: one that a face cuts
    # is half water.
    half_um = pair.volume_um[0] / 2
    planes = np.flatnonzero((z_um - half_um >= min(faces)) & (z_um + half_um <= last_um))
    z_true = (z_um - pair.origin_um[0]) / pair.spacing_um
    planes = planes[(z_true[planes] >= 0) & (z_true[planes] <= pair.truth.shape[0] - 1)]
    corners = _in_truth(pair, pose, np.array([[0.0, 0, 0], [0.0, 1, 0], [0.0, 0, 1]]))[:, 1:]
    matrix = np.stack([corners[1] - corners[0], corners[2] - corners[0]], axis=1)
    masks = [_imaged_px(pair, pose, one) for one in pair.slices]
    step = int(np.clip(_PLANE_BLOCK_PX // (n_y * n_x), 1, _BLOCK[0]))
    for start in range(0, len(planes), step):
        block = planes[start : start + step]
        low = int(z_true[block[0]])
        high = min(int(z_true[block[-1]]) + 2, pair.truth.shape[0])
        truth = pair.truth[low:high].astype(np.float32)
        found = np.asarray(pair.volume[int(block[0]) : int(block[-1]) + 1], np.float32)
        for k in block.tolist():
            below = min(int(z_true[k]) - low, len(truth) - 1)
            share = np.float32(z_true[k] - low - below)
            plane = truth[below] * (1 - share) + truth[min(below + 1, len(truth) - 1)] * share
            imaged = np.zeros((n_y, n_x), bool)
            for one, mask in zip(pair.slices, masks, strict=True):
                if one.low_um + half_um <= z_um[k] <= one.high_um - half_um:
                    imaged |= mask
            true = drawn(plane, matrix, corners[0], (n_y, n_x))
            yield PlaneView(k, found[k - block[0]], true, imaged)


def _imaged_px(pair: _Comparison, pose: Pose, one: _Imaged) -> NDArray[np.bool_]:
    """Pixels of the volume that a slice has imaged at any depth, a voxel off its border."""
    n_y, n_x = pair.volume.shape[1:]
    rows, columns = (one.ravel() for one in np.indices((n_y, n_x)))
    index = np.column_stack([np.zeros(len(rows)), rows, columns]).astype(np.float64)
    spot = _in_specimen(pair, pose, index)[:, 1:] @ one.turn.T + one.shift_um
    inside = np.zeros(len(spot), bool)
    for corner in one.corners_um:
        edge = pair.spacing_um
        inside |= ((spot > corner + edge) & (spot < corner + one.size_um - edge)).all(axis=1)
    return inside.reshape(n_y, n_x)


def _all_points(pair: _Comparison, pose: Pose) -> Iterator[_Points]:
    blocks = _blocks(pair.volume.shape)
    chosen = np.random.default_rng(1).permutation(len(blocks))[:_BLOCKS]
    for block in (blocks[number] for number in sorted(chosen)):
        points = _points(pair, block, pose, (_POINTS, 1))
        if points is not None:
            yield points
