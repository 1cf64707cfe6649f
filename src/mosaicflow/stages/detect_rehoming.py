"""Stage `detect_rehoming`: repair what the stage's positions cannot mean."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from mosaicflow import names
from mosaicflow.limits import ABOVE_0, FRACTION, Limit
from mosaicflow.measures import Measure
from mosaicflow.reasons import Concern
from mosaicflow.stages._contract import Reads, stage

if TYPE_CHECKING:
    from mosaicflow.io.report import StageReport
    from mosaicflow.steps.rehoming import RehomingResult
    from mosaicflow.steps.table import StepTable

__all__ = ["detect_rehoming"]


METRICS = (
    Measure("max_step", "longest step", "mm", warning=0.5),
    Measure("median_step", "typical step", "mm", warning=0.5),
    Measure("unreliable_fraction", "share of steps not trusted", warning=0.1),
    Measure("tile_offsets", "steps cleared of whole tiles"),
    Measure("spikes", "jumps and returns removed"),
    Measure("genuine_moves", "large steps that were kept"),
)


@stage(
    "run",
    label="table",
    title="Stage movements",
    icon="route",
    makes=(names.CLEAN_SHIFTS, names.REHOMING, names.REHOMING_LEDGER),
    metrics=METRICS,
)
def detect_rehoming(
    report: StageReport,
    *,
    shifts: Annotated[Path, Reads(names.SHIFTS)],
    output_dir: Path,
    rehoming_max_shift_mm: Annotated[float, ABOVE_0] = 0.5,
    rehoming_return_fraction: Annotated[float, FRACTION] = 0.4,
    tile_fov_mm: Annotated[float | None, ABOVE_0] = None,
    tile_fov_tolerance: Annotated[float, Limit(least=0, most=0.5)] = 0.05,
    strict: bool = False,
    threads: int = 1,
) -> None:
    """Tell spikes of the stage from genuine moves, and write steps that can be summed.

    Parameters
    ----------
    shifts : Path
        Steps between consecutive slices (shifts_xy.csv).
    output_dir : Path
        Folder for shifts_xy_clean.csv, rehoming_report.json and rehoming_config.csv (the moved
        slices, for the slice configuration).
    rehoming_max_shift_mm : float
        Longest step that needs no explanation [mm].
    rehoming_return_fraction : float
        A jump is a spike when the next step takes all of it back but this part.
    tile_fov_mm : float | None
        Field of view of a tile [mm], only for tables of older software in which a new row of tiles
        looks like a movement; empty: steps are taken as they are.
    tile_fov_tolerance : float
        How near such a step is to whole tiles, in fields of view.
    strict : bool
        Refuse a table that needs repair (rows reversed, listed twice or missing).
    threads : int
        Not used: the table is small.
    """
    from mosaicflow.errors import InputError
    from mosaicflow.io.ledger_rows import LedgerRow, write_rows
    from mosaicflow.io.tables import write_document
    from mosaicflow.steps.rehoming import clean_steps
    from mosaicflow.steps.table import read_steps, write_steps

    table = read_steps(shifts)
    if strict and table.warnings:
        raise InputError(table.warnings[0], remedy="repair the table or leave out --strict")
    found = clean_steps(
        table.steps,
        max_shift_mm=rehoming_max_shift_mm,
        return_fraction=rehoming_return_fraction,
        tile_fov_mm=tile_fov_mm,
        tile_fov_tolerance=tile_fov_tolerance,
    )
    output_dir.mkdir(parents=True, exist_ok=True)
    clean = output_dir / names.CLEAN_SHIFTS.of()
    write_steps(clean, table.with_steps(found.steps).steps)
    write_document(output_dir / names.REHOMING.of(), found.to_json())
    write_rows(
        output_dir / names.REHOMING_LEDGER.of(),
        [
            LedgerRow.of(step.moving_id, rehomed=True, rehoming_reliable=False)
            for step in found.genuine
        ],
        columns=("slice_id", "rehomed", "rehoming_reliable"),
    )
    _report(report, table, found)
    report.write(clean)


def _report(report: StageReport, table: StepTable, found: RehomingResult) -> None:
    for warning in table.warnings:
        report.warn(warning, Concern.STEPS)
    lengths = sorted(step.length_mm for step in found.steps)
    if lengths:
        report.metric("max_step", lengths[-1])
        report.metric("median_step", lengths[len(lengths) // 2])
        unreliable = sum(not step.reliable for step in found.steps) / len(lengths)
        report.metric("unreliable_fraction", unreliable)
    report.metric("tile_offsets", len(found.tile_offsets))
    report.metric("spikes", len(found.spikes) // 2)
    report.metric("genuine_moves", len(found.genuine))
