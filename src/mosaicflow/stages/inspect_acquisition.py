"""Stage `inspect_acquisition`: find all tiles and say what is wrong before any work starts."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from mosaicflow import names
from mosaicflow.limits import ABOVE_0, FRACTION, FROM_0, FROM_1, Limit
from mosaicflow.measures import Measure
from mosaicflow.reasons import Concern
from mosaicflow.stages._contract import Chosen, ChosenTable, stage
from mosaicflow.stages._options import Overlap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mosaicflow.acquisition.discover import Acquisition
    from mosaicflow.acquisition.settings import InspectSettings
    from mosaicflow.io.report import StageReport
    from mosaicflow.steps.table import StageStep

__all__ = ["InspectOptions", "inspect_acquisition", "inspect_settings"]

Layout = Literal["auto", "flat", "per_slice", "acquisition", "archived", "tiff", "table"]
TilePattern = Literal["", "row-by-row", "column-by-column", "snake-by-rows", "snake-by-columns"]

_AXES = Limit(
    pattern=r"^(\s*[+-]?fast\s*,\s*[+-]?slow\s*|\s*[+-]?slow\s*,\s*[+-]?fast\s*)?$",
    words="the two scan axes for Y and X, such as '-fast,-slow'",
)
_DIRECTIONS = Limit(
    pattern=r"^((left|right)-(up|down)|(up|down)-(left|right))$",
    words="two directions such as 'right-down'",
)
_LATTICE = Limit(
    pattern=r"^(\s*0*[1-9]\d*\s*[xX,]\s*0*[1-9]\d*\s*)?$", words="rows x columns such as '7x9'"
)
_AUTO = Limit(pattern=r"^(auto|\d+)$", words="'auto' or a whole number")
_SPAN = r"z?\d+(\s*-\s*z?\d+)?"
_SLICES = Limit(pattern=rf"^\s*({_SPAN}(\s*,\s*{_SPAN})*)?\s*$", words="slice ids such as '3,5-8'")


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class InspectOptions:
    """How the tiles of an acquisition are found, placed and understood.

    Attributes
    ----------
    layout
        How the folder is organised; auto finds out.
    axial_resolution_um
        Depth spacing of the samples; empty: as image files say, 1.36 for OCT, which says none [um].
    preprocess
        Turn OCT tiles so that their axes run along the stage.
    orientation
        Signed scan axes that Y and X follow, such as '-fast,-slow'; empty: the format's own.
    stitch_overlap_fraction
        Overlap of neighbouring tiles where no positions are known [0-1].
    stage_unit
        Unit of the stage positions in the files.
    pixel_size_um
        Lateral pixel pitch of image tiles; empty: as their files say [um].
    positions
        Fiji tile configuration to use in place of TileConfiguration.txt beside the tiles.
    tile_table
        Table path,slice,iy,ix,y_mm,x_mm[,z_mm]; empty: tile_table.csv in the raw folder, if there.
    tile_pattern
        Path of a running tile number through the lattice.
    tile_order
        Direction of the first line and of the lines: right-down, left-down, right-up, left-up.
    tile_grid
        Size of the lattice of numbered tiles, rows x columns, such as 7x9.
    tile_first_number
        Number of the first tile; empty: the smallest found.
    tile_name
        File name such as 'tile_{tile_number:03d}.tif', or a regular expression with a group
        'number', or with groups 'x' and 'y'; empty: found by comparing names.
    nx
        A-lines kept per B-scan, in place of info.txt.
    ny
        B-scans per tile, in place of info.txt.
    nz
        Depth samples, in place of info.txt.
    n_extra
        Return A-lines per B-scan, in place of info.txt.
    width_um
        Field of view along the fast axis, in place of info.txt [um].
    height_um
        Field of view along the slow axis, in place of info.txt [um].
    raw_dtype
        Type of a sample in image_*.bin, such as float32, int16, '>f4'.
    max_missing_fraction
        Share of unusable tiles above which a slice fails [0-1].
    allow_mixed_pitch
        Accept slices whose pitch differs by more than 1 %.
    debug_slices
        Slices to use, such as '3,5-8'; empty: all.
    strict
        Stop where a tile would be skipped or repaired.
    verify_content
        Know raw files and kept results by their content, not by size and times alone: all is read.
    """

    layout: Layout = "auto"
    axial_resolution_um: Annotated[float | None, ABOVE_0] = None
    preprocess: bool = True
    orientation: Annotated[str, _AXES] = ""
    stitch_overlap_fraction: Overlap = 0.2
    stage_unit: Literal["mm", "um"] = "mm"
    pixel_size_um: Annotated[float | None, ABOVE_0] = None
    positions: Annotated[Path | None, Chosen("text/plain")] = None
    tile_table: ChosenTable = None
    tile_pattern: TilePattern = ""
    tile_order: Annotated[str, _DIRECTIONS] = "right-down"
    tile_grid: Annotated[str, _LATTICE] = ""
    tile_first_number: Annotated[int | None, FROM_0] = None
    tile_name: str = ""
    nx: Annotated[int | None, FROM_1] = None
    ny: Annotated[int | None, FROM_1] = None
    nz: Annotated[int | None, FROM_1] = None
    n_extra: Annotated[int | None, FROM_0] = None
    width_um: Annotated[float | None, ABOVE_0] = None
    height_um: Annotated[float | None, ABOVE_0] = None
    raw_dtype: str = "float32"
    max_missing_fraction: Annotated[float, FRACTION] = 0.2
    allow_mixed_pitch: bool = False
    debug_slices: Annotated[str, _SLICES] = ""
    strict: bool = False
    verify_content: bool = False


METRICS = (
    Measure("tiles_found", "tiles on disk or in a position list"),
    Measure("tiles_usable", "tiles with a place and data"),
    Measure("tiles_unusable", "tiles left out for a reason"),
    Measure("tiles_unplaced", "tiles without a position"),
    Measure("slices_found", "slices with tiles"),
    Measure("slices_failed", "slices that give nothing"),
    Measure("axial_pitch", "depth spacing used", "um"),
    Measure("largest_step", "between slices", "mm", warning=0.5),
    Measure("unreliable_shifts", "share of slice steps", warning=0.1),
)


@stage(
    "run",
    label="table",
    title="Tiles and where they lie",
    icon="search",
    makes=(names.ACQUISITION, names.TILES, names.SHIFTS, names.LEDGER, names.LAYOUT),
    metrics=METRICS,
)
def inspect_acquisition(
    report: StageReport,
    *,
    raw: Path,
    output_dir: Path,
    options: InspectOptions = InspectOptions(),
    slice_config: ChosenTable = None,
    exclude_first_slices: Annotated[str, _AUTO] = "auto",
    slice_digits: Annotated[int, Limit(least=2, most=9)] = 2,
    threads: int = 1,
) -> None:
    """List the tiles of an acquisition, their places and all problems, without reading images.

    Parameters
    ----------
    raw : Path
        Folder of the acquisition, or a tile table (CSV) that lies in it.
    output_dir : Path
        Folder for acquisition.json, zNN_tiles.json, shifts_xy.csv, slice_config.csv, layout.png.
    options : InspectOptions
        How the tiles are found.
    slice_config : Path or None
        A slice_config.csv that somebody edited; its decisions are kept.
    exclude_first_slices : str
        'auto' leaves out calibration faces found by their depth; a number forces that many.
    slice_digits : int
        Least number of digits of a slice's number in the names of all files.
    threads : int
        Files read at the same time with verify_content; otherwise only names and sizes are.
    """
    from mosaicflow.acquisition.discover import discover
    from mosaicflow.acquisition.disk import check_free_space, check_writable, grid_bytes
    from mosaicflow.acquisition.read.raw_check import with_content
    from mosaicflow.io.tables import write_document

    check_writable(output_dir)
    found = discover(raw, inspect_settings(options))
    found.raise_on_stop()
    check_free_space(output_dir, grid_bytes(found.slices))
    for one in found.slices:
        tiles = with_content(raw, one, threads) if options.verify_content else one
        name = names.TILES.of(names.slice_label(tiles.slice_id, slice_digits))
        write_document(output_dir / name, tiles.to_dict())
    _write_outputs(found, output_dir, report, slice_config, exclude_first_slices)


def inspect_settings(options: InspectOptions) -> InspectSettings:
    """Give the options to those who read."""
    from mosaicflow.acquisition.settings import InspectSettings, ScanOverrides
    from mosaicflow.acquisition.tile_numbers import TileNumbering

    numbering = TileNumbering(
        pattern=options.tile_pattern,
        order=options.tile_order,
        grid=options.tile_grid,
        first_number=options.tile_first_number,
        name=options.tile_name,
    )
    plain = {item.name for item in fields(InspectSettings)} & set(options.__slots__)
    return InspectSettings(
        overlap_fraction=options.stitch_overlap_fraction,
        positions_file=options.positions,
        numbering=numbering,
        scan=ScanOverrides(**{f.name: getattr(options, f.name) for f in fields(ScanOverrides)}),
        **{name: getattr(options, name) for name in plain},
    )


def _write_outputs(
    found: Acquisition,
    output_dir: Path,
    report: StageReport,
    slice_config: Path | None,
    exclude_first_slices: str,
) -> None:
    from mosaicflow.acquisition.place.layout_image import draw_layout
    from mosaicflow.io.ledger_rows import write_rows
    from mosaicflow.io.tables import write_document
    from mosaicflow.ledger.proposal import config_rows, merge_config, read_config
    from mosaicflow.steps.from_tiles import steps_of
    from mosaicflow.steps.table import write_steps

    rows = config_rows(found.slices, exclude_first_slices=exclude_first_slices)
    if slice_config is not None:
        # The engine hands over its copy of the table that people edited.
        name = slice_config.name.removeprefix("edited_")
        rows, warnings = merge_config(rows, read_config(slice_config), name)
        for warning in warnings:
            report.warn(warning, Concern.LEDGER)
    steps = steps_of(found.slices)
    write_steps(output_dir / names.SHIFTS.of(), steps)
    write_rows(output_dir / names.LEDGER.of(), rows)
    draw_layout(found.slices).save(output_dir / names.LAYOUT.of())
    write_document(output_dir / names.ACQUISITION.of(), found.to_dict())
    _report(report, found, steps)
    report.write(output_dir / names.ACQUISITION.of())


def _report(report: StageReport, found: Acquisition, steps: Sequence[StageStep]) -> None:
    from collections import Counter

    statuses = Counter(tile.status for tiles in found.slices for tile in tiles.tiles)
    counts = {
        "tiles_found": statuses.total(),
        "tiles_usable": statuses["ok"] + statuses["repaired"],
        "tiles_unusable": statuses["skipped"],
        "tiles_unplaced": statuses["unplaced"],
        "slices_found": len(found.slices),
        "slices_failed": sum(bool(one.failure) for one in found.slices),
    }
    for name, value in counts.items():
        report.metric(name, value)
    report.metric("axial_pitch", found.slices[0].pitch_um[0])
    unreliable = sum(not step.reliable for step in steps)
    report.metric("largest_step", max((_length(step) for step in steps), default=0.0))
    share = unreliable / len(steps) if steps else 0.0
    report.metric("unreliable_shifts", share)
    for problem in found.problems:
        report.warn(problem.line(), problem.code)
    report.section("problems_by_code", dict(Counter(p.code for p in found.problems)))


def _length(step: StageStep) -> float:
    y_mm, x_mm = step.shift_mm
    return float((x_mm**2 + y_mm**2) ** 0.5)
