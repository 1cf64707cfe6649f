"""Accessors of glTF that are stored in a way which trimesh takes for plain: sparse and quantized.

Measured with trimesh 5.2: of a sparse accessor it gives the zeros beneath, of a normalized one the
integers, and what an extension compresses becomes zeros or indices of nothing.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

import numpy as np

from mosaicflow.formats.ground.errors import FormatError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mosaicflow.formats.ground.source import FilePath

__all__ = ["COMPONENTS", "COMPONENT_TYPES", "check_extensions", "plain_document"]

# Codes and widths by glTF 2.0, 3.6.2.2.
COMPONENT_TYPES = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
COMPONENTS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
_FLOAT = 5126
# What changes looks and notes only, and what is decoded here.
_HARMLESS = (
    "KHR_materials_", "KHR_texture_", "KHR_lights_", "KHR_xmp", "EXT_texture_", "KHR_animation_",
    "KHR_mesh_quantization", "EXT_lights_", "MSFT_texture_", "KHR_techniques_",
    "AGI_articulations", "CESIUM_primitive_outline", "ADOBE_materials_", "KHR_node_visibility",
)  # fmt: skip
_PLACES = ("POSITION", "NORMAL")


def check_extensions(path: FilePath, document: dict[str, Any]) -> None:
    """Refuse geometry that is kept in a way of its own, by the name of the extension."""
    named = list(document.get("extensionsRequired", []))
    for mesh in document.get("meshes", []):
        for primitive in mesh.get("primitives", []):
            named += primitive.get("extensions", {})
    for part in ("bufferViews", "accessors", "nodes"):
        for entry in document.get(part, []):
            named += entry.get("extensions", {})
    strange = sorted({str(name) for name in named if not str(name).startswith(_HARMLESS)})
    if strange:
        raise FormatError(
            path,
            f"keeps its geometry in a way that is not read ({', '.join(strange)})",
            remedy="export it again without compression or instancing",
        )


def plain_document(path: FilePath, document: dict[str, Any], content: bytes) -> bytes | None:
    """Spell out sparse and quantized accessors.

    Parameters
    ----------
    path : str or path-like
        The file; buffers may lie beside it.
    document : dict
        Its JSON.
    content : bytes
        All of the file.

    Returns
    -------
    bytes or None
        A ``.gltf`` with everything inside; None where there is nothing to spell out.
    """
    accessors = document.get("accessors", [])
    places = {
        primitive["attributes"][name]
        for mesh in document.get("meshes", [])
        for primitive in mesh.get("primitives", [])
        for name in _PLACES
        if name in primitive.get("attributes", {})
    }
    odd = [
        number
        for number, accessor in enumerate(accessors)
        if "sparse" in accessor or (number in places and accessor["componentType"] != _FLOAT)
    ]
    if not odd:
        return None
    buffers = [_buffer(path, entry, content) for entry in document.get("buffers", [])]
    plain = json.loads(json.dumps(document))
    for number in odd:
        values = _values(path, document, accessors[number], buffers)
        if number in places:
            values = _floats(values, accessors[number])
        kind = next(key for key, name in COMPONENT_TYPES.items() if np.dtype(name) == values.dtype)
        view = {"buffer": len(buffers), "byteOffset": 0, "byteLength": values.nbytes}
        plain["accessors"][number] = {
            "bufferView": len(plain.setdefault("bufferViews", [])),
            "componentType": kind,
            "count": len(values),
            "type": accessors[number]["type"],
        }
        plain["bufferViews"].append(view)
        buffers.append(values.tobytes())
    plain["buffers"] = [
        {"byteLength": len(data), "uri": f"{_DATA_URI}{base64.b64encode(data).decode()}"}
        for data in buffers
    ]
    return json.dumps(plain).encode()


_DATA_URI = "data:application/octet-stream;base64,"


def _buffer(path: FilePath, entry: dict[str, Any], content: bytes) -> bytes:
    uri: str | None = entry.get("uri")
    if uri is None:
        # The second chunk of a GLB, after 12 bytes of header and the JSON.
        start = 20 + int.from_bytes(content[12:16], "little")
        length = int.from_bytes(content[start : start + 4], "little")
        return content[start + 8 : start + 8 + length]
    if uri.startswith("data:"):
        head, _, data = uri.partition(",")
        return base64.b64decode(data) if head.endswith(";base64") else unquote_to_bytes(data)
    return (Path(path).resolve().parent / uri.strip()).read_bytes()


def _values(
    path: FilePath, document: dict[str, Any], accessor: dict[str, Any], buffers: list[bytes]
) -> NDArray[Any]:
    count, width = int(accessor["count"]), COMPONENTS[accessor["type"]]
    dtype = np.dtype(COMPONENT_TYPES[accessor["componentType"]])
    if "bufferView" in accessor:
        values = _rows(path, document, accessor, buffers, (count, width, dtype)).copy()
    else:
        values = np.zeros((count, width), dtype)
    if sparse := accessor.get("sparse"):
        n = int(sparse["count"])
        kind = np.dtype(COMPONENT_TYPES[sparse["indices"]["componentType"]])
        places = _rows(path, document, sparse["indices"], buffers, (n, 1, kind))[:, 0]
        if n and int(places.max()) >= count:
            raise FormatError(path, f"a sparse accessor sets element {places.max()} of {count}")
        values[places] = _rows(path, document, sparse["values"], buffers, (n, width, dtype))
    return values


def _rows(
    path: FilePath,
    document: dict[str, Any],
    at: dict[str, Any],
    buffers: list[bytes],
    wanted: tuple[int, int, np.dtype[Any]],
) -> NDArray[Any]:
    n, width, dtype = wanted
    view = document["bufferViews"][at["bufferView"]]
    start = int(view.get("byteOffset", 0)) + int(at.get("byteOffset", 0))
    row = width * dtype.itemsize
    stride = int(view.get("byteStride", 0)) or row
    data = buffers[view["buffer"]]
    if n and not 0 <= start <= start + (n - 1) * stride + row <= len(data):
        raise FormatError(path, "an accessor goes beyond its buffer")
    return np.ndarray((n, width), dtype, data, start, (stride, dtype.itemsize))


def _floats(values: NDArray[Any], accessor: dict[str, Any]) -> NDArray[np.float32]:
    if values.dtype.kind == "f" or not accessor.get("normalized"):
        return values.astype(np.float32)
    largest = np.iinfo(values.dtype).max
    return np.maximum(values / largest, -1).astype(np.float32)
