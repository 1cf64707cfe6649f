"""Atoms of molecular structures: pdb, mmCIF and gro."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.formats.ground.errors import FormatError, library
from mosaicflow.formats.ground.records import LARGEST_COORDINATE, GeometryDataContainer
from mosaicflow.formats.ground.source import extension_of, read_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mosaicflow.formats.ground.source import FilePath

__all__ = ["read_structure"]

_CIF_COLUMNS = ("group_PDB", "Cartn_x", "Cartn_y", "Cartn_z")
# Residue number, residue, atom and atom number take five columns each.
_GRO_COORDINATES = 20
_NM_IN_ANGSTROM = 10.0


def read_structure(path: FilePath) -> GeometryDataContainer:
    """Read the atoms of a structure.

    Parameters
    ----------
    path : str or path-like
        pdb, cif or gro, plain or compressed. Of pdb and cif only ``ATOM`` records are read, of all
        models.

    Returns
    -------
    GeometryDataContainer
        One entity; angstrom, for gro nanometre as stored with sampling 10.

    Raises
    ------
    FormatError
        If there is no atom or a coordinate is no number.
    """
    readers = {"pdb": _read_pdb, "cif": _read_cif, "gro": _read_gro}
    extension = extension_of(path)
    if extension not in readers:
        raise ValueError(f"{path}: '{extension}' is no structure, use {', '.join(readers)}")
    atoms = readers[extension](path)
    if not len(atoms):
        raise FormatError(path, "no ATOM records")
    bad = ~(np.abs(atoms) <= LARGEST_COORDINATE).all(axis=1)
    if bad.any():
        raise FormatError(path, f"atom {int(np.flatnonzero(bad)[0]) + 1} has no finite position")
    sampling = _NM_IN_ANGSTROM if extension == "gro" else 1.0
    return GeometryDataContainer([atoms], sampling=(sampling, sampling, sampling))


def _read_pdb(path: FilePath) -> NDArray[np.float64]:
    atoms = []
    for line, text in enumerate(read_text(path).split("\n"), start=1):
        if text.startswith("ATOM  "):
            fields = [text[30:38], text[38:46], text[46:54]]
            atoms.append(_numbers(path, line, fields))
    return np.array(atoms, dtype=np.float64).reshape(-1, 3)


def _read_cif(path: FilePath) -> NDArray[np.float64]:
    gemmi = library("gemmi")
    text = read_text(path)
    try:
        document = gemmi.cif.read_string(text)
    # gemmi reports broken syntax with ValueError or RuntimeError.
    except (ValueError, RuntimeError, OverflowError) as error:
        raise FormatError(path, f"no readable mmCIF ({error})") from error
    atoms = []
    for block in document:
        table = block.find("_atom_site.", list(_CIF_COLUMNS))
        atoms += [_numbers(path, None, list(row)[1:]) for row in table if row[0] == "ATOM"]
    return np.array(atoms, dtype=np.float64).reshape(-1, 3)


def _read_gro(path: FilePath) -> NDArray[np.float64]:
    lines = read_text(path).rstrip("\n").split("\n")
    atoms = []
    at = 0
    while at < len(lines) and any(text.strip() for text in lines[at:]):
        count = _gro_count(path, lines, at)
        rows = lines[at + 2 : at + 2 + count]
        if len(rows) < count or at + 2 + count >= len(lines):
            raise FormatError(path, f"truncated: {count} atoms and a box announced", line=at + 2)
        for line, text in enumerate(rows, start=at + 3):
            atoms.append(_numbers(path, line, _gro_fields(path, text, line)))
        at += count + 3
    return np.array(atoms, dtype=np.float64).reshape(-1, 3)


def _gro_count(path: FilePath, lines: list[str], at: int) -> int:
    count = lines[at + 1].strip() if at + 1 < len(lines) else ""
    if not count.isdecimal():
        raise FormatError(path, f"'{count[:40]}' is no number of atoms", line=at + 2)
    return int(count)


def _gro_fields(path: FilePath, text: str, line: int) -> list[str]:
    # The distance between the decimal points gives the width: a file may have any precision.
    first = text.find(".", _GRO_COORDINATES)
    width = text.find(".", first + 1) - first
    if first < 0 or width <= 0:
        raise FormatError(path, "no coordinates from column 21 on", line=line)
    starts = [_GRO_COORDINATES + width * axis for axis in range(3)]
    return [text[start : start + width] for start in starts]


def _numbers(path: FilePath, line: int | None, fields: list[str]) -> list[float]:
    try:
        return [float(field) for field in fields]
    except ValueError as error:
        raise FormatError(path, f"coordinates {fields} are no numbers", line=line) from error
