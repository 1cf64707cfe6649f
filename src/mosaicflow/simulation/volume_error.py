"""Correlation of a reconstructed volume with the noise-free specimen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mosaicflow.simulation.plan import rotation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from mosaicflow.io.zarr import LevelReader
    from mosaicflow.simulation.results import RunFiles, SliceMap

__all__ = ["VolumeError", "measure_volume"]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Pose = tuple[float, float, float, float]  # shift along z, y, x in voxels and turn in degrees

_BLOCK = (32, 128, 128)  # voxels of the truth compared at a time
_MARGIN = 6  # voxels that the pose may differ from the alignment's own mean
_FIT_BLOCKS, _FIT_POINTS = 24, 3000


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
        Voxels compared.
    """

    correlation: float
    correlation_nonzero: float
    filled: float
    offset_px: tuple[float, float, float]
    angle_deg: float
    n_voxels: int


@dataclass(frozen=True, slots=True)
class _Comparison:
    """Both volumes and the mean map between them."""

    truth: LevelReader
    volume: LevelReader
    origin_um: F64
    spacing_um: float
    volume_um: F64
    canvas_per_volume: F64
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
    files: RunFiles, truth: Path, known: Mapping[str, Any], maps: Sequence[SliceMap]
) -> VolumeError | None:
    """Compare the run's volume with ``truth.ome.zarr``; None where one of them is absent."""
    store = truth / "truth.ome.zarr"
    path = next((p for p in files.stores.values() if p.parent == files.root), None)
    path = files.stores.get("3d_volume.ome.zarr", path)
    if path is None or not store.exists() or not maps:
        return None
    from mosaicflow.io.zarr import open_level

    pair = _comparison(open_level(store), open_level(path), known, maps)
    pose = _fit(pair)
    return _correlate(pair, pose)


def _comparison(
    truth: LevelReader, volume: LevelReader, known: Mapping[str, Any], maps: Sequence[SliceMap]
) -> _Comparison:
    grid = known["volume"]
    volume_um = 1000 * np.array(volume.resolution_mm)
    working_um = known["settings"]["lattice"]["resolution_um"]
    pieces = {piece["slice_id"]: piece for piece in known["slices"]}
    faces = np.array([pieces[m.slice_id]["face_um"] for m in maps])
    planes = np.array([m.z_plane for m in maps])
    depth_um = (volume.shape[0] - planes.max()) * volume_um[0]
    # All slices share one pose of the whole; its rotation is that of the mean.
    angle = float(np.mean([m.angle_deg for m in maps]))
    middle = np.array(grid["origin_um"][1:]) + grid["spacing_um"] * np.array(grid["shape"][1:]) / 2
    spot = np.mean([m(middle[None, :])[0] for m in maps], axis=0)
    matrix = rotation(angle) / volume_um[1:, None]
    return _Comparison(
        truth=truth,
        volume=volume,
        origin_um=np.array(grid["origin_um"]),
        spacing_um=grid["spacing_um"],
        volume_um=volume_um,
        canvas_per_volume=volume_um / working_um,
        matrix=matrix,
        offset=spot - matrix @ middle,
        plane=float(np.median(planes - faces / volume_um[0])),
        slices=[_imaged(known, pieces[m.slice_id], depth_um) for m in maps],
    )


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


def _coverage(pair: _Comparison, z_um: F64, place_um: F64) -> NDArray[np.bool_]:
    """Say which voxels (z, point) some aligned slice has imaged, a voxel off its border."""
    covered = np.zeros((len(z_um), len(place_um)), bool)
    edge = pair.spacing_um
    for one in pair.slices:
        planes = (z_um >= one.low_um + edge) & (z_um < one.high_um - edge)
        if not planes.any():
            continue
        here = place_um @ one.turn.T + one.shift_um
        inside = np.zeros(len(here), bool)
        for corner in one.corners_um:
            within = (here > corner + edge) & (here < corner + one.size_um - edge)
            inside |= within.all(axis=1)
        covered |= planes[:, None] & inside[None, :]
    return covered


@dataclass(frozen=True, slots=True)
class _Points:
    """Some voxels of a block: specimen position, true value, and the volume around them."""

    z_um: F64
    place_um: F64
    true: F32
    patch: F32
    start: F64

    def found(self, pair: _Comparison, pose: Pose) -> F32:
        """Return the volume at the points under a pose, float32."""
        from scipy.ndimage import map_coordinates

        at = _in_volume(pair, pose, self.z_um, self.place_um) - self.start[:, None]
        value = map_coordinates(self.patch, at, order=1, mode="nearest")
        return np.asarray(value, np.float32)


