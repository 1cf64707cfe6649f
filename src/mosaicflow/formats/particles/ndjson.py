"""Points of the CryoET Data Portal: one JSON object a line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.formats.ground.errors import FormatError
from mosaicflow.formats.ground.grouping import split_by
from mosaicflow.formats.ground.properties import VertexPropertyContainer
from mosaicflow.formats.ground.records import LARGEST_COORDINATE, GeometryDataContainer
from mosaicflow.formats.ground.rotations import normals_from_quaternions, quaternions_from_matrices
from mosaicflow.formats.ground.source import read_head, read_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from mosaicflow.formats.ground.source import FilePath

__all__ = ["read_ndjson"]

# The portal writes few digits; a matrix further from a rotation than this is a mistake.
_ROTATION_TOLERANCE = 1e-2


class _Collector:
    """Takes records one by one and refuses those unlike the first."""

    def __init__(self, path: FilePath) -> None:
        self._path = path
        self.kind: str | None = None
        self.locations: list[tuple[float, float, float]] = []
        self.matrices: list[list[list[float]]] = []
        self._lines: list[int] = []
        self.instances: list[int] = []

    def add(self, record: dict[str, Any], line: int) -> None:
        kind = _kind(record)
        if self.kind is None:
            self.kind = kind
        elif (kind == "oriented") != (self.kind == "oriented"):
            raise FormatError(
                self._path,
                f"this record is {kind}, the first one is {self.kind}",
                line=line,
                remedy="split the file in one with and one without xyz_rotation_matrix",
            )
        self.locations.append(self._location(record, line))
        if self.kind == "oriented":
            self.matrices.append(self._matrix(record, line))
            self._lines.append(line)
        elif self.kind == "instance":
            self.instances.append(self._instance(record, line))

    def rotations(self) -> NDArray[np.float64]:
        """Rotation matrices of all records, shape (N, 3, 3)."""
        matrices = np.array(self.matrices, dtype=np.float64).reshape(-1, 3, 3)
        off = np.abs(matrices @ matrices.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2))
        bad = ~(off < _ROTATION_TOLERANCE) | (np.linalg.det(matrices) < 0)
        if bad.any():
            line = self._lines[int(np.flatnonzero(bad)[0])]
            raise FormatError(self._path, "xyz_rotation_matrix is no rotation", line=line)
        return matrices

    def _location(self, record: dict[str, Any], line: int) -> tuple[float, float, float]:
        location = record.get("location")
        if not isinstance(location, dict):
            raise FormatError(self._path, "no location {x, y, z}", line=line)
        x, y, z = (self._number(location.get(axis), f"location.{axis}", line) for axis in "xyz")
        return (x, y, z)

    def _number(self, value: object, name: str, line: int) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise FormatError(self._path, f"{name} is {value!r:.40}, not a number", line=line)
        try:
            number = float(value)
        except OverflowError as error:
            raise FormatError(self._path, f"{name} is too large", line=line) from error
        if not abs(number) <= LARGEST_COORDINATE:
            raise FormatError(
                self._path, f"{name} is {number}, a finite float32 is expected", line=line
            )
        return number

    def _matrix(self, record: dict[str, Any], line: int) -> list[list[float]]:
        rows = record["xyz_rotation_matrix"]
        if not (isinstance(rows, list) and len(rows) == 3):
            raise FormatError(self._path, "xyz_rotation_matrix has not 3 rows", line=line)
        if not all(isinstance(row, list) and len(row) == 3 for row in rows):
            raise FormatError(self._path, "xyz_rotation_matrix has not 3 columns", line=line)
        return [[self._number(v, "xyz_rotation_matrix", line) for v in row] for row in rows]

    def _instance(self, record: dict[str, Any], line: int) -> int:
        value = record.get("instance_id")
        if isinstance(value, bool) or not isinstance(value, int) or abs(value) > 2**31 - 1:
            raise FormatError(
                self._path, f"instance_id is {value!r:.40}, an int32 is expected", line=line
            )
        return value


def read_ndjson(path: FilePath) -> GeometryDataContainer:
    """Read points, oriented points or instances.

    Parameters
    ----------
    path : str or path-like
        One object a line with ``location`` {x, y, z} in voxels. The first one decides:
        ``xyz_rotation_matrix`` (3 x 3, reference to tomogram) gives one entity with quaternions
        and normals, ``instance_id`` one entity for each id with that property, neither plain
        points.

    Returns
    -------
    GeometryDataContainer
        One entity without points for an empty file.

    Raises
    ------
    FormatError
        If a line is no such record, or only some records have a matrix.
    """
    found = _Collector(path)
    for record, line in _records(path):
        found.add(record, line)
    locations = np.array(found.locations, dtype=np.float64).reshape(-1, 3)
    if found.kind == "oriented":
        quaternions = quaternions_from_matrices(found.rotations())
        normals = normals_from_quaternions(quaternions)
        return GeometryDataContainer([locations], normals=[normals], quaternions=[quaternions])
    if found.kind == "instance":
        instances = np.array(found.instances, dtype=np.int32)
        groups = [rows for _, rows in split_by(instances)]
        return GeometryDataContainer(
            [locations[rows] for rows in groups],
            vertex_properties=[
                VertexPropertyContainer({"instance_id": instances[rows]}) for rows in groups
            ],
        )
    return GeometryDataContainer([locations])


def _kind(record: dict[str, Any]) -> str:
    if "xyz_rotation_matrix" in record:
        return "oriented"
    return "instance" if "instance_id" in record else "point"


def _records(path: FilePath) -> Iterator[tuple[dict[str, Any], int]]:
    if not read_head(path, 1):
        return
    for line, text in enumerate(read_text(path).split("\n"), start=1):
        if not text.strip():
            continue
        try:
            record = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise FormatError(path, f"broken JSON ({error})", line=line) from error
        if not isinstance(record, dict):
            raise FormatError(path, "a JSON object is expected", line=line)
        yield record, line
