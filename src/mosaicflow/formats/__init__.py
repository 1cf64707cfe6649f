"""Geometry and density files: read any, write most, in one set of conventions; image pyramids.

Points are (x, y, z), volumes are indexed [x, y, z], quaternions are scalar first. Nothing heavy is
imported before a name is used, and no library of a format before that format is.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mosaicflow.formats.ground.errors import (
        FormatError,
        MissingExtraError,
        NotASegmentationError,
    )
    from mosaicflow.formats.ground.properties import VertexPropertyContainer
    from mosaicflow.formats.ground.records import GeometryData, GeometryDataContainer
    from mosaicflow.formats.meshes.reader import read_mesh
    from mosaicflow.formats.meshes.topology import read_tsi, write_topology_file
    from mosaicflow.formats.meshes.vtk_legacy import read_legacy_vtk
    from mosaicflow.formats.meshes.vtk_xml import read_vtu
    from mosaicflow.formats.meshes.writer import write_meshes
    from mosaicflow.formats.particles.ndjson import read_ndjson
    from mosaicflow.formats.particles.orientations import OrientationsWriter
    from mosaicflow.formats.particles.relion import read_star, read_star_header
    from mosaicflow.formats.particles.tables import read_tsv, read_txt
    from mosaicflow.formats.particles.writer import write_ndjson, write_star, write_tsv, write_xyz
    from mosaicflow.formats.reader import open_file, resolve_parser
    from mosaicflow.formats.sessions.file import (
        is_session_file,
        open_session,
        read_session_index,
        read_session_meta,
        read_session_section,
        write_session,
    )
    from mosaicflow.formats.sessions.refusals import UntrustedSessionError
    from mosaicflow.formats.streaming.image_source import ZarrImageSource
    from mosaicflow.formats.streaming.levels import pick_level
    from mosaicflow.formats.streaming.omezarr import open_omezarr
    from mosaicflow.formats.streaming.pyramid import ZarrPyramid
    from mosaicflow.formats.structures import read_structure
    from mosaicflow.formats.volumes.files import (
        is_likely_density_map,
        is_volume_file,
        read_density_header,
        read_volume,
        write_density,
    )
    from mosaicflow.formats.volumes.labels import write_volume
    from mosaicflow.formats.volumes.mrc import read_mrc_dtype
    from mosaicflow.formats.volumes.volume import points_from_flat_array
    from mosaicflow.formats.writer import resolve_writer, write_geometries

_MODULES = {
    "ground.errors": ("FormatError", "MissingExtraError", "NotASegmentationError"),
    "meshes.reader": ("read_mesh",),
    "volumes.mrc": ("read_mrc_dtype",),
    "particles.ndjson": ("read_ndjson",),
    "particles.orientations": ("OrientationsWriter",),
    "particles.relion": ("read_star", "read_star_header"),
    "ground.properties": ("VertexPropertyContainer",),
    "reader": ("open_file", "resolve_parser"),
    "ground.records": ("GeometryData", "GeometryDataContainer"),
    "sessions.file": (
        "is_session_file",
        "open_session",
        "read_session_index",
        "read_session_meta",
        "read_session_section",
        "write_session",
    ),
    "sessions.refusals": ("UntrustedSessionError",),
    "streaming.image_source": ("ZarrImageSource",),
    "streaming.levels": ("pick_level",),
    "streaming.omezarr": ("open_omezarr",),
    "streaming.pyramid": ("ZarrPyramid",),
    "structures": ("read_structure",),
    "particles.tables": ("read_tsv", "read_txt"),
    "meshes.topology": ("read_tsi", "write_topology_file"),
    "volumes.volume": ("points_from_flat_array",),
    "volumes.files": (
        "is_likely_density_map",
        "is_volume_file",
        "read_density_header",
        "read_volume",
        "write_density",
    ),
    "meshes.vtk_legacy": ("read_legacy_vtk",),
    "meshes.vtk_xml": ("read_vtu",),
    "meshes.writer": ("write_meshes",),
    "particles.writer": ("write_ndjson", "write_star", "write_tsv", "write_xyz"),
    "volumes.labels": ("write_volume",),
    "writer": ("resolve_writer", "write_geometries"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "FormatError",
    "GeometryData",
    "GeometryDataContainer",
    "MissingExtraError",
    "NotASegmentationError",
    "OrientationsWriter",
    "UntrustedSessionError",
    "VertexPropertyContainer",
    "ZarrImageSource",
    "ZarrPyramid",
    "is_likely_density_map",
    "is_session_file",
    "is_volume_file",
    "open_file",
    "open_omezarr",
    "open_session",
    "pick_level",
    "points_from_flat_array",
    "read_density_header",
    "read_legacy_vtk",
    "read_mesh",
    "read_mrc_dtype",
    "read_ndjson",
    "read_session_index",
    "read_session_meta",
    "read_session_section",
    "read_star",
    "read_star_header",
    "read_structure",
    "read_tsi",
    "read_tsv",
    "read_txt",
    "read_volume",
    "read_vtu",
    "resolve_parser",
    "resolve_writer",
    "write_density",
    "write_geometries",
    "write_meshes",
    "write_ndjson",
    "write_session",
    "write_star",
    "write_topology_file",
    "write_tsv",
    "write_volume",
    "write_xyz",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401  a module attribute
    if name not in _HOME:
        raise AttributeError(f"module 'mosaicflow.formats' has no attribute '{name}'")
    value = getattr(importlib.import_module(f"mosaicflow.formats.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
