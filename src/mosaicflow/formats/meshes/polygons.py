"""Polygons to triangles, and the checks every mesh must pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.formats.ground.errors import FormatError
from mosaicflow.formats.ground.properties import VertexPropertyContainer
from mosaicflow.formats.ground.records import LARGEST_COORDINATE, GeometryDataContainer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from mosaicflow.formats.ground.source import FilePath

__all__ = ["fan_triangles", "mesh_container", "strip_triangles"]


def fan_triangles(corners: NDArray[Any], sizes: NDArray[Any]) -> NDArray[np.int64]:
    """Split polygons into triangles that share the polygon's first corner.

    Parameters
    ----------
    corners : ndarray, shape (sum of sizes,)
        Vertex indices of all polygons, one after another.
    sizes : ndarray, shape (M,)
        Corners of each polygon, at least 3.

    Returns
    -------
    ndarray, shape (sum of sizes - 2, 3), int64
        In the order of the polygons, orientation kept.
    """
    corners = np.asarray(corners, dtype=np.int64)
    sizes = np.asarray(sizes, dtype=np.int64)
    first, step = _positions(sizes)
    return np.stack([corners[first], corners[first + step + 1], corners[first + step + 2]], axis=1)


def strip_triangles(corners: NDArray[Any], sizes: NDArray[Any]) -> NDArray[np.int64]:
    """Split triangle strips into triangles of one orientation.

    Parameters
    ----------
    corners : ndarray, shape (sum of sizes,)
        Vertex indices of all strips, one after another.
    sizes : ndarray, shape (M,)
        Corners of each strip, at least 3.

    Returns
    -------
    ndarray, shape (sum of sizes - 2, 3), int64
    """
    corners = np.asarray(corners, dtype=np.int64)
    first, step = _positions(np.asarray(sizes, dtype=np.int64))
    odd = step % 2
    a, b, c = corners[first + step], corners[first + step + 1], corners[first + step + 2]
    # Every second triangle of a strip turns the other way.
    return np.stack([a, np.where(odd, c, b), np.where(odd, b, c)], axis=1)


def _positions(sizes: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each triangle: where its polygon's corners begin, and its number in the polygon."""
    counts = sizes - 2
    starts = np.cumsum(sizes) - sizes
    before = np.cumsum(counts) - counts
    step = np.arange(int(counts.sum())) - np.repeat(before, counts)
    return np.repeat(starts, counts), step


def mesh_container(
    path: FilePath,
    vertices: NDArray[Any],
    faces: NDArray[Any],
    *,
    normals: NDArray[Any] | None = None,
    properties: Mapping[str, NDArray[Any]] | None = None,
) -> GeometryDataContainer:
    """Check a mesh and wrap it as the one entity of its file.

    Parameters
    ----------
    path : str or path-like
        The file, for messages.
    vertices, normals : ndarray, shape (N, 3)
        (x, y, z).
    faces : ndarray, shape (M, 3)
        Triangles, 0-based.
    properties : mapping of str to ndarray, shape (N, ...)
        Values of vertices.

    Returns
    -------
    GeometryDataContainer

    Raises
    ------
    FormatError
        If there is no vertex, one is not finite, a face refers to one that is not there, or a
        normal or property is no number of its type.
    """
    if len(vertices) == 0:
        raise FormatError(path, "the file has no vertices")
    bad = ~(np.abs(vertices) <= LARGEST_COORDINATE).all(axis=1)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise FormatError(path, f"vertex {row} is {vertices[row].tolist()}, not finite")
    outside = (faces < 0) | (faces >= len(vertices))
    if outside.any():
        face = int(np.flatnonzero(outside.any(axis=1))[0])
        raise FormatError(
            path,
            f"triangle {face} refers to vertices {faces[face].tolist()}, "
            f"there are {len(vertices)} (0-based)",
        )
    try:
        return GeometryDataContainer(
            vertices=[vertices],
            normals=None if normals is None else [normals],
            faces=[faces],
            vertex_properties=[VertexPropertyContainer(properties)],
        )
    except ValueError as error:
        raise FormatError(path, str(error)) from error