def _in_volume(pair: _Comparison, pose: Pose, z_um: F64, place_um: F64) -> F64:
    """Map specimen positions to voxel coordinates of the volume, shape (3, n)."""
    lateral = place_um @ pair.matrix.T + pair.offset
    middle = np.array(pair.volume.shape[1:]) / 2
    lateral = (lateral - middle) @ rotation(pose[3]).T + middle
    depth = z_um / pair.volume_um[0] + pair.plane
    return np.stack([depth + pose[0], lateral[:, 0] + pose[1], lateral[:, 1] + pose[2]])


def _blocks(shape: Sequence[int]) -> list[tuple[slice, slice, slice]]:
    ranges = [
        [slice(a, min(a + step, n)) for a in range(0, n, step)]
        for n, step in zip(shape, _BLOCK, strict=True)
    ]
    return [(z, y, x) for z in ranges[0] for y in ranges[1] for x in ranges[2]]


def _points(
    pair: _Comparison, block: tuple[slice, slice, slice], pose: Pose, limit: int | None
) -> _Points | None:
    """Read the imaged voxels of a block, at most `limit` of them, and the volume around."""
    z, y, x = (
        origin + pair.spacing_um * np.arange(part.start, part.stop)
        for origin, part in zip(pair.origin_um, block, strict=True)
    )
    place = np.stack(np.meshgrid(y, x, indexing="ij"), axis=-1).reshape(-1, 2)
    covered = _coverage(pair, z, place)
    chosen = np.flatnonzero(covered)
    if limit is not None and chosen.size > limit:
        chosen = np.random.default_rng(block[1].start).choice(chosen, limit, replace=False)
    if not chosen.size:
        return None
    plane, spot = np.divmod(chosen, len(place))
    z_um, place_um = z[plane], place[spot]
    at = _in_volume(pair, pose, z_um, place_um)
    margin = _MARGIN if limit is not None else 1
    low = np.maximum(np.floor(at.min(axis=1)).astype(int) - margin, 0)
    high = np.minimum(np.ceil(at.max(axis=1)).astype(int) + 1 + margin, pair.volume.shape)
    if (low >= high).any():
        return None
    patch = np.asarray(pair.volume[tuple(slice(a, b) for a, b in zip(low, high, strict=True))])
    true = np.asarray(pair.truth[block], np.float32).ravel()[chosen]
    return _Points(z_um, place_um, true, patch.astype(np.float32), low.astype(np.float64))


def _fit(pair: _Comparison) -> Pose:
    """Find the motion of the whole that makes the volumes agree best."""
    from scipy.optimize import minimize

    blocks = _blocks(pair.truth.shape)
    chosen = np.random.default_rng(0).permutation(len(blocks))[: 4 * _FIT_BLOCKS]
    none = (0.0, 0.0, 0.0, 0.0)
    sets = (_points(pair, blocks[k], none, _FIT_POINTS) for k in chosen)
    points = [p for p in sets if p is not None][:_FIT_BLOCKS]
    if not points:
        return none

    def loss(pose: F64) -> float:
        total = _Sums()
        for one in points:
            total.add(one.found(pair, (pose[0], pose[1], pose[2], pose[3])), one.true)
        return -total.correlation()

    start = np.array([[0, 0, 0, 0], [1.5, 0, 0, 0], [0, 1.5, 0, 0], [0, 0, 1.5, 0], [0, 0, 0, 0.3]])
    best = minimize(
        loss,
        start[0],
        method="Nelder-Mead",
        options={"initial_simplex": start, "xatol": 1e-3, "fatol": 1e-6, "maxfev": 250},
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
        found = points.found(pair, pose)
        everywhere.add(found, points.true)
        some = found != 0
        nonzero.add(found[some], points.true[some])
    return VolumeError(
        correlation=everywhere.correlation(),
        correlation_nonzero=nonzero.correlation(),
        filled=nonzero.n / max(everywhere.n, 1),
        offset_px=pose[:3],
        angle_deg=pose[3],
        n_voxels=everywhere.n,
    )


def _all_points(pair: _Comparison, pose: Pose) -> Iterator[_Points]:
    for block in _blocks(pair.truth.shape):
        points = _points(pair, block, pose, None)
        if points is not None:
            yield points
