"""Stage displacements between consecutive slices: reading, checking and summing them.

A step holds where the mosaic's corner of the fixed slice lies minus where that of the moving slice
lies, in stage millimetres. It is a fact about the stage, not an instruction for moving images:
the placement of a slice is minus the sum of the steps, times the sign of the stage axis.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from mosaicflow.errors import InputError
from mosaicflow.io.tables import parse_bool, read_csv, write_csv
from mosaicflow.names import parse_slice_id

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

__all__ = [
    "ExcludedMode",
    "StagePlacement",
    "StageStep",
    "StepTable",
    "parse_steps",
    "place_slices",
    "read_steps",
    "write_steps",
]

YX = tuple[float, float]
# Of shifts_xy.csv and shifts_xy_clean.csv.
COLUMNS = (
    "fixed_id",
    "moving_id",
    "x_shift",
    "y_shift",
    "x_shift_mm",
    "y_shift_mm",
    "reliable",
    "source",
)
ExcludedMode = Literal["auto", "keep", "local_median", "median", "zero"]


@dataclass(frozen=True, slots=True)
class StageStep:
    """One row of ``shifts_xy.csv``.

    Parameters
    ----------
    fixed_id, moving_id : int
        The two slices; ``moving_id`` is the larger one.
    shift_mm : tuple of float
        (y, x) of fixed corner minus moving corner in stage coordinates [mm].
    reliable : bool
        False when the number must not be trusted.
    source : str
        ``stage``, ``image``, ``manual``, ``median`` or ``zero``.
    shift_px : tuple of float
        The same (y, x) in pixels of the raw tiles; NaN where it is not known. It only informs.
    others : mapping of str to str
        All other columns as they are written, those of people among them.
    """

    fixed_id: int
    moving_id: int
    shift_mm: YX
    reliable: bool = True
    source: str = "stage"
    shift_px: YX = field(default=(math.nan, math.nan), compare=False)
    others: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def length_mm(self) -> float:
        """Euclidean length of the step."""
        return math.hypot(*self.shift_mm)

    @property
    def px_per_mm(self) -> YX:
        """Scale (y, x) of its pixels; NaN where it is not known."""
        y, x = (
            px / mm if mm else math.nan for px, mm in zip(self.shift_px, self.shift_mm, strict=True)
        )
        return y, x

    @classmethod
    def from_cells(cls, cells: Mapping[str, str], where: str) -> StageStep:
        """Read a row as `read_csv` gives it.

        Raises
        ------
        InputError
            A number cannot be read; `where` names the row.
        """
        shift = (_number(cells, "y_shift_mm", where), _number(cells, "x_shift_mm", where))
        fixed, moving = parse_slice_id(cells["fixed_id"]), parse_slice_id(cells["moving_id"])
        if fixed == moving:
            raise InputError(f"{where}: slice {fixed} is paired with itself")
        flag = cells.get("reliable", "")
        return cls(
            fixed,
            moving,
            shift,
            parse_bool(flag.removesuffix(".0"), f"{where}, reliable") if flag else True,
            cells.get("source", "") or "stage",
            (_pixels(cells, "y_shift"), _pixels(cells, "x_shift")),
            {name: text for name, text in cells.items() if name not in COLUMNS},
        )

    def to_cells(self) -> dict[str, object]:
        """Write a row for `write_csv`; `from_cells` reads the same again."""
        own = (
            self.fixed_id,
            self.moving_id,
            *reversed(self.shift_px),
            *reversed(self.shift_mm),
            int(self.reliable),
            self.source,
        )
        return {**dict(zip(COLUMNS, own, strict=True)), **self.others}

    def turned_round(self) -> StageStep:
        """Give the same step from the lower slice to the upper one."""
        (y, x), (down, right) = self.shift_mm, self.shift_px
        return replace(
            self,
            fixed_id=self.moving_id,
            moving_id=self.fixed_id,
            shift_mm=(-y, -x),
            shift_px=(-down, -right),
        )


@dataclass(frozen=True, slots=True)
class StepTable:
    """All steps of a run, sorted by moving id.

    Parameters
    ----------
    steps : tuple of StageStep
        One per consecutive pair of acquired slices.
    px_per_mm : tuple of float
        (y, x) scale of the informative pixel columns (raw tile resolution); 0 when unknown.
    warnings : tuple of str
        What was repaired while reading.
    """

    steps: tuple[StageStep, ...]
    px_per_mm: YX
    warnings: tuple[str, ...]

    def with_steps(self, steps: Iterable[StageStep]) -> StepTable:
        """Hold other steps, rounded as tables have them, with pixels of this one's scale."""
        return replace(self, steps=tuple(self._rounded(step) for step in steps))

    def _rounded(self, step: StageStep) -> StageStep:
        y, x = (round(value, 9) for value in step.shift_mm)
        down, right = (
            round(value * scale, 4) if scale else math.nan
            for value, scale in zip(step.shift_mm, self.px_per_mm, strict=True)
        )
        return replace(step, shift_mm=(y, x), shift_px=(down, right))


