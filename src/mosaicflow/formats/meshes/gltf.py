"""glTF and GLB scenes, through trimesh."""

from __future__ import annotations

import io
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.formats.ground.errors import FormatError, library
from mosaicflow.formats.ground.source import extension_of, read_bytes
from mosaicflow.formats.meshes.gltf_accessors import (
    COMPONENT_TYPES,
    COMPONENTS,
    check_extensions,
    plain_document,
)
from mosaicflow.formats.meshes.polygons import mesh_container
from mosaicflow.formats.meshes.text import COLORS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mosaicflow.formats.ground.records import GeometryDataContainer
    from mosaicflow.formats.ground.source import FilePath

__all__ = ["read_gltf"]

# Nodes below each other, far below Python's limit of 1000 calls. Doubled, nothing changes.
_DEEPEST_SCENE = 200
# Nodes of a scene: the 10^5 that real assemblies reach take 7 s; doubled, 14 s.
_MOST_INSTANCES = 100_000


def read_gltf(path: FilePath) -> GeometryDataContainer:
    """Read all triangles of a glTF scene, with the transforms of its nodes applied.

    Parameters
    ----------
    path : str or path-like
        ``.glb``, or ``.gltf`` whose buffers are inside or in the same folder.

    Returns
    -------
    GeometryDataContainer
        One entity; normals, and colours as properties ``red``, ``green``, ``blue``, ``alpha``
        (uint8), if all meshes store them.

    Raises
    ------
    FormatError
        If the scene cannot be read, or its header announces more than its buffers hold.
    """
    trimesh = library("trimesh")
    content = read_bytes(path)
    kind = extension_of(path)
    document = _document(path, content, kind)
    _check_document(path, document, content)
    plain = _spelled_out(path, document, content)
    content, kind = (content, kind) if plain is None else (plain, "gltf")
    try:
        scene = trimesh.load_scene(
            io.BytesIO(content),
            file_type=kind,
            resolver=trimesh.resolvers.FilePathResolver(str(Path(path).resolve())),
            skip_materials=True,
            merge_primitives=False,
            process=False,
        )
        instances, transforms = _instances(path, scene)
    except FormatError:
        raise
    # A foreign parser of untrusted bytes fails in any way it likes.
    except Exception as error:
        raise FormatError(path, f"no readable glTF scene ({error!r:.200})") from error
    return _join(path, instances, transforms)


def _document(path: FilePath, content: bytes, kind: str) -> dict[str, Any]:
    text = content
    if kind == "glb":
        if content[:4] != b"glTF" or len(content) < 20:
            raise FormatError(path, "no GLB header ('glTF')")
        length = int.from_bytes(content[12:16], "little")
        if length > len(content) - 20:
            raise FormatError(path, f"truncated: {length} bytes of JSON announced")
        text = content[20 : 20 + length]
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(path, f"broken JSON ({error})") from error
    if not isinstance(document, dict):
        raise FormatError(path, "a JSON object is expected")
    return document


def _check_document(path: FilePath, document: dict[str, Any], content: bytes) -> None:
    """Refuse what trimesh would allocate, recurse into or fetch without asking."""
    try:
        folder = Path(path).resolve().parent
        for buffer in document.get("buffers", []):
            _check_uri(path, folder, buffer.get("uri"))
        available = len(content) + sum(
            _outside_bytes(folder, b) for b in document.get("buffers", [])
        )
        for accessor in document.get("accessors", []):
            item = np.dtype(COMPONENT_TYPES[accessor["componentType"]]).itemsize
            size = item * COMPONENTS[accessor["type"]]
            if not 0 <= int(accessor["count"]) * size <= available:
                raise FormatError(path, f"an accessor of {accessor['count']} elements")
        _check_nodes(path, document.get("nodes", []))
    except FormatError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise FormatError(path, f"broken glTF document ({error!r:.100})") from error


def _spelled_out(path: FilePath, document: dict[str, Any], content: bytes) -> bytes | None:
    try:
        check_extensions(path, document)
        return plain_document(path, document, content)
    except FormatError:
        raise
    except (AttributeError, LookupError, TypeError, ValueError, OverflowError) as error:
        raise FormatError(path, f"broken glTF document ({error!r:.100})") from error


def _check_uri(path: FilePath, folder: Path, uri: str | None) -> None:
    if uri is None or uri.startswith("data:"):
        return
    target = Path(os.path.realpath(folder / uri.strip()))  # trimesh strips it too
    if "://" in uri or not target.is_relative_to(folder):
        raise FormatError(path, f"the buffer '{uri:.80}' lies outside of the file's folder")
    if not target.is_file():
        raise FormatError(path, f"the buffer file '{uri:.80}' is missing")


def _outside_bytes(folder: Path, buffer: dict[str, Any]) -> int:
    uri = buffer.get("uri")
    return 0 if uri is None or uri.startswith("data:") else (folder / uri.strip()).stat().st_size


