"""The slice ledger: who is in use, who is not and why, and that the counts add up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mosaicflow.errors import InputError
from mosaicflow.io.tables import parse_bool
from mosaicflow.names import format_slice_id, parse_slice_id
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

Row = dict[str, str]


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
    config: Sequence[Mapping[str, str]],
    on_disk: Collection[int],
    failures: Sequence[Failure],
    *,
    strict: bool = False,
) -> Census:
    """Sort every slice into used, failed, excluded or missing.

    Parameters
    ----------
    config : sequence of mapping
        Rows of ``slice_config.csv`` (columns slice_id and use).
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
    rows = {}
    for number, row in enumerate(config, start=2):
        slice_id = parse_slice_id(row["slice_id"])
        if slice_id in rows:
            raise InputError(f"slice_config, row {number}: slice {slice_id} is listed twice")
        rows[slice_id] = row
    failed = {record.slice_id: record for record in failures}
    if both := sorted(failed.keys() & set(on_disk)):
        raise InputError(
            f"slice {both[0]} is here and has a failure record ({failed[both[0]].stage})",
            remedy="remove what an earlier run left behind",
        )
    used, left_out, warnings = [], [], []
    for slice_id in _known_ids(rows, on_disk, failed):
        row = rows.get(slice_id, {})
        if row and _is_skipped(row, slice_id):
            status = "excluded" if slice_id in on_disk or slice_id in failed else "missing"
            left_out.append(LeftOut(slice_id, status, _skip_reason(row)))
        elif slice_id in failed:
            record = failed[slice_id]
            left_out.append(LeftOut(slice_id, "failed", record.reason, record.stage))
        elif slice_id in on_disk:
            used.append(slice_id)
            if not row:
                warnings.append(f"slice {slice_id} is not in slice_config; it is used")
        elif row:
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
    return range(everyone[0], everyone[-1] + 1) if everyone else range(0)


def _is_skipped(row: Mapping[str, str], slice_id: int) -> bool:
    where = f"slice_config, slice {slice_id}"
    auto = row.get("auto_excluded", "")
    return not parse_bool(row["use"], f"{where}, use") or parse_bool(
        auto, f"{where}, auto_excluded"
    )


def _skip_reason(row: Mapping[str, str]) -> str:
    reasons = (row.get("exclude_reason", ""), row.get("auto_exclude_reason", ""))
    return "; ".join(reason for reason in reasons if reason) or "use is false"


def merge_fragments(
    config: Sequence[Mapping[str, str]], fragments: Sequence[Mapping[str, str]]
) -> tuple[list[Row], list[str]]:
    """Stamp what stages found into the ledger.

    Parameters
    ----------
    config : sequence of mapping
        Rows of ``slice_config.csv``.
    fragments : sequence of mapping
        Rows of the fragments: ``slice_id`` and the columns a stage sets.

    Returns
    -------
    rows : list of dict
        Sorted by id; a slice that only a fragment knows is added with ``use=false``.
    warnings : list of str
        Cells on which two writers disagree; the later one counts.
    """
    rows = {parse_slice_id(row["slice_id"]): dict(row) for row in config}
    warnings = []
    stamped: dict[tuple[int, str], str] = {}
    for fragment in fragments:
        slice_id = parse_slice_id(fragment["slice_id"])
        row = rows.setdefault(slice_id, {"slice_id": format_slice_id(slice_id), "use": "false"})
        for column, value in fragment.items():
            if column in ("slice_id", "use") or not value:
                continue
            if column == "notes":
                row["notes"] = _joined(row.get("notes", ""), value)
                continue
            if stamped.get((slice_id, column), value) != value:
                warnings.append(f"slice {slice_id}: two stages disagree about {column}")
            stamped[slice_id, column] = row[column] = value
    return [rows[key] for key in sorted(rows)], warnings


def final_rows(
    config: Sequence[Mapping[str, str]],
    left_out: Sequence[LeftOut],
    auto_excluded: Mapping[int, str],
) -> list[Row]:
    """Write the outcome of alignment into the ledger.

    Parameters
    ----------
    config : sequence of mapping
        The ledger so far; users' entries are kept as they are.
    left_out : sequence of LeftOut
        Slices without image.
    auto_excluded : mapping
        Id -> reason of the slices that alignment itself excluded.

    Returns
    -------
    list of dict
        Sorted by id, one row per known slice.
    """
    rows = {parse_slice_id(row["slice_id"]): dict(row) for row in config}
    for one in left_out:
        row = rows.setdefault(
            one.slice_id, {"slice_id": format_slice_id(one.slice_id), "use": "false"}
        )
        if one.status == "failed":
            row["notes"] = _joined(row.get("notes", ""), f"{one.stage} failed: {one.reason}")
        elif one.status == "missing" and not row.get("exclude_reason"):
            row["exclude_reason"] = Reason.NO_TILES
        elif one.reason == Reason.BY_HAND:
            row |= {"use": "false", "exclude_reason": Reason.BY_HAND}
    for slice_id, reason in auto_excluded.items():
        rows[slice_id].update({"auto_excluded": "true", "auto_exclude_reason": reason})
    return [rows[key] for key in sorted(rows)]


def _joined(old: str, new: str) -> str:
    parts = [part.strip() for part in old.split(";") if part.strip()]
    return "; ".join(parts if new in parts else [*parts, new])
