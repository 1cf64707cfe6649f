"""Files for other programs, from one volume."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import mosaicflow
from mosaicflow.errors import InputError, ParameterError
from mosaicflow.export.placements import RunTables, placement_names, write_placements
from mosaicflow.export.values import ANGSTROM_PER_UM, as_exported, write_mrc_volume
from mosaicflow.formats.ground.properties import VertexPropertyContainer
from mosaicflow.formats.ground.records import GeometryData, GeometryDataContainer
from mosaicflow.formats.meshes.writer import write_meshes
from mosaicflow.formats.sessions.file import write_session
from mosaicflow.io.convert.nifti import write_nifti
from mosaicflow.io.convert.tiff_pyramid import write_pyramidal_tiff
from mosaicflow.io.exports import ExportedLevel, PlaneSpan, open_export
from mosaicflow.io.overview import Overview, read_overview
from mosaicflow.io.zarr.render import three_planes
from mosaicflow.reasons import Concern
from mosaicflow.stacking.tissue_surface import (
    TissueField,
    Triangles,
    outlines_of,
    surface_of,
    tissue_field,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mosaicflow.io.convert.volume import VolumeSource
    from mosaicflow.io.report import StageReport
    from mosaicflow.io.zarr.location import StorePath

__all__ = ["DENSITIES", "ExportSettings", "exported_names", "write_exports"]

DENSITIES = {"mrc": ".mrc", "nifti": ".nii", "ome-tiff": ".ome.tif"}
_MESHES = (".ply", ".stl", ".obj", ".glb")
_SESSION = ".pickle"
# The surface is found in this many voxels. Measured: 0.6 GB at the peak and 7 s; both double with
# them, and the promise of less than 2 GB would end at three times as many.
_SURFACE_VOXELS = 16_000_000
_THUMBNAIL_PX = 512  # longest side of a session's picture, by eye; doubled, four times the bytes
# float32 has 24 bits for digits.
_LARGEST_EXACT = 2**24


@dataclass(frozen=True, slots=True)
class ExportSettings:
    """What is wanted.

    Parameters
    ----------
    formats : sequence of str
        Kinds of file.
    level : int
        Level of the volume's pyramid.
    dtype : str
        ``float32`` or ``uint16``.
    """

    formats: Sequence[str]
    level: int = 0
    dtype: str = "float32"


def exported_names(stem: str, formats: Sequence[str]) -> list[str]:
    """List the files that formats make of a volume."""
    names = [stem + suffix for kind, suffix in DENSITIES.items() if kind in formats]
    if "mesh" in formats:
        names += [f"{stem}_surface{suffix}" for suffix in _MESHES]
    if "placements" in formats:
        names += placement_names(stem)
    return names + [stem + _SESSION] * ("session" in formats)


def write_exports(
    volume: StorePath,
    folder: Path,
    stem: str,
    settings: ExportSettings,
    report: StageReport,
    *,
    tables: RunTables | None = None,
    threads: int = 1,
) -> None:
    """Write every file that is asked for into a folder.

    Parameters
    ----------
    volume : path or URL
        OME-Zarr store.
    folder : Path
        Where the files go.
    stem : str
        What their names begin with.
    settings : ExportSettings
        Which files.
    report : StageReport
        Gets the metrics.
    tables : RunTables, optional
        What else the run wrote, for ``placements``.
    threads : int
        Tiles compressed at the same time.
    """
    if not settings.formats:
        raise ParameterError("export_formats is empty", remedy="name at least one format")
    level = open_export(volume, settings.level)
    _require_outside(folder, volume)
    folder.mkdir(parents=True, exist_ok=True)
    _report_level(report, level)
    if "placements" in settings.formats:  # first: it fails where it lacks something, or is quick
        write_placements(level, tables or RunTables(), folder, stem, report)
    if any(kind in settings.formats for kind in DENSITIES):
        _write_densities(level, folder, stem, settings, report, threads=threads)
    if "mesh" in settings.formats or "session" in settings.formats:
        overview = read_overview(volume, settings.level, _SURFACE_VOXELS)
        field = _field_of(overview)
        surface = surface_of(field)
        _report_surface(report, overview, surface)
        if "mesh" in settings.formats:
            _write_surface(surface, folder, stem, report)
        if "session" in settings.formats:
            metadata = _metadata(stem, level, settings, overview)
            _write_session(folder / f"{stem}{_SESSION}", metadata, overview, field, surface)


def _require_outside(folder: Path, volume: StorePath) -> None:
    if "://" not in str(volume) and folder.resolve().is_relative_to(Path(volume).resolve()):
        raise InputError(
            f"{folder}: lies inside the volume that is exported", remedy="choose another folder"
        )


def _report_level(report: StageReport, level: ExportedLevel) -> None:
    for axis, pitch in zip("zyx", level.pitch_um, strict=True):
        report.metric(f"pitch_{axis}_um", pitch)
    report.metric("gaps_marked", len(level.gaps))
    report.metric("synthetic_marked", len(level.synthetic))


def _write_densities(
    level: ExportedLevel,
    folder: Path,
    stem: str,
    settings: ExportSettings,
    report: StageReport,
    *,
    threads: int,
) -> None:
    source, statistics = as_exported(level, settings.dtype)
    largest = statistics[1] * source.slope + source.intercept
    _warn_of_rounding(level, statistics, source, report)
    report.metric("largest_value", largest)
    report.metric("value_per_number", source.slope)
    report.metric("value_of_number_0", source.intercept)
    place = (level.pitch_um, level.origin_um)
    if "mrc" in settings.formats:
        write_mrc_volume(folder / f"{stem}.mrc", source, place, statistics)
    if "nifti" in settings.formats:
        write_nifti(folder / f"{stem}.nii", source, [p / 1000 for p in level.pitch_um])
    if "ome-tiff" in settings.formats:
        write_pyramidal_tiff(folder / f"{stem}.ome.tif", source, place, threads=threads)


def _warn_of_rounding(
    level: ExportedLevel,
    statistics: tuple[float, ...],
    source: VolumeSource,
    report: StageReport,
) -> None:
    """Tell where float32 rounds whole numbers, which may be labels."""
    ends = [value * source.slope + source.intercept for value in statistics[:2]]
    if level.reader.dtype.kind in "iu" and max(map(abs, ends)) >= _LARGEST_EXACT:
        report.warn(
            f"whole numbers beyond {_LARGEST_EXACT} are rounded in float32: of labels some become"
            " others",
            Concern.ROUNDED,
        )


def _field_of(overview: Overview) -> TissueField:
    return tissue_field(
        overview.values, _blank_planes(overview), overview.pitch_um, overview.origin_um
    )


def _blank_planes(overview: Overview) -> np.ndarray:
    """Find the planes that a gap or made-up planes reach into, even in part."""
    n_z = len(overview.values)
    top = overview.origin_um[0] + overview.pitch_um[0] * (np.arange(n_z) - 0.5)
    bottom = top + overview.pitch_um[0]
    # What is shared by rounding of positions alone does not count.
    grain = 1e-3 * overview.pitch_um[0]
    blank = np.zeros(n_z, dtype=bool)
    for span in (*overview.level.gaps, *overview.level.synthetic):
        blank |= (bottom > span.start_um + grain) & (top < span.stop_um - grain)
    return blank


def _report_surface(report: StageReport, overview: Overview, surface: Triangles) -> None:
    report.metric("surface_pitch_um", max(overview.pitch_um))
    report.metric("surface_triangles", len(surface.faces))


def _write_surface(surface: Triangles, folder: Path, stem: str, report: StageReport) -> None:
    if not len(surface.faces):
        report.warn("no tissue was found: there is no surface to write", Concern.NO_SURFACE)
        return
    record = GeometryData(vertices=surface.vertices_um, faces=surface.faces)
    for suffix in _MESHES:
        write_meshes([record], folder / f"{stem}_surface{suffix}")


def _metadata(
    stem: str, level: ExportedLevel, settings: ExportSettings, overview: Overview
) -> dict[str, Any]:
    return {
        "name": stem,
        "software": f"mosaicflow {mosaicflow.__version__}",
        "axes": "zyx",
        "shape": list(level.shape),
        "pitch_um": list(level.pitch_um),
        "origin_um": list(level.origin_um),
        "level": settings.level,
        "surface_pitch_um": list(overview.pitch_um),
        "slices": [_described(span) for span in level.slices],
        "gaps": [_described(span) for span in level.gaps],
        "synthetic_planes": [_described(span) for span in level.synthetic],
    }


def _described(span: PlaneSpan) -> dict[str, Any]:
    found: dict[str, Any] = {"z_um": [round(span.start_um, 6), round(span.stop_um, 6)]}
    return found if span.slice_id is None else {"slice_id": span.slice_id, **found}


def _write_session(
    path: Path,
    metadata: dict[str, Any],
    overview: Overview,
    field: TissueField,
    surface: Triangles,
) -> None:
    sampling = (ANGSTROM_PER_UM,) * 3
    state = {
        "metadata": metadata,
        "surface": GeometryData(
            vertices=surface.vertices_um, faces=surface.faces, sampling=sampling
        ),
        "outlines": _outlines(overview, field, sampling),
    }
    sections = {
        "meta": ("json", json.dumps(metadata).encode("utf-8")),
        "thumbnail": ("png", _thumbnail(overview)),
    }
    write_session(path, state, sections)


def _outlines(
    overview: Overview, field: TissueField, sampling: tuple[float, ...]
) -> GeometryDataContainer:
    """Outline each slice halfway through its depth; a slice that shows nothing there has none."""
    lines, boxes = [], []
    for span in overview.level.slices:
        for line in outlines_of(field, (span.start_um + span.stop_um) / 2):
            lines.append(line)
            ids = np.full(len(line), span.slice_id, dtype=np.int32)
            boxes.append(VertexPropertyContainer({"slice_id": ids}))
    return GeometryDataContainer(lines, vertex_properties=boxes, sampling=sampling)


def _thumbnail(overview: Overview) -> bytes:
    from PIL import Image

    values = overview.values
    z, y, x = (n // 2 for n in values.shape)
    page, _ = three_planes((values[z], values[:, y], values[:, :, x].T), overview.pitch_um)
    picture = Image.fromarray(page)
    picture.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX))
    content = io.BytesIO()
    picture.save(content, format="PNG")
    return content.getvalue()
