"""Writing oriented points: STAR, TSV, XYZ and NDJSON."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.formats.ground.output import finished_file
from mosaicflow.formats.ground.placed_points import (
    common_sampling,
    points_of,
    scaled,
    voxel_counts,
)
from mosaicflow.formats.ground.properties import VertexPropertyContainer
from mosaicflow.formats.ground.records import GeometryData, number_table
from mosaicflow.formats.ground.rotations import (
    matrices_from_quaternions,
    quaternions_from_normals,
    unit_quaternions,
)
from mosaicflow.formats.particles.orientations import RELION_5, OrientationsWriter
from mosaicflow.formats.particles.relion import ANGLES, CENTERED, COORDINATES, SIZES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from mosaicflow.formats.ground.source import FilePath

__all__ = ["write_ndjson", "write_star", "write_tsv", "write_xyz"]

# Columns that the writer sets itself; those of a file that was read would contradict them.
_RESERVED = {"entity", "_rlnClassNumber", *COORDINATES, *CENTERED, *ANGLES}
_SCORE, _SCORE_COLUMN = "pytme_score", "_pytmeScore"


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
    pixel_size = _isotropic(common_sampling(records, sampling), path)
    points = _joined(records, pixel_size)
    quaternions = np.concatenate([np.empty((0, 4)), *map(_quaternions, records)])
    entities = np.repeat(np.arange(len(records)), [len(points_of(r)) for r in records])
    properties = _shared_properties(records, len(points))
    optics: dict[str, object] = {"_rlnOpticsGroup": 1, "_rlnOpticsGroupName": "opticsGroup1"}
    optics["_rlnImagePixelSize"] = pixel_size
    properties["_rlnOpticsGroup"] = np.ones(len(points), dtype=np.int64)
    if relion_5_format:
        size = voxel_counts(shape)
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
    entities = np.repeat(np.arange(len(records)), [len(points_of(r)) for r in records])
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
            rows: list[list[float]] = scaled(record, sampling).tolist()
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
            points: list[list[float]] = scaled(record, sampling).tolist()
            matrices = matrices_from_quaternions(_quaternions(record)).tolist()
            out.writelines(_json_line(p, m) for p, m in zip(points, matrices, strict=True))


def _joined(records: Sequence[GeometryData], sampling: ArrayLike | None) -> NDArray[Any]:
    """Points of all records; float32 stays float32, which has a much shorter exact text."""
    points = [scaled(r, sampling).astype(_float_type(r.vertices), copy=False) for r in records]
    return np.concatenate([np.empty((0, 3), dtype=np.float32), *points])


def _float_type(vertices: Any) -> type[np.floating[Any]]:  # noqa: ANN401  whatever a record holds
    return np.float32 if getattr(vertices, "dtype", None) == np.float32 else np.float64


def _isotropic(rate: NDArray[np.float64], path: FilePath) -> float:
    """RELION knows one pixel size for all axes: the largest, so that angstroms stay right."""
    largest = float(rate.max())
    # Headers store float32 cell lengths, so equal voxel sizes may differ in the last digits.
    if not np.allclose(rate, largest, rtol=1e-5, atol=0):
        warnings.warn(
            f"{path}: STAR has one pixel size, {largest} is used for {rate.tolist()}", stacklevel=3
        )
    return largest


def _quaternions(record: GeometryData) -> NDArray[np.float64]:
    count = len(points_of(record))
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
    filled = [c for c, r in zip(containers, records, strict=True) if len(points_of(r))]
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