@dataclass(frozen=True, slots=True)
class StagePlacement:
    """Where the stage puts every slice.

    Parameters
    ----------
    position_mm : mapping
        Slice id -> (y, x) of its mosaic's corner [mm]; the reference is at (0, 0).
    segment : mapping
        Slice id -> number of its chain of reliable steps; positions can be compared within one
        segment only.
    warnings : tuple of str
        Which steps had to be assumed.
    """

    position_mm: Mapping[int, YX]
    segment: Mapping[int, int]
    warnings: tuple[str, ...]


def read_steps(path: Path) -> StepTable:
    """Read a shift table (see `parse_steps`)."""
    rows = read_csv(path, ["fixed_id", "moving_id", "x_shift_mm", "y_shift_mm"])
    return parse_steps(rows, path.name)


def write_steps(path: Path, steps: Iterable[StageStep]) -> None:
    """Write a shift table; columns of people come after the usual ones."""
    rows = [step.to_cells() for step in steps]
    write_csv(path, list(dict.fromkeys([*COLUMNS, *(name for row in rows for name in row)])), rows)


def parse_steps(rows: Iterable[Mapping[str, str]], where: str) -> StepTable:
    """Check the rows of a shift table and bring them into one order and direction.

    Parameters
    ----------
    rows : iterable of mapping
        Cells by column name, as `mosaicflow.io.tables.read_csv` gives them.
    where : str
        Name of the table for messages.

    Returns
    -------
    StepTable
        Reversed rows are turned round, identical duplicates merged (both with a warning).

    Raises
    ------
    InputError
        When a number cannot be read or two rows of one pair differ.
    """
    steps: dict[tuple[int, int], StageStep] = {}
    warnings: list[str] = []
    ratios: list[tuple[float, float]] = []
    for number, row in enumerate(rows, start=2):
        step = StageStep.from_cells(row, f"{where}, row {number}")
        if step.fixed_id > step.moving_id:
            warnings.append(
                f"{where}, row {number}: pair {step.fixed_id}-{step.moving_id} reversed"
            )
            step = step.turned_round()
        pair = (step.fixed_id, step.moving_id)
        if pair in steps:
            if steps[pair] != step:
                raise InputError(
                    f"{where}, row {number}: pair {pair[0]}-{pair[1]} has two different rows",
                    remedy="keep the one that is right",
                )
            warnings.append(f"{where}, row {number}: pair {pair[0]}-{pair[1]} is listed twice")
        steps[pair] = step
        ratios.append(step.px_per_mm)
    ordered = sorted(steps.values(), key=lambda step: (step.moving_id, step.fixed_id))
    return StepTable(tuple(ordered), _median_ratio(ratios), tuple(warnings))


def _number(row: Mapping[str, str], column: str, where: str) -> float:
    try:
        value = float(row[column])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{where}: {column} is {row[column]!r}, expected a length in mm")
    return value


def _pixels(row: Mapping[str, str], column: str) -> float:
    try:
        return float(row[column])
    except (KeyError, ValueError):
        return math.nan  # the pixel columns only inform; without them they stay empty


def _median_ratio(ratios: Sequence[YX]) -> YX:
    columns = np.array(ratios, dtype=np.float64).reshape(-1, 2).T
    y, x = (float(np.median(c[np.isfinite(c)])) if np.isfinite(c).any() else 0.0 for c in columns)
    return (y or x, x or y)


