"""The ledger of slices: which are used, and why not."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from mosaicflow.errors import InputError, ParameterError
from mosaicflow.io.tables import parse_bool, read_csv
from mosaicflow.names import format_slice_id, parse_slice_id
from mosaicflow.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mosaicflow.acquisition.tiles import SliceTiles

__all__ = ["CONFIG_COLUMNS", "config_rows", "merge_config", "read_config"]

CONFIG_COLUMNS = (
    "slice_id",
    "use",
    "exclude_reason",
    "quality_score",
    "galvo_confidence",
    "galvo_fix",
    "notes",
    "rehomed",
    "rehoming_reliable",
    "auto_excluded",
    "auto_exclude_reason",
    "interpolated",
    "interpolation_failed",
    "interpolation_method_used",
    "interpolation_fallback_reason",
)
_REPAIR = "complete it, or remove it to start from the proposals again"
# More than any line has.
_LINE_CHARACTERS = 100_000
# Depth, in that of the others, from which a first slice is taken for a calibration; by judgement.
# Doubled, one of twice the depth is stacked.
_THICKER = 1.5
# Slices from the first on that may be calibrations, by judgement. Doubled, a deep slice inside the
# tissue may be left out.
_LEADING = 3

Row = dict[str, object]


def config_rows(slices: Sequence[SliceTiles], *, exclude_first_slices: str = "auto") -> list[Row]:
    """Propose which slices to use.

    Parameters
    ----------
    slices : sequence of SliceTiles
        Sorted by id.
    exclude_first_slices : str
        ``auto``: leading slices much deeper than the others are calibration faces; a number leaves
        out that many. The last usable slice is never left out.

    Returns
    -------
    list of dict
        One row per id from the first to the last, absent ones included.
    """
    by_id = {tiles.slice_id: tiles for tiles in slices}
    usable = [tiles for tiles in slices if not tiles.failure]
    excluded = _first_slices(usable, exclude_first_slices)
    rows = []
    for slice_id in range(slices[0].slice_id, slices[-1].slice_id + 1):
        tiles = by_id.get(slice_id)
        row: Row = dict.fromkeys(CONFIG_COLUMNS, "")
        row["slice_id"] = format_slice_id(slice_id)
        row["use"] = tiles is not None and not tiles.failure and slice_id not in excluded
        if tiles is None or tiles.failure:
            row["exclude_reason"] = Reason.NO_TILES
        else:
            row["exclude_reason"] = excluded.get(slice_id, "")
        row["notes"] = _notes(tiles)
        rows.append(row)
    return rows


def _notes(tiles: SliceTiles | None) -> str:
    if tiles is None:
        return "no tiles found"
    if tiles.failure:
        return tiles.failure
    lost = sum(tile.status == "skipped" for tile in tiles.tiles)
    unplaced = sum(tile.status == "unplaced" for tile in tiles.tiles)
    counts = [(lost, "unusable"), (unplaced, "without position")]
    return "; ".join(f"{n} tile{'s' * (n > 1)} {what}" for n, what in counts if n)


def _first_slices(usable: Sequence[SliceTiles], setting: str) -> dict[int, str]:
    last = len(usable) - 1
    if setting == "auto":
        chosen = usable[: min(_calibration_faces(usable), max(last, 0))]
        return {tiles.slice_id: Reason.CALIBRATION for tiles in chosen}
    if not setting.isdigit():
        raise ParameterError(f"exclude_first_slices is {setting!r}, expected 'auto' or a number")
    chosen = usable[: min(int(setting), max(last, 0))]
    return {tiles.slice_id: Reason.FIRST for tiles in chosen}


def _calibration_faces(usable: Sequence[SliceTiles]) -> int:
    count = 0
    for tiles in usable[:_LEADING]:
        others = [t.tile_shape[0] for t in usable if t is not tiles]
        if not others or tiles.tile_shape[0] <= _THICKER * statistics.median(others):
            break
        count += 1
    return count


def read_config(path: Path) -> list[dict[str, str]]:
    """Read a ledger that a person edited.

    Parameters
    ----------
    path : Path
        The table; needs ``slice_id`` and ``use``.

    Returns
    -------
    list of dict
        One per row.

    Raises
    ------
    InputError
        When it is no table, or was cut: decisions that are lost must not turn into proposals.
    """
    rows = read_csv(path, required=("slice_id", "use"))
    if not rows:
        raise InputError(f"{path}: holds a header and no slice", remedy=_REPAIR)
    last_column = list(rows[0])[-1]
    whole = [name for name in CONFIG_COLUMNS if name != last_column]
    if last_column not in CONFIG_COLUMNS and any(n.startswith(last_column) for n in whole):
        raise InputError(f"{path}: the header ends in {last_column!r}: it is cut", remedy=_REPAIR)
    last = path.read_text(encoding="utf-8-sig")[-_LINE_CHARACTERS:].rpartition("\n")[2]
    # Some editors leave the last line end out, but none the commas in front of it.
    if last and last.count(",") < len(rows[0]) - 1:
        raise InputError(f"{path}: the last line, {last!r:.80}, is cut", remedy=_REPAIR)
    for row in rows:
        slice_id = parse_slice_id(row["slice_id"])
        parse_bool(row["use"], f"{path}, slice {slice_id}, column use")
    return rows


def merge_config(
    rows: Sequence[Row], user_rows: Sequence[Mapping[str, str]], where: str
) -> tuple[list[Row], list[str]]:
    """Combine a proposal with a table that a user edited; the user's word counts.

    Parameters
    ----------
    rows : sequence of dict
        The proposal.
    user_rows : sequence of mapping
        The user's table; needs ``slice_id`` and ``use``.
    where : str
        Name of that table, for messages.

    Returns
    -------
    rows : list of dict
        Sorted by id, extra columns kept at the end. ``use=false`` of the user stays; a slice that
        cannot be built stays out whatever the user says.
    warnings : list of str
        Slices that are in only one of the two.

    Raises
    ------
    InputError
        When an id appears twice.
    """
    edited: dict[int, Mapping[str, str]] = {}
    for number, row in enumerate(user_rows, start=2):
        slice_id = parse_slice_id(row["slice_id"])
        if slice_id in edited:
            raise InputError(f"{where}, row {number}: slice {slice_id} is listed twice")
        edited[slice_id] = row
    proposed = {parse_slice_id(str(row["slice_id"])): row for row in rows}
    merged, warnings = [], []
    for slice_id in sorted(proposed | edited):
        own, theirs = proposed.get(slice_id), edited.get(slice_id)
        name = format_slice_id(slice_id)
        if own is None:
            warnings.append(f"{where}: slice {name} has a row but no tiles")
            own = {"slice_id": name, "use": False, "exclude_reason": Reason.NO_TILES}
        elif theirs is None:
            warnings.append(f"{where}: slice {name} is not in the table; it is used as proposed")
        merged.append(own if theirs is None else _merge_row(own, theirs, where))
    return merged, warnings


def _merge_row(own: Row, theirs: Mapping[str, str], where: str) -> Row:
    wanted = parse_bool(theirs["use"], f"{where}, slice {own['slice_id']}, column use")
    unusable = own["exclude_reason"] == Reason.NO_TILES
    row: Row = {**own, **{k: v for k, v in theirs.items() if v and k not in ("slice_id", "use")}}
    row["use"] = wanted and not unusable
    if unusable:
        row["exclude_reason"] = Reason.NO_TILES
    elif not wanted:
        row["exclude_reason"] = theirs.get("exclude_reason") or Reason.EARLIER
    else:
        row["exclude_reason"] = ""
    return row
