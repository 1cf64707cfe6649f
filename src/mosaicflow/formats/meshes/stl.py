"""Stereolithography files, binary and text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.formats.ground.errors import FormatError
from mosaicflow.formats.ground.source import read_bytes, read_text
from mosaicflow.formats.meshes.polygons import mesh_container

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mosaicflow.formats.ground.records import GeometryDataContainer
    from mosaicflow.formats.ground.source import FilePath

__all__ = ["FACET", "HEADER_BYTES", "read_stl"]

# 80 of text and the count of facets, by the format
HEADER_BYTES = 84
FACET = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_VERTEX = re.compile(r"vertex\s+(\S+)\s+(\S+)\s+(\S+)", re.IGNORECASE)


def read_stl(path: FilePath) -> GeometryDataContainer:
    """Read an STL file.

    Parameters
    ----------
    path : str or path-like
        Plain or compressed, binary or text.

    Returns
    -------
    GeometryDataContainer
        One entity; each triangle has its own three vertices, as in the file. Facet normals are
        no vertex normals and are not kept.

    Raises
    ------
    FormatError
        If the file is no STL, has no triangle or is shorter than its count says.
    """
    content = read_bytes(path)
    corners = _text_corners(path) if _is_text(content) else _binary_corners(path, content)
    if len(corners) == 0:
        raise FormatError(path, "the file has no triangles")
    faces = np.arange(len(corners), dtype=np.int64).reshape(-1, 3)
    return mesh_container(path, corners, faces)


def _is_text(content: bytes) -> bool:
    # Binary headers may hold any of these words; the length of the file then fits the count.
    count = int.from_bytes(content[80:84], "little")
    if len(content) >= HEADER_BYTES and len(content) == HEADER_BYTES + count * FACET.itemsize:
        return False
    head = content[:1024].lower()
    return head.lstrip().startswith(b"solid") and (b"facet" in head or b"endsolid" in head)


def _binary_corners(path: FilePath, content: bytes) -> NDArray[np.float32]:
    if len(content) < HEADER_BYTES:
        raise FormatError(path, f"{len(content)} bytes are too few for an STL header (84)")
    count = int.from_bytes(content[80:84], "little")
    if (found := len(content) - HEADER_BYTES) < count * FACET.itemsize:
        raise FormatError(
            path,
            f"truncated: {count} triangles announced, room for {found // FACET.itemsize}",
        )
    facets = np.frombuffer(content, dtype=FACET, count=count, offset=HEADER_BYTES)
    return np.ascontiguousarray(facets["corners"]).reshape(-1, 3)


def _text_corners(path: FilePath) -> NDArray[np.float64]:
    text = read_text(path)
    if "endsolid" not in text.lower():
        raise FormatError(path, "truncated: 'endsolid' is missing")
    triples = _VERTEX.findall(text)
    lowered = text.lower()
    facets = len(re.findall(r"\bendfacet\b", lowered))
    if len(triples) != 3 * facets or facets != len(re.findall(r"\bfacet\b", lowered)):
        raise FormatError(path, f"{len(triples)} vertices in {facets} facets, 3 each are expected")
    try:
        return np.array(triples, dtype=np.float64).reshape(-1, 3)
    except ValueError as error:
        raise FormatError(path, f"a vertex is not three numbers ({error})") from error
