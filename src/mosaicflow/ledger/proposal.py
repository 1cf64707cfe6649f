"""The ledger of slices: which are used, and why not."""

from __future__ import annotations

import statistics
from dataclasses import replace
from typing import TYPE_CHECKING

from mosaicflow.errors import InputError, ParameterError
from mosaicflow.io.ledger_rows import CONFIG_COLUMNS, LedgerRow
from mosaicflow.io.tables import read_csv
from mosaicflow.names import format_slice_id
from mosaicflow.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mosaicflow.acquisition.tiles import SliceTiles

__all__ = ["config_rows", "merge_config", "read_config"]

_REPAIR = "complete it, or remove it to start from the proposals again"
# More than any line has.
_LINE_CHARACTERS = 100_000
# Depth, in that of the others, from which a first slice is taken for a calibration; by judgement.
# Doubled, one of twice the depth is stacked.
_THICKER = 1.5
# Slices from the first on that may be calibrations, by judgement. Doubled, a deep slice inside the
# tissue may be left out.
_LEADING = 3


def config_rows(
    slices: Sequence[SliceTiles], *, exclude_first_slices: str = "auto"
) -> list[LedgerRow]:
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
    list of LedgerRow
        One row per id from the first to the last, absent ones included.
    """
    by_id = {tiles.slice_id: tiles for tiles in slices}
    usable = [tiles for tiles in slices if not tiles.failure]
    excluded = _first_slices(usable, exclude_first_slices)
    rows = []
    for slice_id in range(slices[0].slice_id, slices[-1].slice_id + 1):
        tiles = by_id.get(slice_id)
        has_tiles = tiles is not None and not tiles.failure
        why = excluded.get(slice_id, "") if has_tiles else Reason.NO_TILES
        rows.append(LedgerRow.of(slice_id, use=not why, exclude_reason=why, notes=_notes(tiles)))
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


def read_config(path: Path) -> list[LedgerRow]:
    """Read a ledger that a person edited.

    Parameters
    ----------
    path : Path
        The table; needs ``slice_id`` and ``use``.

    Returns
    -------
    list of LedgerRow
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
    return [LedgerRow.from_cells(row, str(path)) for row in rows]


def merge_config(
    rows: Sequence[LedgerRow], user_rows: Sequence[LedgerRow], where: str
) -> tuple[list[LedgerRow], list[str]]:
    """Combine a proposal with a table that a user edited; the user's word counts.

    Parameters
    ----------
    rows : sequence of LedgerRow
        The proposal.
    user_rows : sequence of LedgerRow
        The user's table.
    where : str
        Name of that table, for messages.

    Returns
    -------
    rows : list of LedgerRow
        Sorted by id, extra columns kept. ``use=false`` of the user stays; a slice that
        cannot be built stays out whatever the user says.
    warnings : list of str
        Slices that are in only one of the two.

    Raises
    ------
    InputError
        When an id appears twice.
    """
    edited: dict[int, LedgerRow] = {}
    for number, row in enumerate(user_rows, start=2):
        if row.slice_id in edited:
            raise InputError(f"{where}, row {number}: slice {row.slice_id} is listed twice")
        edited[row.slice_id] = row
    proposed = {row.slice_id: row for row in rows}
    merged, warnings = [], []
    for i in sorted(proposed | edited):
        own, theirs = proposed.get(i), edited.get(i)
        name = format_slice_id(i)
        if own is None:
            warnings.append(f"{where}: slice {name} has a row but no tiles")
            own = LedgerRow.of(i, use=False, exclude_reason=Reason.NO_TILES)
        elif theirs is None:
            warnings.append(f"{where}: slice {name} is not in the table; it is used as proposed")
        merged.append(own if theirs is None else _merge_row(own, theirs))
    return merged, warnings


def _merge_row(own: LedgerRow, theirs: LedgerRow) -> LedgerRow:
    unusable = own.exclude_reason == Reason.NO_TILES
    wanted = bool(theirs.use)
    why = "" if wanted else theirs.exclude_reason or Reason.EARLIER
    row = replace(own.with_said(theirs), notes=theirs.notes or own.notes)
    return replace(
        row, use=wanted and not unusable, exclude_reason=Reason.NO_TILES if unusable else why
    )
