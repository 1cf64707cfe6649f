"""VTK XML files: unstructured grids (vtu) and surfaces (vtp).

An own reader, so that the sizes a damaged file announces are checked before anything is allocated,
and no 130 MB library is needed for points and triangles.
"""

from __future__ import annotations

import base64
import binascii
import lzma
import re
import xml.etree.ElementTree as ET
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.formats.ground.errors import FormatError
from mosaicflow.formats.ground.properties import VertexPropertyContainer
from mosaicflow.formats.ground.source import read_bytes
from mosaicflow.formats.meshes.polygons import fan_triangles, mesh_container, strip_triangles
from mosaicflow.formats.meshes.vtk_cells import (
    Cells,
    cell_triangles,
    faces_of_lists,
    faces_of_stream,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from mosaicflow.formats.ground.records import GeometryDataContainer
    from mosaicflow.formats.ground.source import FilePath

__all__ = ["read_vtu"]

_TYPES = {
    "Int8": "i1", "UInt8": "u1", "Int16": "i2", "UInt16": "u2", "Int32": "i4", "UInt32": "u4",
    "Int64": "i8", "UInt64": "u8", "Float32": "f4", "Float64": "f8",
}  # fmt: skip
_APPENDED = re.compile(rb"<AppendedData\b([^>]*)>\s*_")
_PADDED_PIECE = re.compile(rb"[^=]+=*")
# Most memory of a decoder, four times what xz -9 asks for: doubled, a crafted file may take twice.
_LZMA_BYTES = 256 << 20
# An LZ4 byte stands for 255 others at most.
_LZ4_RATIO = 255


def read_vtu(path: FilePath) -> GeometryDataContainer:
    """Read a VTK XML unstructured grid, or a surface (vtp).

    Parameters
    ----------
    path : str or path-like
        Text, base64 or appended arrays; uncompressed, zlib, LZ4 or LZMA.

    Returns
    -------
    GeometryDataContainer
        One entity: the points; polygons as fans, volume cells as the surface they enclose; each
        array of point data as a property, (N,) or (N, k).

    Raises
    ------
    FormatError
        If the file is damaged or of another kind.
    """
    file = _XmlFile(path, read_bytes(path))
    pieces = list(file.pieces())
    if not pieces:
        raise FormatError(path, "no Piece: the file has no points")
    vertices, faces, properties = [], [], []
    count = 0
    for piece in pieces:
        points = file.points(piece)
        vertices.append(points)
        triangles = file.triangles(piece)
        # Before the shift: an index too large for its own piece must not land in the next one.
        if triangles.size and not 0 <= triangles.min() <= triangles.max() < len(points):
            raise FormatError(path, f"a triangle refers to a point that is none of {len(points)}")
        faces.append(triangles + count)
        properties.append(VertexPropertyContainer(file.point_data(piece, len(points))))
        count += len(points)
    merged = properties[0] if len(properties) == 1 else VertexPropertyContainer.merge(properties)
    return mesh_container(
        path,
        np.concatenate(vertices),
        np.concatenate(faces),
        properties={name: merged.get_property(name) for name in merged.properties},
    )


class _XmlFile:
    """The parsed document and the arrays it refers to."""

    def __init__(self, path: FilePath, content: bytes) -> None:
        self._path = path
        match = _APPENDED.search(content)
        self._appended = b"" if match is None else content[match.end() :]
        self._appended_is_raw = match is not None and b"base64" not in match.group(1)
        document = content if match is None else content[: match.start()] + b"</VTKFile>"
        if b"<!DOCTYPE" in document or b"<!ENTITY" in document:
            raise FormatError(path, "a document type declaration, which VTK files do not have")
        try:
            self._root = ET.fromstring(document)
        except (ET.ParseError, ValueError, LookupError, RecursionError) as error:
            raise FormatError(path, f"broken XML ({error})") from error
        self._kind = self._root.get("type", "")
        if self._root.tag != "VTKFile" or self._kind not in ("UnstructuredGrid", "PolyData"):
            raise FormatError(
                path, f"a {self._root.tag} of type '{self._kind}', UnstructuredGrid is expected"
            )
        self._order = ">" if self._root.get("byte_order") == "BigEndian" else "<"
        header_type = _TYPES.get(self._root.get("header_type", "UInt32"))
        if header_type not in ("u4", "u8"):
            raise FormatError(path, f"header_type '{self._root.get('header_type')}'")
        self._header = np.dtype(self._order + header_type)
        self._unpack = self._compressor()
        offsets = {
            int(o) for a in self._root.iter("DataArray") if (o := a.get("offset", "")).isdecimal()
        }
        self._offsets = sorted(offsets)

    def pieces(self) -> Iterator[ET.Element]:
        """Yield the parts of the grid."""
        for grid in self._root.findall(self._kind):
            yield from grid.findall("Piece")

    def points(self, piece: ET.Element) -> NDArray[Any]:
        """Points of a piece, shape (N, 3)."""
        array = piece.find("Points/DataArray")
        if array is None:
            raise FormatError(self._path, "a Piece without Points")
        values = self._values(array)
        announced = piece.get("NumberOfPoints", "")
        if str(values.size // 3) != announced or values.size % 3:
            raise FormatError(
                self._path, f"{values.size} coordinates for {announced or 'unknown'} points"
            )
        return values.reshape(-1, 3)

    def point_data(self, piece: ET.Element, count: int) -> dict[str, NDArray[Any]]:
        """Arrays of point data by name, each of `count` rows."""
        data: dict[str, NDArray[Any]] = {}
        for number, array in enumerate(piece.findall("PointData/DataArray")):
            name = array.get("Name") or f"array {number}"
            components = array.get("NumberOfComponents", "1")
            width = int(components) if components.isdecimal() else 0
            values = self._values(array)
            if name in data:
                raise FormatError(self._path, f"point data '{name}' is there twice")
            if width < 1 or values.size != count * width:
                raise FormatError(
                    self._path,
                    f"point data '{name}' has {values.size} values for {count} points of "
                    f"{components}",
                )
            data[name] = values.reshape(count, width) if width > 1 else values
        return data

    def triangles(self, piece: ET.Element) -> NDArray[np.int64]:
        """Triangles of a piece, shape (M, 3)."""
        if self._kind == "UnstructuredGrid":
            return self._cell_triangles(piece)
        found = [np.empty((0, 3), dtype=np.int64)]
        for section, split in (("Polys", fan_triangles), ("Strips", strip_triangles)):
            corners, ends = self._named(piece, section, ("connectivity", "offsets"))
            if ends is None or corners is None or not len(ends):
                continue
            sizes = np.diff(ends, prepend=0)
            if sizes.min() < 3 or ends[-1] > len(corners):
                raise FormatError(self._path, f"offsets of {section} do not fit its connectivity")
            found.append(split(corners[: ends[-1]], sizes))
        return np.concatenate(found)

    def _cell_triangles(self, piece: ET.Element) -> NDArray[np.int64]:
        corners, ends, types = self._named(piece, "Cells", ("connectivity", "offsets", "types"))
        if corners is None or ends is None or types is None:
            raise FormatError(self._path, "Cells lack connectivity, offsets or types")
        cells = Cells(corners, ends, types, self._polyhedron_faces(piece))
        return cell_triangles(self._path, cells)

    def _polyhedron_faces(self, piece: ET.Element) -> list[NDArray[np.int64]] | None:
        names = ("faces", "face_connectivity", "face_offsets", "polyhedron_to_faces")
        stream, corners, ends, chosen = self._named(piece, "Cells", names)
        if stream is not None:
            return faces_of_stream(self._path, stream)
        if corners is None or ends is None or chosen is None:
            return None
        return faces_of_lists(self._path, corners, ends, chosen)

    def _named(
        self, piece: ET.Element, section: str, names: tuple[str, ...]
    ) -> list[NDArray[np.int64] | None]:
        """Integer arrays of a section by name; None for those not there."""
        arrays = {array.get("Name"): array for array in piece.findall(f"{section}/DataArray")}
        found: list[NDArray[np.int64] | None] = []
        for name in names:
            values = self._values(arrays[name]) if name in arrays else None
            if values is not None and values.dtype.kind not in "iu":
                raise FormatError(self._path, f"{section} {name} are no integers")
            found.append(None if values is None else values.astype(np.int64))
        return found

    def _values(self, array: ET.Element) -> NDArray[Any]:
        name = array.get("Name", "")
        kind = _TYPES.get(array.get("type", ""))
        if kind is None:
            raise FormatError(self._path, f"array '{name}' of type '{array.get('type')}'")
        dtype = np.dtype(self._order + kind)
        layout = array.get("format", "ascii")
        try:
            if layout == "ascii":
                return self._from_text(array.text or "", dtype)
            raw = self._raw(array, layout)
            content = self._unpack(raw)
        except FormatError:
            raise
        except (ValueError, OverflowError, binascii.Error, zlib.error, lzma.LZMAError) as error:
            raise FormatError(self._path, f"array '{name}' is damaged ({error})") from error
        if len(content) % dtype.itemsize:
            raise FormatError(self._path, f"array '{name}' ends within a value")
        return np.frombuffer(content, dtype).astype(dtype.newbyteorder("="))

    def _from_text(self, text: str, dtype: np.dtype[Any]) -> NDArray[Any]:
        convert: Callable[[str], Any] = float if dtype.kind == "f" else int
        native = dtype.newbyteorder("=")
        return np.array([convert(word) for word in text.split()], dtype=native)

    def _raw(self, array: ET.Element, layout: str) -> bytes:
        """Bytes of an array with the header in front, perhaps followed by others."""
        if layout == "binary":
            return _decode_base64((array.text or "").encode("ascii"))
        if layout != "appended":
            raise FormatError(self._path, f"array format '{layout}'")
        offset = array.get("offset", "")
        if not offset.isdecimal() or int(offset) >= len(self._appended):
            raise FormatError(self._path, f"an appended array at offset '{offset}'")
        start = int(offset)
        if self._appended_is_raw:
            return self._appended[start:]
        later = [o for o in self._offsets if o > start]
        text = self._appended[start : later[0]] if later else self._appended[start:].split(b"<")[0]
        return _decode_base64(text)

    def _compressor(self) -> Callable[[bytes], bytes]:
        name = self._root.get("compressor", "")
        if not name:
            return self._uncompressed
        unpackers = {
            "vtkZLibDataCompressor": _unpack_zlib,
            "vtkLZMADataCompressor": _unpack_lzma,
            "vtkLZ4DataCompressor": _unpack_lz4,
        }
        if name not in unpackers:
            raise FormatError(self._path, f"compressor '{name}'")
        return lambda content: self._blocks(content, unpackers[name])

    def _uncompressed(self, content: bytes) -> bytes:
        (size,) = self._header_words(content, 1)
        start = self._header.itemsize
        if len(content) - start < size:
            raise ValueError(f"{size} bytes announced, {len(content) - start} are there")
        return content[start : start + size]

    def _blocks(self, content: bytes, unpack: Callable[[bytes, int], bytes]) -> bytes:
        n_blocks, block_size, last_size = self._header_words(content, 3)
        packed_sizes = self._header_words(content, 3 + n_blocks)[3:]
        at = (3 + n_blocks) * self._header.itemsize
        parts = []
        for number, packed_size in enumerate(packed_sizes, start=1):
            size = last_size if number == n_blocks and last_size else block_size
            parts.append(unpack(content[at : at + packed_size], size))
            if len(parts[-1]) != size:
                raise ValueError(f"block {number} has {len(parts[-1])} bytes instead of {size}")
            at += packed_size
        return b"".join(parts)

    def _header_words(self, content: bytes, count: int) -> list[int]:
        if count * self._header.itemsize > len(content):
            raise ValueError("its header is cut off")
        return [int(word) for word in np.frombuffer(content, self._header, count=count)]


def _decode_base64(text: bytes) -> bytes:
    # Header and blocks may be encoded one by one, so that padding stands in the middle.
    compact = b"".join(text.split())
    return b"".join(base64.b64decode(p, validate=True) for p in _PADDED_PIECE.findall(compact))


def _unpack_zlib(packed: bytes, size: int) -> bytes:
    # 0 would mean "no limit".
    return zlib.decompressobj().decompress(packed, size) if size else b""


def _unpack_lzma(packed: bytes, size: int) -> bytes:
    return lzma.LZMADecompressor(memlimit=_LZMA_BYTES).decompress(packed, size)


def _unpack_lz4(packed: bytes, size: int) -> bytes:
    from numcodecs.lz4 import LZ4

    if size > _LZ4_RATIO * len(packed) + 64:
        raise ValueError(f"{len(packed)} bytes cannot unpack to {size}")
    try:
        # numcodecs expects the unpacked size in front of the block.
        return bytes(LZ4().decode(size.to_bytes(4, "little") + packed))
    except RuntimeError as error:
        raise ValueError(str(error)) from error
