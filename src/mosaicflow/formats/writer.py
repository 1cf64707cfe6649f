"""Writing geometries in any format, by its name."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mosaicflow.formats.ground.placed_points import (
    common_sampling,
    enough_voxels,
    triple,
)
from mosaicflow.formats.ground.records import GeometryData, number_table
from mosaicflow.formats.meshes.writer import write_meshes
from mosaicflow.formats.particles.writer import write_ndjson, write_star, write_tsv, write_xyz
from mosaicflow.formats.volumes.labels import write_volume

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import ArrayLike

    from mosaicflow.formats.ground.properties import VertexPropertyContainer
    from mosaicflow.formats.ground.source import FilePath

__all__ = ["resolve_writer", "write_geometries"]


class PointGeometry(Protocol):
    """What an application hands over; points in angstrom."""

    sampling_rate: Any
    vertex_properties: VertexPropertyContainer | None
    model: Any

    def get_point_data(self) -> tuple[Any, Any, Any]:
        """Return points (N, 3), normals (N, 3) or None, quaternions (N, 4) or None."""


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
    geometries: Iterable[PointGeometry | GeometryData],
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
    geometries : iterable of PointGeometry or GeometryData
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
    rate = common_sampling(records, sampling)
    if shape is None:
        shape = enough_voxels(records, rate)
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


def _record(geometry: PointGeometry | GeometryData) -> GeometryData:
    if isinstance(geometry, GeometryData):
        return geometry
    if not hasattr(geometry, "get_point_data"):
        raise TypeError(
            f"a {type(geometry).__name__} is no geometry: GeometryData, or an object with "
            "get_point_data() is expected"
        )
    points, normals, quaternions = geometry.get_point_data()
    rate = triple(geometry.sampling_rate)
    return GeometryData(
        vertices=number_table(points, "points", 3, np.float64) / rate,
        normals=normals,
        quaternions=quaternions,
        vertex_properties=geometry.vertex_properties,
        sampling=tuple(rate.tolist()),
        model=geometry.model,
    )
