"""``mosaicflow export``: a volume as files of other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from mosaicflow.export.kinds import ExportKind

__all__ = ["export"]


def export(
    volume: str,
    output: Path,
    *,
    formats: tuple[ExportKind, ...],
    level: int = 0,
    dtype: Literal["float32", "uint16"] = "float32",
    threads: int = 1,
    overwrite: bool = False,
) -> None:
    """Write a volume as files that other programs open, at its true size and place.

    Examples: ``mosaicflow export OUT/3d_volume.ome.zarr files --formats nifti``;
    ``mosaicflow export OUT/3d_volume.ome.zarr files --formats mesh ome-tiff --level 2``;
    ``mosaicflow export OUT/3d_volume.ome.zarr files --formats mrc --dtype uint16 --overwrite``.

    Parameters
    ----------
    volume : str
        OME-Zarr store (folder, .zip, URL).
    output : Path
        Folder for the files, which are called like the volume.
    formats : tuple of str
        mrc, nifti, ome-tiff: the values; mesh: the tissue's surface (ply, stl, obj, glb);
        session: surface, outlines of the slices and a description; placements: where tiles and
        slices lie, for Fiji and BigStitcher, of a volume in the output folder of its run.
    level : int, optional
        Level of the volume's pyramid, 0 is the finest.
    dtype : {"float32", "uint16"}, optional
        Values as they are, or scaled to whole numbers up to 65535.
    threads : int, optional
        Tiles compressed at the same time.
    overwrite : bool, optional
        Replace existing files.
    """
    import re
    import warnings

    from mosaicflow.export.files import ExportSettings, exported_names, write_exports
    from mosaicflow.export.placements import RunTables
    from mosaicflow.io.report import StageReport
    from mosaicflow.io.zarr.errors import StoreExistsError, explained
    from mosaicflow.stages._table import STAGES

    stem = re.sub(r"(\.ome)?\.zarr(\.zip)?$", "", volume.rstrip("/").rpartition("/")[2])
    there = [name for name in exported_names(stem, formats) if (output / name).exists()]
    if there and not overwrite:
        raise StoreExistsError(
            f"{output / there[0]}: exists", remedy="give another folder, or --overwrite"
        )
    report = StageReport("export", {}, {}, STAGES["export"].contract.metrics)
    with explained(volume):
        settings = ExportSettings(formats, level, dtype)
        tables = RunTables(*_tables_beside(volume)) if "placements" in formats else RunTables()
        write_exports(volume, output, stem, settings, report, tables=tables, threads=threads)
    for text in report.warnings:
        warnings.warn(text, stacklevel=2)


def _tables_beside(volume: str) -> tuple[list[Path], ...]:
    """Find what a run published beside its volume: positions, stages and slices."""
    from mosaicflow import names
    from mosaicflow.engine.layout import RunFolder
    from mosaicflow.errors import InputError

    if "://" in volume:
        raise InputError(
            f"{volume}: placements need the other files of the run",
            remedy="copy the output folder of the run to this machine",
        )
    folder = RunFolder(Path(volume).absolute().parent)
    return tuple(map(folder.all_of, (names.POSITIONS, names.STAGE, names.NORMALIZED)))
