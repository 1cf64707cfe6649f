"""The slice ledger: who is in use, who is not and why, and that the counts add up."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mosaicflow.errors import InputError
from mosaicflow.io.ledger_rows import LedgerRow
from mosaicflow.limits import MOST_SLICES
from mosaicflow.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

__all__ = [
    "Census",
    "Failure",
    "LeftOut",
    "final_rows",
    "merge_fragments",
    "take_census",
]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A slice that contributes no image.

    Parameters
    ----------
    slice_id : int
        Its number.
    status : str
        ``failed``, ``excluded`` or ``missing``.
    reason : str
        Why.
    stage : str
        Where it failed.
    """

    slice_id: int
    status: str
    reason: str
    stage: str = ""

    def to_json(self) -> dict[str, Any]:
        """Give the entry in ``alignment.json``."""
        return {
            "slice_id": self.slice_id,
            "status": self.status,
            "reason": self.reason,
            "stage": self.stage,
        }


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure record of a stage.

    Parameters
    ----------
    slice_id : int
        The slice.
    stage, reason : str
        Where and why.
    """

    slice_id: int
    stage: str
    reason: str


@dataclass(frozen=True, slots=True)
class Census:
    """Every known slice, once.

    Parameters
    ----------
    used : tuple of int
        Slices to align, sorted.
    left_out : tuple of LeftOut
        All others, sorted.
    warnings : tuple of str
        Oddities that did not stop the run.
    """

    used: tuple[int, ...]
    left_out: tuple[LeftOut, ...]
    warnings: tuple[str, ...]


def take_census(
    config: Sequence[LedgerRow],
    on_disk: Collection[int],
    failures: Sequence[Failure],
    *,
    strict: bool = False,
) -> Census:
    """Sort every slice into used, failed, excluded or missing.

    Parameters
    ----------
    config : sequence of LedgerRow
        Rows of ``slice_config.csv``.
    on_disk : collection of int
        Slices that reached alignment.
    failures : sequence of Failure
        Records of those that did not.
    strict : bool
        Refuse slices that the table does not list.

    Returns
    -------
    Census

    Raises
    ------
    InputError
        When a slice is neither here nor accounted for, or both here and failed.
    """
    rows: dict[int, LedgerRow] = {}
    for number, row in enumerate(config, start=2):
        if row.slice_id in rows:
            raise InputError(f"slice_config, row {number}: slice {row.slice_id} is listed twice")
        rows[row.slice_id] = row
    failed = {record.slice_id: record for record in failures}
    if both := sorted(failed.keys() & set(on_disk)):
        raise InputError(
            f"slice {both[0]} is here and has a failure record ({failed[both[0]].stage})",
            remedy="remove what an earlier run left behind",
        )
    used, left_out, warnings = [], [], []
    for slice_id in _known_ids(rows, on_disk, failed):
        known = rows.get(slice_id)
        if known is not None and not known.is_used:
            status = "excluded" if slice_id in on_disk or slice_id in failed else "missing"
            left_out.append(LeftOut(slice_id, status, known.reason))
        elif slice_id in failed:
            record = failed[slice_id]
            left_out.append(LeftOut(slice_id, "failed", record.reason, record.stage))
        elif slice_id in on_disk:
            used.append(slice_id)
            if known is None:
                warnings.append(f"slice {slice_id} is not in slice_config; it is used")
        elif known is not None:
            raise InputError(
                f"slice {slice_id} is to be used but arrived neither as a slice nor as a failure "
                "record",
                remedy="run its stages again, or set use=false in slice_config.csv",
            )
        else:
            left_out.append(LeftOut(slice_id, "missing", "no tiles found"))
    if strict and warnings:
        raise InputError(warnings[0], remedy="add it to slice_config.csv")
    return Census(tuple(used), tuple(left_out), tuple(warnings))


def _known_ids(*groups: Iterable[int]) -> range:
    everyone = sorted({slice_id for group in groups for slice_id in group})
    if everyone and everyone[-1] - everyone[0] >= MOST_SLICES:
        middle = everyone[len(everyone) // 2]
        odd = max(everyone[0], everyone[-1], key=lambda slice_id: abs(slice_id - middle))
        raise InputError(
            f"slice_config: slice {odd} lies far from the others, expected less than "
            f"{MOST_SLICES} from the first to the last",
            remedy="correct its row",
        )
    return range(everyone[0], everyone[-1] + 1) if everyone else range(0)


def merge_fragments(
    config: Sequence[LedgerRow], fragments: Sequence[LedgerRow]
) -> tuple[list[LedgerRow], list[str]]:
    """Stamp what stages found into the ledger.

    Parameters
    ----------
    config : sequence of LedgerRow
        Rows of ``slice_config.csv``.
    fragments : sequence of LedgerRow
        What stages add; their decision to use a slice does not count.

    Returns
    -------
    rows : list of LedgerRow
        Sorted by id; a slice that only a fragment knows is added with ``use=false``.
    warnings : list of str
        Cells on which two writers disagree; the later one counts.
    """
    rows = {row.slice_id: row for row in config}
    warnings = []
    told: dict[tuple[int, str], Any] = {}
    for fragment in fragments:
        i = fragment.slice_id
        for column, value in fragment.said().items():
            if told.setdefault((i, column), value) != value:
                warnings.append(f"slice {i}: two stages disagree about {column}")
            told[i, column] = value
        row = rows.get(i, LedgerRow.of(i, use=False)).with_said(fragment)
        rows[i] = row.with_note(fragment.notes) if fragment.notes else row
    return [rows[key] for key in sorted(rows)], warnings


def final_rows(
    config: Sequence[LedgerRow],
    left_out: Sequence[LeftOut],
    auto_excluded: Mapping[int, str],
) -> list[LedgerRow]:
    """Write the outcome of alignment into the ledger.

    Parameters
    ----------
    config : sequence of LedgerRow
        The ledger so far; users' entries are kept as they are.
    left_out : sequence of LeftOut
        Slices without image.
    auto_excluded : mapping
        Id -> reason of the slices that alignment itself excluded.

    Returns
    -------
    list of LedgerRow
        Sorted by id, one row per known slice.
    """
    rows = {row.slice_id: row for row in config}
    for one in left_out:
        row = rows.get(one.slice_id, LedgerRow.of(one.slice_id, use=False))
        if one.status == "failed":
            row = row.with_note(f"{one.stage} failed: {one.reason}")
        elif one.status == "missing" and not row.exclude_reason:
            row = replace(row, exclude_reason=Reason.NO_TILES)
        elif one.reason.startswith(Reason.BY_HAND):
            row = replace(row, use=False, exclude_reason=one.reason)
        rows[one.slice_id] = row
    for i, reason in auto_excluded.items():
        rows[i] = replace(rows[i], auto_excluded=True, auto_exclude_reason=reason)
    return [rows[key] for key in sorted(rows)]