def _check_nodes(path: FilePath, nodes: list[dict[str, Any]]) -> None:
    """Each node has one parent at most and the tree a sane depth, as glTF demands."""
    children = [child for node in nodes for child in node.get("children", [])]
    if len(set(children)) != len(children):
        raise FormatError(path, "a node has two parents")
    if len(nodes) > _MOST_INSTANCES:
        raise FormatError(path, f"{len(nodes)} nodes")
    parents = {child: i for i, node in enumerate(nodes) for child in node.get("children", [])}
    for index in range(len(nodes)):
        depth, at = 0, index
        while at in parents:
            at, depth = parents[at], depth + 1
            if depth > _DEEPEST_SCENE:
                raise FormatError(path, "the nodes form a cycle, or nest deeper than 200")


def _instances(path: FilePath, scene: Any) -> tuple[list[_Mesh], NDArray[np.float64]]:  # noqa: ANN401  trimesh has no types
    """Each mesh as often as the scene shows it, and where: transforms of shape (instances, 4, 4).

    A mesh is read once, however often it is shown: a scene may hold 100 000 instances.
    """
    placed = [scene.graph[node] for node in scene.graph.nodes_geometry]
    transforms = np.array([transform for transform, _ in placed], dtype=np.float64)
    names = [name for _, name in placed]
    meshes = {name: _read_mesh(path, scene.geometry[name]) for name in dict.fromkeys(names)}
    return [meshes[name] for name in names], transforms.reshape(-1, 4, 4)


@dataclass(frozen=True, slots=True)
class _Mesh:
    """What one mesh of a scene gives to each of its instances.

    Parameters
    ----------
    corners : ndarray, shape (N, 3)
        Vertices.
    triangles : ndarray, shape (M, 3)
        Indices of vertices.
    normals : ndarray, shape (N, 3), or None
        Where the file holds them.
    colors : ndarray of uint8, shape (N, 4) or (0, 4)
        Of the vertices.
    """

    corners: NDArray[np.float64]
    triangles: NDArray[np.int64]
    normals: NDArray[np.float64] | None
    colors: NDArray[np.uint8]


def _read_mesh(path: FilePath, mesh: Any) -> _Mesh:  # noqa: ANN401  trimesh has no types
    corners = np.asarray(mesh.vertices, dtype=np.float64)
    if corners.ndim != 2 or corners.shape[1] != 3:
        raise FormatError(path, f"vertices of shape {corners.shape}")
    triangles = np.asarray(getattr(mesh, "faces", ()), dtype=np.int64).reshape(-1, 3)
    if triangles.size and not 0 <= triangles.min() <= triangles.max() < len(corners):
        raise FormatError(path, "a triangle refers to a vertex that is not there")
    # Asking for `vertex_normals` would compute them; only the cache knows what was stored.
    stored = mesh._cache.cache.get("vertex_normals") if hasattr(mesh, "_cache") else None
    is_whole = stored is not None and len(stored) == len(corners)
    return _Mesh(corners, triangles, stored if is_whole else None, _stored_colors(mesh))


def _join(
    path: FilePath, instances: Sequence[_Mesh], transforms: NDArray[np.float64]
) -> GeometryDataContainer:
    """Place each instance, in one table; `transforms` has shape (instances, 4, 4)."""
    linear = transforms[:, :3, :3]
    # A mirrored mesh turns inside out unless its triangles turn round.
    mirrored = np.linalg.det(linear) < 0
    starts = np.cumsum([0, *(len(mesh.corners) for mesh in instances)])
    vertices, faces = [np.empty((0, 3))], [np.empty((0, 3), dtype=np.int64)]
    colors = [np.empty((0, 4), dtype=np.uint8), *(mesh.colors for mesh in instances)]
    for mesh, transform, start, is_mirrored in zip(
        instances, transforms, starts, mirrored, strict=False
    ):
        vertices.append(mesh.corners @ transform[:3, :3].T + transform[:3, 3])
        faces.append((mesh.triangles[:, ::-1] if is_mirrored else mesh.triangles) + start)
    return mesh_container(
        path,
        np.concatenate(vertices),
        np.concatenate(faces),
        normals=_turned_normals(instances, linear),
        properties=_color_properties(np.concatenate(colors), int(starts[-1])),
    )


def _turned_normals(
    instances: Sequence[_Mesh], linear: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """Turn the normals with their instances; None unless all meshes store them."""
    stored = [mesh.normals for mesh in instances if mesh.normals is not None]
    if not instances or len(stored) != len(instances):
        return None
    turned = zip(stored, np.linalg.pinv(linear), strict=True)
    return np.concatenate([normals @ inverse for normals, inverse in turned])


def _stored_colors(mesh: Any) -> NDArray[np.uint8]:  # noqa: ANN401  trimesh has no types
    """Colours of the vertices, shape (N, 4); none without."""
    visual: Any = getattr(mesh, "visual", None)
    # A point cloud without colours calls itself coloured and has an empty table.
    if getattr(visual, "kind", None) != "vertex" or visual.vertex_colors.shape[1:] != (4,):
        return np.empty((0, 4), dtype=np.uint8)
    return np.asarray(visual.vertex_colors, dtype=np.uint8)


def _color_properties(table: NDArray[np.uint8], count: int) -> dict[str, NDArray[np.uint8]]:
    return dict(zip(COLORS, table.T, strict=True)) if len(table) == count else {}
