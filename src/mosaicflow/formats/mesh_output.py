"""Writing meshes as obj, stl, ply, tsi and q."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.formats.output import finished_file
from mosaicflow.formats.records import number_table
from mosaicflow.formats.source import extension_of
from mosaicflow.formats.stl import FACET, HEADER_BYTES
from mosaicflow.formats.topology import write_topology_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

    from mosaicflow.formats.records import GeometryData
    from mosaicflow.formats.source import FilePath

__all__ = ["write_meshes"]


def write_meshes(
    records: Sequence[GeometryData],
    path: FilePath,
    sampling: ArrayLike | None = None,
    shape: ArrayLike | None = None,
    relion_5_format: bool = False,
    *,
    file_format: str | None = None,
    **_: object,
) -> None:
    """Write vertices and triangles of all records as one mesh.

    Parameters
    ----------
    records : sequence of GeometryData
        Those whose ``model`` has a ``mesh`` (``vertices`` and ``triangles`` or ``faces``), or that
        have faces themselves.
    path : str or path-like
        Target.
    sampling, shape, relion_5_format
        Not used: a mesh keeps its own coordinates.
    file_format : str, optional
        obj, stl, ply, tsi or q; from the extension if not given.

    Raises
    ------
    ValueError
        If no record has a mesh, or one is not made of triangles of its own vertices.
    """
    models = [r.model for r in records if getattr(r.model, "mesh", None) is not None]
    if len(models) == 1 and len(records) == 1 and hasattr(models[0], "to_file"):
        models[0].to_file(path)
        return
    meshes = [mesh for record in records if (mesh := _mesh_of(record)) is not None]
    if not meshes:
        raise ValueError("No geometries have a fitted mesh model to export.")
    vertices = np.concatenate([vertices for vertices, _ in meshes])
    starts = np.cumsum([0, *(len(vertices) for vertices, _ in meshes[:-1])])
    faces = np.concatenate([f + s for (_, f), s in zip(meshes, starts, strict=True)])
    kind = extension_of(path) if file_format is None else file_format.lower()
    _write(path, kind, vertices, faces)


def _mesh_of(record: GeometryData) -> tuple[NDArray[Any], NDArray[np.int64]] | None:
    mesh = getattr(record.model, "mesh", None)
    if mesh is not None:
        faces = getattr(mesh, "triangles", None)
        faces = mesh.faces if faces is None else faces
        vertices: Any = mesh.vertices
    elif record.faces is not None and len(record.faces):
        vertices, faces = record.vertices, record.faces
    else:
        return None
    dtype = np.float32 if np.asarray(vertices).dtype == np.float32 else np.float64
    corners = number_table(vertices, "vertices of a mesh", 3, dtype)
    triangles = number_table(faces, "triangles of a mesh", 3, np.int64)
    if triangles.size and not 0 <= triangles.min() <= triangles.max() < len(corners):
        raise ValueError(f"a triangle refers to a vertex that is none of {len(corners)}")
    return corners, triangles


def _write(path: FilePath, kind: str, vertices: NDArray[Any], faces: NDArray[np.int64]) -> None:
    if kind in ("tsi", "q"):
        # The membrane must lie within its periodic box.
        box = vertices.max(axis=0) + 1.0
        data = {"box": box, "vertices": vertices, "faces": faces}
        write_topology_file(path, data, tsi_format=kind == "tsi")
        return
    writers = {"obj": _write_obj, "stl": _write_stl, "ply": _write_ply}
    if kind not in writers:
        raise ValueError(f"{path}: '{kind}' is no mesh format, use {', '.join(writers)}")
    with finished_file(path) as draft:
        writers[kind](draft, vertices, faces)


def _write_obj(path: Path, vertices: NDArray[Any], faces: NDArray[np.int64]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as out:
        out.writelines(f"v {x!r} {y!r} {z!r}\n" for x, y, z in vertices.tolist())
        out.writelines(f"f {a} {b} {c}\n" for a, b, c in (faces + 1).tolist())


def _write_stl(path: Path, vertices: NDArray[Any], faces: NDArray[np.int64]) -> None:
    facets = np.zeros(len(faces), dtype=FACET)
    corners = vertices[faces].astype(np.float64)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    facets["normal"] = normals / np.where(length > 0, length, 1.0)
    facets["corners"] = corners
    with path.open("wb") as out:
        # Must not begin with "solid", which marks the text form.
        out.write(b"binary STL by mosaicflow".ljust(HEADER_BYTES - 4))
        out.write(len(faces).to_bytes(4, "little"))
        out.write(facets.tobytes())


def _write_ply(path: Path, vertices: NDArray[Any], faces: NDArray[np.int64]) -> None:
    kind = "float" if vertices.dtype == np.float32 else "double"
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"element vertex {len(vertices)}",
        *(f"property {kind} {axis}" for axis in "xyz"),
        f"element face {len(faces)}",
        "property list uchar int vertex_indices",
        "end_header",
    ]
    rows = np.empty(len(faces), dtype=[("size", "u1"), ("corners", "<i4", 3)])
    rows["size"], rows["corners"] = 3, faces
    with path.open("wb") as out:
        out.write(("\n".join(header) + "\n").encode("ascii"))
        out.write(vertices.astype(vertices.dtype.newbyteorder("<")).tobytes())
        out.write(rows.tobytes())
