"""The light package that people correct places in: pictures, transforms and one page."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from importlib.resources import files as resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mosaicflow import names
from mosaicflow.alignment.given import slice_poses
from mosaicflow.alignment.solution import Alignment
from mosaicflow.corrections.slice_pictures import draw_slices
from mosaicflow.corrections.tile_pictures import draw_tiles
from mosaicflow.errors import FormatError, InputError
from mosaicflow.io.report import SOFTWARE
from mosaicflow.io.tables import read_csv, read_document, write_document, write_text
from mosaicflow.ledger.overrides import read_overrides

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mosaicflow.ledger.overrides import Override

__all__ = [
    "CONTENT",
    "PAGE",
    "TABLE",
    "RunImages",
    "checked_rows",
    "page_of",
    "read_package",
    "take_table",
    "write_package",
]

# What a package holds besides pictures.
CONTENT, PAGE, TABLE = "package.json", "index.html", "overrides.csv"
_MARK = "@PACKAGE@"


@dataclass(frozen=True, slots=True)
class RunImages:
    """What a package is made of.

    Parameters
    ----------
    run : Path
        ``run.json``.
    alignment : Path
        ``alignment.json``.
    slices : sequence of Path
        Finished slices, ``slice_zNN_normalize.ome.zarr``.
    grids : sequence of Path
        Mosaic grids, one per slice: the furthest corrected one that is kept.
    positions, stages : sequence of Path
        ``zNN_tile_positions.csv`` and ``zNN_tile_stage.json``.
    """

    run: Path
    alignment: Path
    slices: Sequence[Path] = ()
    grids: Sequence[Path] = ()
    positions: Sequence[Path] = ()
    stages: Sequence[Path] = ()


def write_package(images: RunImages, output: Path, overrides: Path | None, threads: int) -> int:
    """Write what `mosaicflow align edit` shows.

    Parameters
    ----------
    images : RunImages
        Of a finished run.
    output : Path
        Folder to make.
    overrides : Path or None
        Table that the run used: corrections start from it where the package has none yet.
    threads : int
        Blocks and slices read at the same time.

    Returns
    -------
    int
        Slices in it.
    """
    told = read_document(images.run)
    alignment = Alignment.from_json(read_document(images.alignment), str(images.alignment))
    if not alignment.slices:
        raise InputError(f"{images.alignment}: no slice is in the volume, so none can be moved")
    pictures = output / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    stores = {names.parse_slice_id(path): path for path in images.slices}
    slices = draw_slices(alignment, stores, pictures, threads)
    resolution_um = float(told["parameters"].get("resolution_um", 10.0))
    tables = {names.parse_slice_id(path): path for path in images.positions}
    tiles = draw_tiles(
        {names.parse_slice_id(path): path for path in images.grids},
        {i: (tables[i], p) for p in images.stages if (i := names.parse_slice_id(p)) in tables},
        resolution_um,
        pictures,
    )
    if len(slices) < 2 and not tiles:
        raise InputError(
            f"{images.run}: one slice, and the grids of its tiles were not kept",
            remedy="run it again with keep: all",
        )
    content = {
        "software": SOFTWARE,
        "run": images.run.absolute().parent.parent.name,
        "digest": told["input"]["digest"],
        "pitch_um": list(alignment.pitch_um),
        "canvas_yx": list(alignment.canvas_yx),
        "reference_id": alignment.reference_id,
        "slices": slices,
        "left_out": [
            {"slice_id": one.slice_id, "reason": one.reason} for one in alignment.left_out
        ],
        "tiles": {str(i): one for i, one in sorted(tiles.items())},
    }
    write_document(output / CONTENT, content)
    if overrides is not None and not (output / TABLE).exists():
        read_overrides(overrides)
        write_text(output / TABLE, overrides.read_text(encoding="utf-8-sig"))
    write_text(output / PAGE, page_of(output))
    return len(slices)


def read_package(folder: Path) -> dict[str, Any]:
    """Read what a package says of its slices and tiles.

    Parameters
    ----------
    folder : Path
        As `write_package` made it.

    Returns
    -------
    dict
        Content of ``package.json``.
    """
    path = folder / CONTENT
    if not path.is_file():
        raise InputError(
            f"{folder}: no {CONTENT} in it, expected a package",
            remedy="make one of a run with: mosaicflow align export OUT",
        )
    found = read_document(path)
    wanted = ("run", "digest", "pitch_um", "canvas_yx", "slices", "left_out", "tiles")
    missing = [name for name in wanted if name not in found]
    if missing:
        raise FormatError(
            f"{path}: holds no {', '.join(missing)}",
            remedy="make the package again with mosaicflow align export",
        )
    return found


def page_of(folder: Path) -> str:
    """Make the page of a package; it needs the pictures beside it and nothing else.

    Parameters
    ----------
    folder : Path
        The package; corrections start from the table in it.

    Returns
    -------
    str
        HTML.
    """
    content, table = read_package(folder), folder / TABLE
    rows: list[dict[str, str]] = []
    if table.exists():
        checked_rows(table, content)
        rows = read_csv(table, ["kind", "slice_id"])
    page = resources("mosaicflow.corrections").joinpath("page.html").read_text(encoding="utf-8")
    # A name with </script> in it would end the script that it stands in.
    told = json.dumps({**content, "overrides": rows}).replace("<", "\\u003c")
    return page.replace(_MARK, told)


def take_table(folder: Path, text: str) -> str:
    """Keep a table that the page hands in, if it can be followed.

    Parameters
    ----------
    folder : Path
        The package.
    text : str
        The table.

    Returns
    -------
    str
        One sentence for the page.

    Raises
    ------
    InputError
        When a row cannot be followed; the table that is there stays.
    """
    with tempfile.TemporaryDirectory(dir=folder, prefix=".") as scratch:
        given = Path(scratch) / TABLE
        write_text(given, text)
        rows = checked_rows(given, read_package(folder))
        write_text(folder / TABLE, text)
    return f"saved {len(rows)} rows in {folder / TABLE}"


def checked_rows(table: Path, content: Mapping[str, Any]) -> tuple[Override, ...]:
    """Read a table of overrides and compare it with what a package knows.

    Parameters
    ----------
    table : Path
        ``overrides.csv``.
    content : mapping
        Of ``package.json``.

    Raises
    ------
    InputError
        For a row that cannot be followed: no such slice or tile, two rows about one.
    """
    rows = read_overrides(table)
    slice_poses(rows)
    slices = {one["slice_id"] for one in (*content["slices"], *content["left_out"])}
    for row in rows:
        tiles = content["tiles"].get(str(row.slice_id))
        if row.slice_id not in slices:
            raise InputError(f"{table.name}: slice {row.slice_id} is not in {content['run']}")
        if tiles is None or row.tile is None or row.kind != "tile":
            continue
        if row.tile not in {(one["iy"], one["ix"]) for one in tiles["tiles"]}:
            raise InputError(
                f"{table.name}: slice {row.slice_id} has no tile (iy, ix) = {row.tile}"
            )
    return rows
