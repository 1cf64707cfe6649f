"""Writing meshes as obj, stl, ply, glb, tsi and q."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.formats.ground.output import finished_file
from mosaicflow.formats.ground.records import number_table
from mosaicflow.formats.ground.source import extension_of
from mosaicflow.formats.meshes.glb_output import write_glb
from mosaicflow.formats.meshes.stl import FACET, HEADER_BYTES
from mosaicflow.formats.meshes.text import COLORS
from mosaicflow.formats.meshes.topology import write_topology_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

    from mosaicflow.formats.ground.records import GeometryData
    from mosaicflow.formats.ground.source import FilePath

__all__ = ["write_meshes"]

# Integer types of PLY, as which wider ones are written if they fit.
_PLY_INTEGERS = (np.int32, np.uint32)
_PLY_NAMES = {
    "i1": "char", "u1": "uchar", "i2": "short", "u2": "ushort", "i4": "int", "u4": "uint",
    "f4": "float", "f8": "double",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Mesh:
    """Vertices (N, 3), triangles (M, 3), and what the vertices carry: normals, single values."""

    vertices: NDArray[Any]
    faces: NDArray[np.int64]
    normals: NDArray[Any] | None = None
    properties: dict[str, NDArray[Any]] = field(default_factory=dict)


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
        have faces themselves. What all of the latter share is kept where the format has a place:
        normals in obj and ply, properties ``red``, ``green``, ``blue`` in obj (0 to 1; uint8 as
        fractions of 255), properties of one number a vertex in ply, ``inclusion`` in tsi.
    path : str or path-like
        Target.
    sampling, shape, relion_5_format
        Not used: a mesh keeps its own coordinates.
    file_format : str, optional
        obj, stl, ply, glb, tsi or q; from the extension if not given.

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
    kind = extension_of(path) if file_format is None else file_format.lower()
    _write(path, kind, _joined(meshes))


def _mesh_of(record: GeometryData) -> _Mesh | None:
    mesh = getattr(record.model, "mesh", None)
    if mesh is not None:
        faces = getattr(mesh, "triangles", None)
        return _checked(mesh.vertices, mesh.faces if faces is None else faces)
    if record.faces is None or not len(record.faces):
        return None
    plain = _checked(record.vertices, record.faces)
    normals = record.normals
    if normals is not None:
        normals = number_table(normals, "normals of a mesh", 3, np.float32)
        if len(normals) != len(plain.vertices):
            raise ValueError(f"{len(normals)} normals for {len(plain.vertices)} vertices")
    return _Mesh(plain.vertices, plain.faces, normals, _single_values(record))


def _single_values(record: GeometryData) -> dict[str, NDArray[Any]]:
    box = record.vertex_properties
    if box is None or len(box) != len(record.vertices):
        return {}
    values = {name: box.get_property(name) for name in box.properties}
    return {name: column for name, column in values.items() if column.ndim == 1}


def _checked(vertices: Any, faces: Any) -> _Mesh:  # noqa: ANN401  whatever a model holds
    dtype = np.float32 if np.asarray(vertices).dtype == np.float32 else np.float64
    corners = number_table(vertices, "vertices of a mesh", 3, dtype)
    triangles = number_table(faces, "triangles of a mesh", 3, np.int64)
    if triangles.size and not 0 <= triangles.min() <= triangles.max() < len(corners):
        raise ValueError(f"a triangle refers to a vertex that is none of {len(corners)}")
    return _Mesh(corners, triangles)


def _joined(meshes: list[_Mesh]) -> _Mesh:
    vertices = np.concatenate([mesh.vertices for mesh in meshes])
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes[:-1])])
    faces = np.concatenate([m.faces + s for m, s in zip(meshes, starts, strict=True)])
    normals = [mesh.normals for mesh in meshes if mesh.normals is not None]
    shared = [n for n in meshes[0].properties if all(n in mesh.properties for mesh in meshes)]
    return _Mesh(
        vertices,
        faces,
        np.concatenate(normals) if len(normals) == len(meshes) else None,
        {name: np.concatenate([mesh.properties[name] for mesh in meshes]) for name in shared},
    )


def _write(path: FilePath, kind: str, mesh: _Mesh) -> None:
    if kind in ("tsi", "q"):
        # The membrane must lie within its periodic box.
        box = mesh.vertices.max(axis=0) + 1.0
        data = {"box": box, "vertices": mesh.vertices, "faces": mesh.faces}
        types = mesh.properties.get("inclusion")
        if types is not None and types.dtype.kind in "iu":
            places = np.flatnonzero(types)
            data["inclusions"] = np.stack([np.arange(len(places)), types[places], places], axis=1)
        write_topology_file(path, data, tsi_format=kind == "tsi")
        return
    writers = {"obj": _write_obj, "stl": _write_stl, "ply": _write_ply, "glb": _write_glb}
    if kind not in writers:
        raise ValueError(f"{path}: '{kind}' is no mesh format, use {', '.join(writers)}")
    with finished_file(path) as draft:
        writers[kind](draft, mesh)


def _write_obj(path: Path, mesh: _Mesh) -> None:
    vertices: list[list[float]] = np.hstack([mesh.vertices, *_obj_colors(mesh)]).tolist()
    with path.open("w", encoding="utf-8", newline="\n") as out:
        out.writelines(f"v {' '.join(map(repr, row))}\n" for row in vertices)
        face = "f {0} {1} {2}\n"
        if mesh.normals is not None:
            rows: list[list[float]] = mesh.normals.tolist()
            out.writelines(f"vn {x!r} {y!r} {z!r}\n" for x, y, z in rows)
            face = "f {0}//{0} {1}//{1} {2}//{2}\n"
        out.writelines(face.format(a, b, c) for a, b, c in (mesh.faces + 1).tolist())


def _obj_colors(mesh: _Mesh) -> list[NDArray[Any]]:
    """Columns of red, green and blue from 0 to 1, as obj has them; none without colours."""
    columns = [mesh.properties[name] for name in COLORS[:3] if name in mesh.properties]
    if len(columns) < 3 or any(column.dtype.kind not in "iuf" for column in columns):
        return []
    return [c[:, None] / (255 if c.dtype == np.uint8 else 1) for c in columns]


def _write_stl(path: Path, mesh: _Mesh) -> None:
    facets = np.zeros(len(mesh.faces), dtype=FACET)
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    facets["normal"] = normals / np.where(length > 0, length, 1.0)
    facets["corners"] = corners
    with path.open("wb") as out:
        # Must not begin with "solid", which marks the text form.
        out.write(b"binary STL by mosaicflow".ljust(HEADER_BYTES - 4))
        out.write(len(facets).to_bytes(4, "little"))
        out.write(facets.tobytes())


def _write_glb(path: Path, mesh: _Mesh) -> None:
    write_glb(path, mesh.vertices, mesh.faces)


def _write_ply(path: Path, mesh: _Mesh) -> None:
    columns = _ply_columns(mesh)
    vertices = np.empty(
        len(mesh.vertices), [(n, c.dtype.newbyteorder("<")) for n, c in columns.items()]
    )
    for name, column in columns.items():
        vertices[name] = column
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"element vertex {len(vertices)}",
        *(f"property {_PLY_NAMES[c.dtype.str[1:]]} {name}" for name, c in columns.items()),
        f"element face {len(mesh.faces)}",
        "property list uchar int vertex_indices",
        "end_header",
    ]
    faces = np.empty(len(mesh.faces), dtype=[("size", "u1"), ("corners", "<i4", 3)])
    faces["size"], faces["corners"] = 3, mesh.faces
    with path.open("wb") as out:
        out.write(("\n".join(header) + "\n").encode("ascii"))
        out.write(vertices.tobytes())
        out.write(faces.tobytes())


def _ply_columns(mesh: _Mesh) -> dict[str, NDArray[Any]]:
    columns = dict(zip("xyz", mesh.vertices.T, strict=True))
    if mesh.normals is not None:
        columns |= dict(zip(("nx", "ny", "nz"), mesh.normals.T, strict=True))
    for label, values in mesh.properties.items():
        column = _ply_column(values)
        # The header is ASCII and cut at blanks.
        name = "_".join(label.encode("ascii", "replace").decode("ascii").split())
        if column is not None and name:
            columns.setdefault(name, column)
    return columns


def _ply_column(values: NDArray[Any]) -> NDArray[Any] | None:
    """Values in a type of PLY; None for texts and numbers that no type holds."""
    if values.dtype.kind not in "biuf":
        return None
    if values.dtype.kind == "b":
        return values.astype(np.uint8)
    if values.dtype.kind == "f":
        return values.astype(np.float32 if values.dtype.itemsize <= 4 else np.float64)
    if values.dtype.itemsize <= 4:
        return values.astype(values.dtype.newbyteorder("="))
    for dtype in _PLY_INTEGERS:
        limits = np.iinfo(dtype)
        if not len(values) or (values.min() >= limits.min and values.max() <= limits.max):
            return values.astype(dtype)
    return None
