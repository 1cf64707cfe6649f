"""Surface meshes by extension."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mosaicflow.formats.ground.errors import FormatError
from mosaicflow.formats.ground.source import existing_file, extension_of
from mosaicflow.formats.meshes.gltf import read_gltf
from mosaicflow.formats.meshes.ply import read_ply
from mosaicflow.formats.meshes.stl import read_stl
from mosaicflow.formats.meshes.text import read_obj, read_off

if TYPE_CHECKING:
    from mosaicflow.formats.ground.records import GeometryDataContainer
    from mosaicflow.formats.ground.source import FilePath

__all__ = ["read_mesh"]

_READERS = {
    "obj": read_obj,
    "off": read_off,
    "stl": read_stl,
    "ply": read_ply,
    "gltf": read_gltf,
    "glb": read_gltf,
}


def read_mesh(path: FilePath) -> GeometryDataContainer:
    """Read a surface mesh.

    Parameters
    ----------
    path : str or path-like
        obj, ply, stl, off, gltf or glb, plain or compressed.

    Returns
    -------
    GeometryDataContainer
        One entity with all triangles of the file, oriented as in the file; polygons become fans,
        the transforms of a scene are applied, normals are there only if the file stores them.

    Raises
    ------
    FormatError
        If the file is no mesh, has no vertices, or is fbx, for which no maintained Python reader
        exists.
    """
    existing_file(path)
    extension = extension_of(path)
    if extension == "fbx":
        raise FormatError(
            path,
            "no maintained Python library reads fbx",
            remedy="convert it to glb or obj, for instance with Blender",
        )
    reader = _READERS.get(extension)
    if reader is None:
        raise ValueError(f"{path}: '{extension}' is no mesh format, use {', '.join(_READERS)}")
    return reader(path)