def place_slices(
    table: StepTable,
    ids: Collection[int],
    reference_id: int,
    *,
    sign_yx: YX = (1.0, 1.0),
    excluded: Collection[int] = (),
    excluded_mode: ExcludedMode = "auto",
    window: int = 2,
    strict: bool = False,
) -> StagePlacement:
    """Sum the steps over the whole table, then pick the slices in use.

    Parameters
    ----------
    table : StepTable
        Steps of all acquired slices; dropping rows before summing would lose the displacement of
        the slices left out.
    ids : collection of int
        Slices to place.
    reference_id : int
        Slice at (0, 0).
    sign_yx : tuple of float
        +1 where the array index grows with the stage coordinate, -1 where it falls.
    excluded : collection of int
        Slices that are not used.
    excluded_mode : {'auto', 'keep', 'local_median', 'median', 'zero'}
        What a step that touches an excluded slice counts: itself; the median of the steps around
        it or of all steps; nothing. 'auto' keeps it when it is a reliable stage reading and takes
        the local median otherwise.
    window : int
        Rows on either side that the local median looks at.
    strict : bool
        Refuse a table in which a slice is not linked to its predecessors.

    Returns
    -------
    StagePlacement
        Position in mm and reliable segment of every slice in `ids`.

    Raises
    ------
    InputError
        In strict mode, when the chain is broken.
    """
    steps = _substitute(table.steps, frozenset(excluded), excluded_mode, window)
    position, segment, warnings = _accumulate(steps, ids, sign_yx)
    if strict and warnings:
        raise InputError(f"stage shifts: {warnings[0]}", remedy="complete the table")
    origin = np.array(position[reference_id])
    placed = {i: _as_yx(np.array(position[i]) - origin) for i in sorted(ids)}
    return StagePlacement(placed, {i: segment[i] for i in sorted(ids)}, tuple(warnings))


def _as_yx(vector: np.ndarray) -> YX:
    return float(vector[0]), float(vector[1])


def _substitute(
    steps: Sequence[StageStep], excluded: frozenset[int], mode: ExcludedMode, window: int
) -> list[StageStep]:
    """Replace the steps that touch an excluded slice."""

    def touches(step: StageStep) -> bool:
        return step.fixed_id in excluded or step.moving_id in excluded

    result = []
    for index, step in enumerate(steps):
        keep = mode == "keep" or (mode == "auto" and step.reliable and step.source == "stage")
        if keep or not touches(step):
            result.append(step)
            continue
        near = steps if mode == "median" else steps[max(0, index - window) : index + window + 1]
        good = [other.shift_mm for other in near if not touches(other)]
        if mode == "zero" or not good:
            result.append(replace(step, shift_mm=(0.0, 0.0), reliable=False, source="zero"))
        else:
            median = _as_yx(np.median(np.array(good), axis=0))
            result.append(replace(step, shift_mm=median, reliable=False, source="median"))
    return result


def _accumulate(
    steps: Sequence[StageStep], ids: Collection[int], sign_yx: YX
) -> tuple[dict[int, YX], dict[int, int], list[str]]:
    into = {step.moving_id: step for step in steps}
    if len(into) != len(steps):
        twice = [a.moving_id for a, b in itertools.pairwise(steps) if a.moving_id == b.moving_id]
        raise InputError(f"stage shifts: slice {twice[0]} follows two different slices")
    everyone = sorted({*ids, *into, *(step.fixed_id for step in steps)})
    position: dict[int, YX] = {everyone[0]: (0.0, 0.0)}
    segment = {everyone[0]: 0}
    warnings = []
    for previous, current in itertools.pairwise(everyone):
        step = into.get(current)
        if step is None:
            warnings.append(
                f"no row leads to slice {current}; a step of 0 from {previous} is assumed"
            )
            step = StageStep(previous, current, (0.0, 0.0), reliable=False)
        (y, x), (dy, dx) = position[step.fixed_id], step.shift_mm
        position[current] = (y - sign_yx[0] * dy, x - sign_yx[1] * dx)
        new_segment = max(segment.values()) + 1
        segment[current] = segment[step.fixed_id] if step.reliable else new_segment
    return position, segment, warnings
