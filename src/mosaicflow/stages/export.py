"""Stage `export`: the volume as files of other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

__all__ = ["export"]


def export(
    *,
    volume: Path,
    output_dir: Path,
    positions: tuple[Path, ...] = (),
    stages: tuple[Path, ...] = (),
    slices: tuple[Path, ...] = (),
    export_formats: tuple[
        Literal["mrc", "nifti", "ome-tiff", "mesh", "placements", "session"], ...
    ] = (),
    export_level: int = 0,
    export_dtype: Literal["float32", "uint16"] = "float32",
    threads: int = 1,
) -> None:
    """Write the volume as files that other programs open, at its true size and place.

    Parameters
    ----------
    volume : Path
        The volume (3d_volume.ome.zarr).
    output_dir : Path
        Folder for the files.
    positions : tuple[Path, ...]
        Tile positions (zNN_tile_positions.csv) of all slices in the volume, for placements.
    stages : tuple[Path, ...]
        Where the stage has the tiles (zNN_tile_stage.json), for placements.
    slices : tuple[Path, ...]
        The slices that were stacked (slice_zNN_normalize.ome.zarr), for placements.
    export_formats : tuple[str, ...]
        Files for other programs to write of the volume; none without a name.
    export_level : int
        Level of the volume's pyramid that is exported, 0 is the finest.
    export_dtype : str
        Values of the exported volume: as they are, or scaled to whole numbers up to 65535.
    threads : int
        Tiles compressed at the same time.
    """
    from mosaicflow.io.report import StageReport

    report = StageReport.of("export", locals())

    from mosaicflow.export.files import ExportSettings, write_exports
    from mosaicflow.export.placements import RunTables

    stem = volume.name.removesuffix(".ome.zarr")
    settings = ExportSettings(export_formats, export_level, export_dtype)
    tables = RunTables(positions, stages, slices)
    write_exports(volume, output_dir, stem, settings, report, tables=tables, threads=threads)
    report.write(output_dir / f"{stem}_export")
