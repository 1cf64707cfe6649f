"""Two runs beside each other, or one run's slices as the stage and as images place them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mosaicflow import names
from mosaicflow.errors import InputError
from mosaicflow.report.about import Facts
from mosaicflow.report.contents import Contents, gather
from mosaicflow.report.overlays import neighbour_overlays
from mosaicflow.report.page import COLUMNS
from mosaicflow.report.pictures import run_pictures
from mosaicflow.report.records import RunFiles
from mosaicflow.report.rendering import NOT_MEASURED, fill, number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mosaicflow.report.slices import SliceRow

__all__ = ["Cell", "compare_runs", "compare_with_stage", "read_run", "recorded_run"]

_FOLDERS = ("metrics", "tables", "transforms", "previews")
_ENDINGS = (".json", ".csv", ".png")


@dataclass(frozen=True, slots=True)
class Cell:
    """One number of one slice in two runs.

    Parameters
    ----------
    first, second : str
        As each run has it.
    """

    first: str
    second: str

    @property
    def differs(self) -> bool:
        """Whether a reader sees a difference."""
        return self.first != self.second


@dataclass(frozen=True, slots=True)
class _Line:
    slice_id: int
    cells: tuple[Cell, ...]
    moved: str


def recorded_run(folder: Path) -> dict[str, Any]:
    """Read the record of a finished run, ``pipeline_info/run.json``.

    Raises
    ------
    InputError
        When the folder holds no finished run.
    """
    from mosaicflow.io.tables import read_document

    record = folder / names.RECORD.folder / names.RECORD.of()
    if not record.is_file():
        raise InputError(
            f"{folder}: no pipeline_info/run.json in it, expected the output folder of a run that"
            " has come to its end",
            remedy="give the folder that was --output of `mosaicflow run` or `nextflow run`",
        )
    return read_document(record)


def read_run(folder: Path) -> Contents:
    """Read what a finished run wrote about itself.

    Parameters
    ----------
    folder : Path
        Output folder of a run.

    Returns
    -------
    Contents

    Raises
    ------
    InputError
        When the folder holds no finished run.
    """
    told = recorded_run(folder)
    volumes = [one for one in told["outputs"] if one.endswith(".ome.zarr") and "/" not in one]
    facts = Facts(
        volume=volumes[0] if volumes else "",
        parameters=told["parameters"],
        defaults=told["parameters"],
        outputs=tuple(told["outputs"]),
        engine=told["engine"],
    )
    files = (path for name in _FOLDERS for path in sorted((folder / name).glob("*")))
    return gather(RunFiles(tuple(path for path in files if _is_small(path))), facts)


def _is_small(path: Path) -> bool:
    return path.name.endswith(_ENDINGS) and not path.name.endswith(".crc32c.json")


def compare_runs(first: Contents, second: Contents, names: tuple[str, str]) -> str:
    """Write a page with the differences of two runs.

    Parameters
    ----------
    first, second : Contents
        The runs.
    names : (str, str)
        What to call them.

    Returns
    -------
    str
        HTML that needs nothing else.
    """
    lines = _lines(first, second)
    pictures = [run_pictures(one.files, one.facts.volume) for one in (first, second)]
    by_id = [
        {one.slice_id: one for one in slices if one.slice_id is not None}
        for _, _, slices in pictures
    ]
    return fill(
        "comparison.html.j2",
        names=names,
        runs=(first, second),
        titles=[(title, text) for title, text, _ in COLUMNS],
        lines=lines,
        changed=sum(any(cell.differs for cell in line.cells) for line in lines),
        settings=_settings(first, second),
        volumes=(pictures[0][0], pictures[1][0]),
        pairs=[
            (f"slice {slice_id}", by_id[0].get(slice_id), by_id[1].get(slice_id))
            for slice_id in sorted({*by_id[0], *by_id[1]})
        ],
    )


def _lines(first: Contents, second: Contents) -> list[_Line]:
    """Set each slice's numbers beside each other; those that differ most come first."""
    rows = [{row.slice_id: row for row in one.rows} for one in (first, second)]
    moves = _moves(first.alignment, second.alignment)
    lines = [
        _Line(
            slice_id,
            tuple(
                Cell(*(_written(found.get(slice_id), write) for found in rows))
                for _, _, write in COLUMNS
            ),
            number(moves.get(slice_id)),
        )
        for slice_id in sorted({*rows[0], *rows[1]})
    ]
    return sorted(lines, key=lambda line: -sum(cell.differs for cell in line.cells))


def _written(row: SliceRow | None, write: Any) -> str:  # noqa: ANN401  # a column's own function
    if row is None:
        return "not in this run"
    return row.lost.kind if row.lost is not None else str(write(row))


def _moves(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[int, float]:
    """Measure how far the place of each slice differs [um], less what all have in common.

    Only where both runs have the slice in the same frame: its centre is then the same place.
    """
    import numpy as np

    centres = [_centres(one) for one in (first, second)]
    both = [
        one for one in sorted(set(centres[0]) & set(centres[1]))
        if centres[0][one][0] == centres[1][one][0]
    ]  # fmt: skip
    if not both:
        return {}
    away = np.array([np.subtract(centres[1][one][1], centres[0][one][1]) for one in both])
    away -= np.median(away, axis=0)
    return {one: math.hypot(*step) for one, step in zip(both, away.tolist(), strict=True)}


Place = tuple[float, float]


def _centres(alignment: Mapping[str, Any]) -> dict[int, tuple[Place, Place]]:
    """Give each slice's centre in its own frame, and where it was placed [um]."""
    found = {}
    for one in alignment.get("slices", ()):
        pitch = [float(value) for value in alignment["pitch_um"][1:]]
        own = [c * p for c, p in zip(one["center_yx"], pitch, strict=True)]
        moved = [t * p for t, p in zip(one["translation_yx"], pitch, strict=True)]
        at = (own[0] + moved[0], own[1] + moved[1])
        found[int(one["slice_id"])] = ((round(own[0], 3), round(own[1], 3)), at)
    return found


def _settings(first: Contents, second: Contents) -> list[tuple[str, Cell]]:
    told = [one.facts.parameters for one in (first, second)]
    cells = {
        name: Cell(*(str(one.get(name, "not set")) for one in told))
        for name in sorted({*told[0], *told[1]})
    }
    return [(name, cell) for name, cell in cells.items() if cell.differs]


def compare_with_stage(run: Contents, name: str) -> str:
    """Write a page that shows the slices of one run as the stage and as images place them.

    Parameters
    ----------
    run : Contents
        The run.
    name : str
        What to call it.

    Returns
    -------
    str
        HTML that needs nothing else.
    """
    overlays = neighbour_overlays(run.files, run.alignment)
    return fill(
        "comparison.html.j2",
        names=("by the stage", "as registered"),
        runs=None,
        run=name,
        verdict=run.verdict,
        rows=_stage_rows(run.rows),
        pairs=[
            (f"slices {one.fixed_id} and {one.moving_id}", one.stage, one.placed)
            for one in overlays
        ],
    )


def _stage_rows(rows: Sequence[SliceRow]) -> list[tuple[SliceRow, str, str]]:
    """Order slices by what registration gained on left-out parts, the least first."""

    def gain(row: SliceRow) -> float:
        if row.held_out is None or row.held_out_stage is None:
            return math.inf
        return row.held_out - row.held_out_stage

    return [
        (
            row,
            NOT_MEASURED if row.moved_px is None else number(math.hypot(*row.moved_px)),
            number(gain(row)),
        )
        for row in sorted(rows, key=lambda row: (gain(row), row.slice_id))
    ]
