"""The reader of each extension."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mosaicflow.formats.ground.source import existing_file, extension_of
from mosaicflow.formats.meshes.reader import read_mesh
from mosaicflow.formats.meshes.topology import read_tsi
from mosaicflow.formats.meshes.vtk_legacy import read_legacy_vtk
from mosaicflow.formats.meshes.vtk_xml import read_vtu
from mosaicflow.formats.particles.ndjson import read_ndjson
from mosaicflow.formats.particles.relion import read_star
from mosaicflow.formats.particles.tables import read_tsv, read_txt
from mosaicflow.formats.structures import read_structure
from mosaicflow.formats.volumes.files import read_volume

if TYPE_CHECKING:
    from collections.abc import Callable

    from mosaicflow.formats.ground.records import GeometryDataContainer
    from mosaicflow.formats.ground.source import FilePath

__all__ = ["open_file", "resolve_parser"]

_READERS: dict[str, Callable[..., GeometryDataContainer]] = {
    "star": read_star,
    "tsv": read_tsv,
    **dict.fromkeys(("txt", "xyz", "csv"), read_txt),
    "ndjson": read_ndjson,
    **dict.fromkeys(("obj", "ply", "stl", "off", "gltf", "glb", "fbx"), read_mesh),
    **dict.fromkeys(("tsi", "q"), read_tsi),
    **dict.fromkeys(("vtu", "vtp"), read_vtu),
    "vtk": read_legacy_vtk,
    **dict.fromkeys(("mrc", "map", "em", "h5", "nrrd", "nhdr", "nii"), read_volume),
    **dict.fromkeys(("pdb", "cif", "gro"), read_structure),
}


def open_file(filename: FilePath, *args: Any, **kwargs: Any) -> GeometryDataContainer:  # noqa: ANN401  passed on
    """Read any supported file; its extension picks the reader.

    Parameters
    ----------
    filename : str or path-like
        Plain, or compressed with gzip or bzip2 under any name.
    *args, **kwargs
        Passed to the reader, e.g. ``max_cluster`` for volumes.

    Returns
    -------
    GeometryDataContainer
        Vertices (x, y, z) in the file's unit, ``sampling`` in angstrom per unit.

    Raises
    ------
    ValueError
        If the extension is unknown.
    FileNotFoundError
        If there is no such file.
    FormatError
        If the file does not follow its format.
    """
    reader = resolve_parser(extension_of(filename))
    existing_file(filename)
    return reader(filename, *args, **kwargs)


def resolve_parser(extension: str) -> Callable[..., GeometryDataContainer]:
    """Return the reader of an extension.

    Parameters
    ----------
    extension : str
        Without dot, any case.

    Returns
    -------
    callable
        Takes a path.

    Raises
    ------
    ValueError
        If it is unknown.
    """
    reader = _READERS.get(extension.lower())
    if reader is None:
        raise ValueError(f"Unknown extension '{extension}', supported are {', '.join(_READERS)}")
    return reader
