"""Writing geometries: particles, points, meshes and label volumes."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mosaicflow.formats.ground.output import finished_file
from mosaicflow.formats.ground.properties import VertexPropertyContainer
from mosaicflow.formats.ground.records import GeometryData, number_table
from mosaicflow.formats.ground.rotations import (
    matrices_from_quaternions,
    quaternions_from_normals,
    unit_quaternions,
)
from mosaicflow.formats.meshes.writer import write_meshes
from mosaicflow.formats.particles.orientations import RELION_5, OrientationsWriter
from mosaicflow.formats.particles.relion import ANGLES, CENTERED, COORDINATES, SIZES
from mosaicflow.formats.volumes.files import write_density

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

    from mosaicflow.formats.ground.source import FilePath

__all__ = [
    "resolve_writer",
    "write_geometries",
    "write_meshes",
    "write_ndjson",
    "write_star",
    "write_tsv",
    "write_volume",
    "write_xyz",
]

# Columns that the writer sets itself; those of a file that was read would contradict them.
_RESERVED = {"entity", "_rlnClassNumber", *COORDINATES, *CENTERED, *ANGLES}
_SCORE, _SCORE_COLUMN = "pytme_score", "_pytmeScore"


class Geometry(Protocol):
    """What an application hands over; points in angstrom."""

    sampling_rate: Any
    vertex_properties: VertexPropertyContainer | None
    model: Any

    def get_point_data(self) -> tuple[Any, Any, Any]:
        """Return points (N, 3), normals (N, 3) or None, quaternions (N, 4) or None."""


def write_star(
    records: Sequence[GeometryData],
    path: FilePath,
    sampling: ArrayLike | None = None,
    shape: ArrayLike | None = None,
    relion_5_format: bool = False,
    *,
    version: str | None = None,
    source_path: FilePath | None = None,
    **_: object,
) -> None:
    """Write records as RELION particles.

    Parameters
    ----------
    records : sequence of GeometryData
        Their index is written as class number, the properties they share as columns.
    path : str or path-like
        Target.
    sampling : array-like, optional
        Angstrom per voxel of the coordinates; the records' own if not given.
    shape : array-like, shape (3,), optional
        Size of the tomogram in voxels, (x, y, z); RELION 5 needs it.
    relion_5_format : bool
        Write angstrom from the tomogram's centre.
    version : str, optional
        Comment line such as ``"# version 30001"``.
    source_path : str or path-like, optional
        Tomogram or micrograph the particles come from.

    Raises
    ------
    ValueError
        If the RELION 5 format lacks the shape.
    """
    # Its column names alone would make voxels from the corner pass for angstrom from the centre.
    relion_5_format = relion_5_format or version == RELION_5
    if relion_5_format and shape is None:
        raise ValueError("the RELION 5 format counts from the tomogram's centre: give its shape")
    pixel_size = _isotropic(_common_sampling(records, sampling), path)
    points = _joined(records, pixel_size)
    quaternions = np.concatenate([np.empty((0, 4)), *map(_quaternions, records)])
    entities = np.repeat(np.arange(len(records)), [len(_points(r)) for r in records])
    properties = _shared_properties(records, len(points))
    optics: dict[str, object] = {"_rlnOpticsGroup": 1, "_rlnOpticsGroupName": "opticsGroup1"}
    optics["_rlnImagePixelSize"] = pixel_size
    properties["_rlnOpticsGroup"] = np.ones(len(points), dtype=np.int64)
    if relion_5_format:
        size = _voxel_counts(shape)
        points = (points.astype(np.float64) - size // 2) * pixel_size
        version = RELION_5
        optics["_rlnTomoTiltSeriesPixelSize"] = pixel_size
        properties |= {n: np.full(len(points), s) for n, s in zip(SIZES, size, strict=True)}
    elif version is not None and source_path is not None:
        # RELION 4 tells its tomograms apart by name, and counts unbinned pixels.
        optics["_rlnTomoTiltSeriesPixelSize"] = pixel_size
        properties["_rlnTomoName"] = np.full(len(points), str(source_path))
        source_path = None
    OrientationsWriter(points, quaternions, entities).to_file(
        path, "star", version=version, source_path=source_path, properties=properties, optics=optics
    )


def write_tsv(
    records: Sequence[GeometryData],
    path: FilePath,
    sampling: ArrayLike | None = None,
    shape: ArrayLike | None = None,
    relion_5_format: bool = False,
    **_: object,
) -> None:
    """Write records as an oriented table; `detail` is a record's index.

    Parameters
    ----------
    records : sequence of GeometryData
        Points with or without orientation.
    path : str or path-like
        Target.
    sampling : array-like, optional
        Angstrom per unit of the written coordinates; each record's own if not given.
    shape, relion_5_format
        Not used.
    """
    points = _joined(records, sampling)
    quaternions = np.concatenate([np.empty((0, 4)), *map(_quaternions, records)])
    entities = np.repeat(np.arange(len(records)), [len(_points(r)) for r in records])
    OrientationsWriter(points, quaternions, entities).to_file(path, "tsv")


def write_xyz(
    records: Sequence[GeometryData],
    path: FilePath,
    sampling: ArrayLike | None = None,
    shape: ArrayLike | None = None,
    relion_5_format: bool = False,
    **_: object,
) -> None:
    """Write the points of all records as comma-separated ``x,y,z``.

    Parameters
    ----------
    records, path, sampling, shape, relion_5_format
        As of `write_tsv`.
    """
    with finished_file(path) as draft, draft.open("w", encoding="utf-8", newline="\n") as out:
        out.write("x,y,z\n")
        for record in records:
            rows: list[list[float]] = _scaled(record, sampling).tolist()
            out.writelines(f"{x!r},{y!r},{z!r}\n" for x, y, z in rows)


def write_ndjson(
    records: Sequence[GeometryData],
    path: FilePath,
    sampling: ArrayLike | None = None,
    shape: ArrayLike | None = None,
    relion_5_format: bool = False,
    **_: object,
) -> None:
    """Write the points of all records as oriented points of the CryoET Data Portal.

    Parameters
    ----------
    records, path, sampling, shape, relion_5_format
        As of `write_tsv`.
    """
    with finished_file(path) as draft, draft.open("w", encoding="utf-8", newline="\n") as out:
        for record in records:
            points: list[list[float]] = _scaled(record, sampling).tolist()
            matrices = matrices_from_quaternions(_quaternions(record)).tolist()
            out.writelines(_json_line(p, m) for p, m in zip(points, matrices, strict=True))


def write_volume(
    records: Sequence[GeometryData],
    path: FilePath,
    sampling: ArrayLike | None = None,
    shape: ArrayLike | None = None,
    relion_5_format: bool = False,
    *,
    file_format: str | None = None,
    **_: object,
) -> None:
    """Write records as a label volume: index + 1 at each point, later records win.

    Parameters
    ----------
    records : sequence of GeometryData
        Points; those outside are dropped with a `UserWarning`.
    path : str or path-like
        Target.
    sampling : array-like, optional
        Voxel size, angstrom; the records' own if not given.
    shape : array-like, shape (3,), optional
        Voxels along x, y, z; just enough for the points if not given.
    relion_5_format
        Not used.
    file_format : str, optional
        em, h5, nii, nrrd, anything else is MRC; from the extension if not given.

    Raises
    ------
    ValueError
        If there are more records than labels that a volume can hold, 2**24.
    """
    rate = _common_sampling(records, sampling)
    size = _enough_voxels(records, rate) if shape is None else _voxel_counts(shape)
    labels = np.zeros(tuple(size.tolist()), dtype=_label_type(len(records)))
    dropped = 0
    for index, record in enumerate(records):
        places = np.round(_angstrom(record) / rate)
        inside = np.all((places >= 0) & (places < size), axis=1)
        dropped += int(np.count_nonzero(~inside))
        x, y, z = places[inside].astype(np.int64).T
        labels[x, y, z] = index + 1
    if dropped:
        warnings.warn(
            f"{path}: {dropped} points lie outside of {size.tolist()} voxels and are dropped",
            stacklevel=2,
        )
    write_density(labels, path, sampling_rate=rate, file_format=file_format)


_WRITERS: dict[str, Callable[..., None]] = {
    "star": write_star,
    "tsv": write_tsv,
    "xyz": write_xyz,
    "ndjson": write_ndjson,
    **dict.fromkeys(("obj", "stl", "ply", "tsi", "q"), write_meshes),
    **dict.fromkeys(("mrc", "map", "em", "h5", "nii", "nrrd"), write_volume),
}


def resolve_writer(format: str) -> Callable[..., None]:
    """Return the writer of a format.

    Parameters
    ----------
    format : str
        Extension without dot, any case.

    Returns
    -------
    callable
        Takes records and a path.

    Raises
    ------
    ValueError
        If it is unknown.
    """
    writer = _WRITERS.get(format.lower())
    if writer is None:
        raise ValueError(f"Unsupported format '{format}', use {', '.join(_WRITERS)}")
    return writer


def write_geometries(
    geometries: Iterable[Geometry | GeometryData],
    file_path: FilePath | Sequence[FilePath],
    *,
    format: str = "star",
    shape: ArrayLike | None = None,
    sampling: ArrayLike | None = None,
    relion_5_format: bool = False,
    **options: Any,  # noqa: ANN401  by format
) -> None:
    """Export geometries.

    Parameters
    ----------
    geometries : iterable of Geometry or GeometryData
        Objects with ``get_point_data()``, ``sampling_rate``, ``vertex_properties`` and ``model``,
        points in angstrom; or records. Without any, nothing is written.
    file_path : path-like or sequence of path-like
        One file for all, or one each.
    format : str
        star, tsv, xyz, ndjson, obj, stl, ply, tsi, q, mrc, map, em, h5, nii or nrrd.
    shape : array-like, shape (3,), optional
        Extent in voxels, (x, y, z); just enough for the points if not given.
    sampling : array-like, optional
        Angstrom per voxel; the largest among the geometries if not given.
    relion_5_format : bool
        For star: angstrom from the tomogram's centre.
    **options
        For star: ``version`` and ``source_path``.

    Raises
    ------
    ValueError
        If the format is unknown, or the files are not as many as the geometries.
    TypeError
        If one is no geometry.
    """
    writer = resolve_writer(format)
    records = [_record(geometry) for geometry in geometries]
    if not records:
        return
    targets = _targets(file_path, records)
    rate = _common_sampling(records, sampling)
    if shape is None:
        shape = _enough_voxels(records, rate)
        if relion_5_format and format.lower() == "star":
            warnings.warn(
                f"no shape given: the tomogram is taken to have {shape.tolist()} voxels",
                stacklevel=2,
            )
    # What was asked for, whatever the file is called.
    options |= {"relion_5_format": relion_5_format, "file_format": format}
    for target, chosen in targets:
        writer(chosen, target, sampling=rate, shape=shape, **options)


def _targets(
    file_path: FilePath | Sequence[FilePath], records: list[GeometryData]
) -> Iterator[tuple[FilePath, list[GeometryData]]]:
    if not isinstance(file_path, list | tuple):
        return iter([(file_path, records)])  # type: ignore[list-item]
    if len(file_path) != len(records):
        raise ValueError(
            f"file_path list length {len(file_path)} does not match {len(records)} geometries"
        )
    return ((path, [record]) for path, record in zip(file_path, records, strict=True))


def _record(geometry: Geometry | GeometryData) -> GeometryData:
    if isinstance(geometry, GeometryData):
        return geometry
    if not hasattr(geometry, "get_point_data"):
        raise TypeError(
            f"a {type(geometry).__name__} is no geometry: GeometryData, or an object with "
            "get_point_data() is expected"
        )
    points, normals, quaternions = geometry.get_point_data()
    rate = _triple(geometry.sampling_rate)
    return GeometryData(
        vertices=number_table(points, "points", 3, np.float64) / rate,
        normals=normals,
        quaternions=quaternions,
        vertex_properties=geometry.vertex_properties,
        sampling=tuple(rate.tolist()),
        model=geometry.model,
    )


def _triple(sampling: ArrayLike) -> NDArray[np.float64]:
    rate = np.broadcast_to(np.asarray(sampling, dtype=np.float64), 3)
    if not np.all(np.isfinite(rate) & (rate > 0)):
        raise ValueError(f"sampling {rate.tolist()}, positive numbers are expected")
    return rate


def _points(record: GeometryData) -> NDArray[np.float64]:
    vertices = [] if record.vertices is None else record.vertices
    points = number_table(vertices, "vertices", 3, np.float64)
    if not np.all(np.isfinite(points)):
        raise ValueError("a point is not finite and cannot be written")
    return points


def _angstrom(record: GeometryData) -> NDArray[np.float64]:
    return np.asarray(_points(record) * _triple(record.sampling))


def _scaled(record: GeometryData, sampling: ArrayLike | None) -> NDArray[np.float64]:
    return (
        _points(record) if sampling is None else np.asarray(_angstrom(record) / _triple(sampling))
    )


def _joined(records: Sequence[GeometryData], sampling: ArrayLike | None) -> NDArray[Any]:
    """Points of all records; float32 stays float32, which has a much shorter exact text."""
    points = [_scaled(r, sampling).astype(_float_type(r.vertices), copy=False) for r in records]
    return np.concatenate([np.empty((0, 3), dtype=np.float32), *points])


def _float_type(vertices: Any) -> type[np.floating[Any]]:  # noqa: ANN401  whatever a record holds
    return np.float32 if getattr(vertices, "dtype", None) == np.float32 else np.float64


def _common_sampling(
    records: Sequence[GeometryData], sampling: ArrayLike | None
) -> NDArray[np.float64]:
    if sampling is not None:
        return _triple(sampling)
    rates = [_triple(record.sampling) for record in records]
    return np.asarray(np.max(rates, axis=0)) if rates else np.ones(3)


def _isotropic(rate: NDArray[np.float64], path: FilePath) -> float:
    """RELION knows one pixel size for all axes: the largest, so that angstroms stay right."""
    largest = float(rate.max())
    # Headers store float32 cell lengths, so equal voxel sizes may differ in the last digits.
    if not np.allclose(rate, largest, rtol=1e-5, atol=0):
        warnings.warn(
            f"{path}: STAR has one pixel size, {largest} is used for {rate.tolist()}", stacklevel=3
        )
    return largest


def _enough_voxels(records: Sequence[GeometryData], rate: NDArray[np.float64]) -> NDArray[np.int64]:
    clouds = map(_angstrom, records)
    largest = [(points / rate).max(axis=0) for points in clouds if len(points)]
    if not largest:
        return np.ones(3, dtype=np.int64)
    # Rounded first: 3 A / 0.1 A is a little less than 30 in floating point.
    size = np.floor(np.round(np.max(largest, axis=0), 6)).astype(np.int64) + 1
    return np.asarray(np.maximum(size, 1))


def _label_type(count: int) -> type[np.number[Any]]:
    """Type of labels up to `count` that every format has."""
    if count < 127:
        return np.int8
    if count < 65535:
        return np.uint16
    # Whole numbers beyond are no longer all different in float32.
    if count > 2**24:
        raise ValueError(f"{count} labels: float32 holds {2**24} at most")
    return np.float32


def _voxel_counts(shape: ArrayLike | None) -> NDArray[np.int64]:
    counts = number_table(np.atleast_2d(np.asarray(shape)), "shape", 3, np.int64)[0]
    if counts.min() < 1:
        raise ValueError(f"shape {counts.tolist()}, numbers of voxels (x, y, z) are expected")
    return np.asarray(counts)


def _quaternions(record: GeometryData) -> NDArray[np.float64]:
    count = len(_points(record))
    if record.quaternions is not None:
        quaternions = unit_quaternions(
            number_table(record.quaternions, "quaternions", 4, np.float64)
        )
    elif record.normals is not None:
        quaternions = quaternions_from_normals(
            number_table(record.normals, "normals", 3, np.float64)
        )
    else:
        quaternions = np.tile([1.0, 0.0, 0.0, 0.0], (count, 1))
    if len(quaternions) != count:
        raise ValueError(f"{len(quaternions)} orientations for {count} points")
    return quaternions


def _shared_properties(records: Sequence[GeometryData], count: int) -> dict[str, Any]:
    containers = [record.vertex_properties or VertexPropertyContainer() for record in records]
    filled = [c for c, r in zip(containers, records, strict=True) if len(_points(r))]
    if not filled or not all(container.properties for container in filled):
        return {}
    merged = VertexPropertyContainer.merge(filled)
    if len(merged) != count:
        return {}
    if _SCORE in merged.properties:
        # Under the label that the reader takes it from.
        merged.set_property(_SCORE_COLUMN, merged.get_property(_SCORE))
        merged.remove_property(_SCORE)
    return {name: merged.get_property(name) for name in merged.properties if name not in _RESERVED}


def _json_line(point: list[float], matrix: list[list[float]]) -> str:
    record = {
        "type": "orientedPoint",
        "location": dict(zip("xyz", point, strict=True)),
        "xyz_rotation_matrix": matrix,
    }
    return json.dumps(record, allow_nan=False) + "\n"
