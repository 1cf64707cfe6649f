"""One mesh as a GLB file."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["write_glb"]

# Words of the format: magic, version, kinds of chunk, of component and of buffer.
_MAGIC, _VERSION, _JSON, _BINARY = 0x46546C67, 2, 0x4E4F534A, 0x004E4942
_FLOAT, _UINT32, _VERTICES, _INDICES, _TRIANGLES = 5126, 5125, 34962, 34963, 4


def write_glb(path: Path, vertices: NDArray[Any], faces: NDArray[np.int64]) -> None:
    """Write vertices and triangles as GLB 2.0.

    Parameters
    ----------
    path : Path
        Target.
    vertices : ndarray, shape (N, 3)
        (x, y, z), stored as float32 in their own unit, although the format speaks of metres.
    faces : ndarray, shape (M, 3), int64
        Vertex indices, 0-based.
    """
    points = vertices.astype("<f4")
    corners = faces.astype("<u4")
    document = {
        "asset": {"version": "2.0", "generator": "mosaicflow"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [
            {"primitives": [{"attributes": {"POSITION": 0}, "indices": 1, "mode": _TRIANGLES}]}
        ],
        "buffers": [{"byteLength": points.nbytes + corners.nbytes}],
        "bufferViews": [
            {"buffer": 0, "byteLength": points.nbytes, "target": _VERTICES},
            {
                "buffer": 0,
                "byteOffset": points.nbytes,
                "byteLength": corners.nbytes,
                "target": _INDICES,
            },
        ],
        "accessors": [
            {
                "bufferView": 0,
                "componentType": _FLOAT,
                "count": len(points),
                "type": "VEC3",
                "min": points.min(axis=0).tolist(),
                "max": points.max(axis=0).tolist(),
            },
            {
                "bufferView": 1,
                "componentType": _UINT32,
                "count": corners.size,
                "type": "SCALAR",
            },
        ],
    }
    text = json.dumps(document).encode("utf-8")
    text += b" " * (-len(text) % 4)
    binary = points.tobytes() + corners.tobytes()
    with path.open("wb") as out:
        out.write(struct.pack("<3I", _MAGIC, _VERSION, 12 + 8 + len(text) + 8 + len(binary)))
        out.write(struct.pack("<2I", len(text), _JSON) + text)
        out.write(struct.pack("<2I", len(binary), _BINARY) + binary)
