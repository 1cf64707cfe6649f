"""What every reader returns: entities of vertices with their normals, faces and properties."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.formats.ground.properties import VertexPropertyContainer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import ArrayLike, DTypeLike, NDArray

__all__ = ["LARGEST_COORDINATE", "GeometryData", "GeometryDataContainer", "number_table"]

# What float32 cannot hold would silently become infinite.
LARGEST_COORDINATE = float(np.finfo(np.float32).max)
# Shorter vectors carry no direction, only rounding.
_SHORTEST_NORMAL = 1e-12


@dataclass
class GeometryData:
    """One entity: a point cloud, a mesh or a set of oriented particles.

    Attributes
    ----------
    vertices : ndarray, shape (N, 3), float32
        (x, y, z) in the file's unit; ``vertices * sampling`` is in angstrom.
    normals : ndarray, shape (N, 3), float32
        Unit vectors (x, y, z).
    faces : ndarray, shape (M, 3), int64
        Vertex indices of triangles, 0-based.
    quaternions : ndarray, shape (N, 4), float32
        Scalar first; rotate the reference frame into the tomogram.
    vertex_properties : VertexPropertyContainer
        Values by name, one for each vertex.
    shape : ndarray, shape (3,), float32
        Extent of the space the vertices lie in, (x, y, z), in the file's unit.
    sampling : tuple of float
        Angstrom per file unit along x, y, z.
    model : object
        What was fitted to the vertices, e.g. something with a ``mesh``.
    """

    vertices: Any = None
    normals: Any = None
    faces: Any = None
    quaternions: Any = None
    vertex_properties: VertexPropertyContainer | None = None
    shape: Any = None
    sampling: Any = (1, 1, 1)
    model: Any = None


class GeometryDataContainer:
    """The entities of one file.

    Parameters
    ----------
    vertices : sequence of array-like, shape (N, 3)
        (x, y, z) of each entity; stored as float32.
    normals, quaternions : sequence of array-like or None, optional
        Shapes (N, 3) and (N, 4), float32. Normals are made unit length; one without length
        becomes (0, 0, 1).
    faces : sequence of array-like or None, optional
        Shape (M, 3), int64.
    vertex_properties : sequence of VertexPropertyContainer or None, optional
        Properties of each entity.
    shape : array-like, shape (3,), optional
        (x, y, z); the largest coordinate along each axis if not given.
    sampling : array-like, shape (3,)
        Angstrom per unit along x, y, z.

    Raises
    ------
    ValueError
        If lists or arrays disagree in length, or data cannot become its dtype.
    """

    def __init__(
        self,
        vertices: Sequence[ArrayLike],
        normals: Sequence[ArrayLike | None] | None = None,
        *,
        faces: Sequence[ArrayLike | None] | None = None,
        quaternions: Sequence[ArrayLike | None] | None = None,
        vertex_properties: Sequence[VertexPropertyContainer | None] | None = None,
        shape: ArrayLike | None = None,
        sampling: ArrayLike = (1, 1, 1),
    ) -> None:
        self.vertices = [number_table(v, "vertices", 3, np.float32) for v in vertices]
        counts = [len(v) for v in self.vertices]
        self.normals = _per_vertex(normals, "normals", 3, counts)
        for normal in self.normals:
            if normal is not None:
                _make_unit_length(normal)
        self.quaternions = _per_vertex(quaternions, "quaternions", 4, counts)
        self.faces = None if faces is None else _faces(faces, counts)
        self.vertex_properties = _properties(vertex_properties, counts)
        self.shape = self._largest_coordinate() if shape is None else _shape(shape)
        self.sampling = _sampling(sampling)

    def __len__(self) -> int:
        return len(self.vertices)

    def __iter__(self) -> Iterator[GeometryData]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> GeometryData:
        return GeometryData(
            vertices=self.vertices[index],
            normals=self.normals[index],
            faces=None if self.faces is None else self.faces[index],
            quaternions=self.quaternions[index],
            vertex_properties=self.vertex_properties[index],
            shape=self.shape,
            sampling=self.sampling,
        )

    def __repr__(self) -> str:
        points = sum(len(v) for v in self.vertices)
        return f"GeometryDataContainer({len(self)} entities, {points} vertices)"

    def _largest_coordinate(self) -> NDArray[np.float32]:
        largest = [v.max(axis=0) for v in self.vertices if len(v)]
        return np.max(largest, axis=0) if largest else np.zeros(3, dtype=np.float32)


def _convert(data: ArrayLike, name: str, dtype: DTypeLike) -> NDArray[Any]:
    try:
        if np.iscomplexobj(data):
            # NumPy would drop the imaginary part with no more than a warning.
            raise TypeError("they are complex")
        # A number too large for the type is an error, and not infinity with a warning.
        with np.errstate(over="raise", invalid="raise"):
            converted = np.asarray(data, dtype=dtype)
        if converted.dtype.kind == "i" and not np.array_equal(converted, np.asarray(data)):
            raise TypeError("they are no whole numbers")
    except (TypeError, ValueError, ArithmeticError) as error:
        raise ValueError(f"{name} cannot be read as {np.dtype(dtype)} numbers: {error}") from error
    return converted


def number_table(data: ArrayLike, name: str, width: int, dtype: DTypeLike) -> NDArray[Any]:
    """Convert rows of `width` numbers, which may be none.

    Raises
    ------
    ValueError
        If they have another shape, or cannot become the type.
    """
    if data is None:
        raise ValueError(f"{name} of an entity are None, an array is expected")
    table = _convert(data, name, dtype)
    if table.size == 0:
        table = table.reshape(0, width)
    if table.ndim != 2 or table.shape[1] != width:
        raise ValueError(f"{name} have shape {table.shape}, (N, {width}) is expected")
    return table


def _require_equal_length(name: str, found: int, expected: int) -> None:
    if found != expected:
        raise ValueError(f"{name} are given for {found} entities, vertices for {expected}")


def _per_vertex(
    items: Sequence[ArrayLike | None] | None, name: str, width: int, counts: list[int]
) -> list[NDArray[np.float32] | None]:
    if items is None:
        return [None] * len(counts)
    _require_equal_length(name, len(items), len(counts))
    tables: list[NDArray[np.float32] | None] = []
    for item, count in zip(items, counts, strict=True):
        table = None if item is None else number_table(item, name, width, np.float32).copy()
        if table is not None and len(table) != count:
            raise ValueError(f"{len(table)} {name} are given for {count} vertices")
        tables.append(table)
    return tables


def _make_unit_length(normals: NDArray[np.float32]) -> None:
    length = np.linalg.norm(normals.astype(np.float64), axis=1)
    # `not >=` also catches NaN, which has no direction either.
    without_direction = ~(length >= _SHORTEST_NORMAL) | ~np.isfinite(length)
    length[without_direction] = 1.0
    normals /= length[:, None].astype(np.float64)
    normals[without_direction] = (0, 0, 1)


def _faces(items: Sequence[ArrayLike | None], counts: list[int]) -> list[NDArray[np.int64] | None]:
    _require_equal_length("faces", len(items), len(counts))
    return [None if item is None else number_table(item, "faces", 3, np.int64) for item in items]


def _properties(
    items: Sequence[VertexPropertyContainer | None] | None, counts: list[int]
) -> list[VertexPropertyContainer]:
    if items is None:
        return [VertexPropertyContainer() for _ in counts]
    _require_equal_length("vertex_properties", len(items), len(counts))
    containers = [VertexPropertyContainer() if item is None else item for item in items]
    for container, count in zip(containers, counts, strict=True):
        if container.properties and len(container) != count:
            raise ValueError(f"vertex_properties have {len(container)} values for {count} vertices")
    return containers


def _shape(shape: ArrayLike) -> NDArray[np.float32]:
    values = _convert(shape, "shape", np.float32)
    if values.shape != (3,):
        raise ValueError(f"shape has {values.size} values, 3 (x, y, z) are expected")
    return values


def _sampling(sampling: ArrayLike) -> tuple[float, float, float]:
    x, y, z = np.broadcast_to(_convert(sampling, "sampling", np.float64), 3).tolist()
    return (x, y, z)
