"""Stage `export`: the volume as files of other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from mosaicflow import names
from mosaicflow.export.kinds import ExportKind
from mosaicflow.limits import FROM_0
from mosaicflow.measures import Measure, each
from mosaicflow.stages._contract import Reads, stage

if TYPE_CHECKING:
    from mosaicflow.io.report import StageReport

__all__ = ["export"]


METRICS = (
    *each("pitch_{}_um", "zyx", "voxel pitch along {}, as exported", "um"),
    Measure("gaps_marked", "runs of planes that no slice covers"),
    Measure("synthetic_marked", "runs of planes that were made up"),
    Measure("largest_value", "in the volume"),
    Measure("value_per_number", "factor from a stored number to the value"),
    Measure("value_of_number_0", "what is added after that"),
    Measure("surface_pitch_um", "voxels it was found in", "um"),
    Measure("surface_triangles", "triangles of the surface"),
    Measure("tiles_placed", "tiles whose position was written"),
    Measure("slices_placed", "slices whose position was written"),
)


@stage("run", label="volume", title="Files for other programs", icon="file-export", metrics=METRICS)
def export(
    report: StageReport,
    *,
    volume: Path,
    output_dir: Path,
    positions: Annotated[tuple[Path, ...], Reads(names.POSITIONS)] = (),
    stages: Annotated[tuple[Path, ...], Reads(names.STAGE)] = (),
    slices: Annotated[tuple[Path, ...], Reads(newest=names.SLICE_STORES)] = (),
    export_formats: tuple[ExportKind, ...] = (),
    export_level: Annotated[int, FROM_0] = 0,
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
    from mosaicflow.export.files import ExportSettings, write_exports
    from mosaicflow.export.placements import RunTables

    stem = volume.name.removesuffix(".ome.zarr")
    settings = ExportSettings(export_formats, export_level, export_dtype)
    tables = RunTables(positions, stages, slices)
    write_exports(volume, output_dir, stem, settings, report, tables=tables, threads=threads)
    report.write(output_dir / f"{stem}_export")
