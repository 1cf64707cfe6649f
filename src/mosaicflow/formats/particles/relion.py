"""Particles of RELION STAR files, versions up to 5."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.formats.ground.errors import FormatError
from mosaicflow.formats.ground.grouping import as_integers, split_by
from mosaicflow.formats.ground.properties import VertexPropertyContainer
from mosaicflow.formats.ground.records import LARGEST_COORDINATE, GeometryDataContainer
from mosaicflow.formats.ground.rotations import normals_from_quaternions, quaternions_from_euler
from mosaicflow.formats.ground.source import existing_file
from mosaicflow.formats.particles.star import read_star_blocks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mosaicflow.formats.ground.source import FilePath
    from mosaicflow.formats.ground.text_table import TextTable
    from mosaicflow.formats.particles.star import StarBlock

__all__ = ["ANGLES", "CENTERED", "COORDINATES", "SIZES", "read_star", "read_star_header"]

logger = logging.getLogger(__name__)

COORDINATES = tuple(f"_rlnCoordinate{axis}" for axis in "XYZ")
CENTERED = tuple(f"_rlnCenteredCoordinate{axis}Angst" for axis in "XYZ")
SIZES = tuple(f"_rlnTomoSize{axis}" for axis in "XYZ")
ANGLES = ("_rlnAngleRot", "_rlnAngleTilt", "_rlnAnglePsi")
_SHIFTS_ANGSTROM = tuple(f"_rlnOrigin{axis}Angst" for axis in "XYZ")
_SHIFTS_PIXEL = tuple(f"_rlnOrigin{axis}" for axis in "XYZ")
_CLASS = "_rlnClassNumber"
_SCORE = "_pytmeScore"
# The number of the one entity of a file that does not classify its particles.
_UNCLASSIFIED = -1


@dataclass(frozen=True, slots=True)
class _Scale:
    """What turns coordinates into voxels: A per voxel, None if the file does not say."""

    pixel_size: float | None
    centered: bool


def read_star(
    path: FilePath, *, apply_shifts: bool = False, group_by: str = _CLASS
) -> GeometryDataContainer:
    """Read the particles of a RELION STAR file.

    Parameters
    ----------
    path : str or path-like
        Plain or compressed STAR file of RELION 3.0, 3.1, 4 or 5.
    apply_shifts : bool
        Subtract the refined origin shifts (``_rlnOriginXAngst``, or ``_rlnOriginX`` in pixels)
        from the coordinates; the properties of these columns become 0, so that nobody subtracts
        them again.
    group_by : str
        Column whose values split the particles into entities.

    Returns
    -------
    GeometryDataContainer
        Vertices (x, y, z) in voxels, quaternions, normals, and every other column as a property.
        A RELION 5 file that tells no tomogram size stays centred, one without pixel size in
        angstrom; a `UserWarning` says so.

    Raises
    ------
    FormatError
        If the file has no particles with coordinates, or a value is no number.
    """
    blocks = read_star_blocks(path)
    table = _particles(path, blocks)
    scale = _scale(path, _optics(blocks), table)
    with np.errstate(over="ignore"):
        vertices = _voxels(table, scale, apply_shifts=apply_shifts)
    if not np.all(np.abs(vertices) <= LARGEST_COORDINATE):
        raise FormatError(path, f"a pixel size of {scale.pixel_size} makes coordinates infinite")
    angles = np.zeros((len(vertices), 3))
    for index, name in enumerate(ANGLES):
        if name in table:
            angles[:, index] = table.numbers(name)
    quaternions = quaternions_from_euler(angles)
    properties = _properties(table, len(vertices))
    for name in _shift_names(table, scale) if apply_shifts else ():
        if name in table:
            properties.set_property(name, np.zeros(len(vertices)))
    groups: Sequence[Any] = _groups(table, group_by, properties)
    if len(groups) == 1:
        # All rows in file order: a slice copies nothing.
        groups = [slice(None)]
    pixel_size = scale.pixel_size if scale.pixel_size is not None else 1.0
    return GeometryDataContainer(
        vertices=[vertices[rows] for rows in groups],
        normals=[normals_from_quaternions(quaternions[rows]) for rows in groups],
        quaternions=[quaternions[rows] for rows in groups],
        vertex_properties=[properties] if len(groups) == 1 else [properties[g] for g in groups],
        sampling=(pixel_size, pixel_size, pixel_size),
    )


def read_star_header(path: FilePath) -> dict[str, Any]:
    """Tell how the coordinates of a STAR file are to be understood.

    Parameters
    ----------
    path : str or path-like
        Plain or compressed STAR file.

    Returns
    -------
    dict
        ``pixel_size`` (float, A per voxel, or None), ``centered`` (bool) and ``shape`` (the
        tomogram's size x, y, z in voxels, from the first particle, or None); empty if the file
        cannot be parsed.
    """
    existing_file(path)
    try:
        blocks = read_star_blocks(path)
        table = _particles(path, blocks)
        scale = _scale(path, _optics(blocks), table)
        shape = _size_of_first(path, table)
    except FormatError as error:
        logger.info("no STAR header: %s", error)
        return {}
    return {"pixel_size": scale.pixel_size, "centered": scale.centered, "shape": shape}


def _particles(path: FilePath, blocks: list[StarBlock]) -> TextTable:
    for name in ("particles", "images", ""):
        tables = [block.table for block in blocks if block.name == name]
        for table in tables:
            if any(all(n in table for n in names) for names in (COORDINATES, CENTERED)):
                return table
        if tables:
            missing = ", ".join(n for n in COORDINATES if n not in tables[0])
            raise FormatError(path, f"block data_{name} has no coordinates: {missing} missing")
    names = ", ".join(dict.fromkeys(f"data_{block.name}" for block in blocks))
    raise FormatError(path, f"no block data_particles, data_images or data_, but {names}")


def _optics(blocks: list[StarBlock]) -> TextTable | None:
    return next((block.table for block in blocks if block.name == "optics"), None)


def _scale(path: FilePath, optics: TextTable | None, particles: TextTable) -> _Scale:
    row = (optics.first_row() if optics is not None else None) or {}
    # RELION before 3.1 has no optics block; its particles carry the microscope's values.
    row = {**(particles.first_row() or {}), **row}
    centered = not all(name in particles for name in COORDINATES)
    # Coordinates count unbinned pixels, while the image pixel size is that of the binned box.
    for name in ("_rlnTomoTiltSeriesPixelSize", "_rlnImagePixelSize"):
        if name in row:
            return _Scale(_positive(path, name, row[name]), centered)
    magnified = ("_rlnDetectorPixelSize", "_rlnMagnification")
    if all(name in row for name in magnified):
        detector, magnification = (_positive(path, name, row[name]) for name in magnified)
        if detector is not None and magnification is not None:
            # Micrometre on the detector to angstrom in the specimen.
            return _Scale(detector * 1e4 / magnification, centered)
    return _Scale(None, centered)


def _positive(path: FilePath, name: str, text: str) -> float | None:
    try:
        value = float(text)
    except ValueError as error:
        raise FormatError(path, f"{name} is '{text}', a number is expected") from error
    if not (np.isfinite(value) and value >= 0):
        raise FormatError(path, f"{name} is {text}, a positive number is expected")
    return value or None


def _columns(table: TextTable, names: tuple[str, ...]) -> NDArray[np.float64] | None:
    """Three columns as (N, 3); a missing third or second is 0, None without the first."""
    if names[0] not in table:
        return None
    columns = [table.numbers(n) if n in table else np.zeros(len(table)) for n in names]
    return np.stack(columns, axis=1)


def _voxels(table: TextTable, scale: _Scale, *, apply_shifts: bool) -> NDArray[np.float64]:
    coordinates = _columns(table, CENTERED if scale.centered else COORDINATES)
    if coordinates is None:
        raise FormatError(table.path, "no coordinates")
    if apply_shifts:
        coordinates = coordinates - _shifts(table, scale)
    return _from_center(table, coordinates, scale) if scale.centered else coordinates


def _from_center(
    table: TextTable, angstrom: NDArray[np.float64], scale: _Scale
) -> NDArray[np.float64]:
    if scale.pixel_size is None:
        warnings.warn(f"{table.path}: no pixel size, coordinates stay in angstrom", stacklevel=4)
        return angstrom
    voxels = angstrom / scale.pixel_size
    if not all(name in table for name in SIZES):
        warnings.warn(
            f"{table.path}: no _rlnTomoSizeX/Y/Z, coordinates stay relative to the tomogram's "
            "centre",
            stacklevel=4,
        )
        return voxels
    # RELION itself halves the size with and without remainder in different places; whole voxels
    # are what most of its programs and its users' scripts take.
    sizes = np.stack([table.numbers(name) for name in SIZES], axis=1)
    return np.asarray(voxels + sizes // 2)


def _shift_names(table: TextTable, scale: _Scale) -> tuple[str, ...]:
    """Columns of the origin shifts; RELION writes those in pixels beside pixel coordinates only."""
    if _SHIFTS_ANGSTROM[0] in table:
        return _SHIFTS_ANGSTROM
    return () if scale.centered else _SHIFTS_PIXEL


def _shifts(table: TextTable, scale: _Scale) -> NDArray[np.float64]:
    """Origin shifts in the unit of the coordinates."""
    names = _shift_names(table, scale)
    shifts = _columns(table, names) if names else None
    if shifts is None:
        return np.zeros((len(table), 3))
    if scale.centered or names == _SHIFTS_PIXEL:
        return shifts
    if scale.pixel_size is None:
        raise FormatError(
            table.path, "shifts are in angstrom, coordinates in voxels, and no pixel size is given"
        )
    return shifts / scale.pixel_size


def _properties(table: TextTable, count: int) -> VertexPropertyContainer:
    used = {*COORDINATES, *ANGLES, _CLASS}
    if any(name not in table for name in COORDINATES):
        used |= set(CENTERED)
    properties = VertexPropertyContainer(
        {name: values for name, values in table.columns.items() if name not in used}
    )
    classes = np.full(count, _UNCLASSIFIED)
    if _CLASS in table:
        classes = as_integers(table.columns[_CLASS])
    properties.set_property("entity", classes)
    properties.set_property("pytme_score", table.columns.get(_SCORE, np.zeros(count)))
    return properties


def _groups(
    table: TextTable, group_by: str, properties: VertexPropertyContainer
) -> list[NDArray[np.intp]]:
    if group_by in table:
        keys = table.columns[group_by]
    elif group_by == _CLASS:
        keys = properties.get_property("entity")
    else:
        raise ValueError(f"{table.path} has no column {group_by} to group by")
    # A file without particles is one entity without points, not no entity.
    return [rows for _, rows in split_by(keys)] or [np.empty(0, dtype=np.intp)]


def _size_of_first(path: FilePath, table: TextTable) -> tuple[int, int, int] | None:
    row = table.first_row()
    if row is None or any(name not in row for name in SIZES):
        return None
    sizes = [_positive(path, name, row[name]) for name in SIZES]
    x, y, z = (int(size or 0) for size in sizes)
    return (x, y, z)
