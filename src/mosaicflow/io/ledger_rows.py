"""One row of ``slice_config.csv`` as a type: what stages and people say of a slice."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mosaicflow.errors import InputError
from mosaicflow.io.tables import parse_bool, read_csv, write_csv
from mosaicflow.names import format_slice_id, parse_slice_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

__all__ = ["CONFIG_COLUMNS", "LedgerRow", "read_rows", "write_rows"]

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


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRow:
    """What is known of one slice; None, and an empty text: nothing is said.

    Parameters
    ----------
    label : str
        Its id as the table writes it, such as ``03``.
    use : bool or None
        Whether its image is used; None of what a stage adds to the ledger.
    exclude_reason : str
        Why not: a code of `Reason`, or somebody's own words.
    notes : str
        Sentences, joined by semicolons.
    auto_excluded : bool or None
        Whether a stage left it out.
    auto_exclude_reason : str
        A code of `Reason`.
    galvo_confidence : float or None
        From 0 to 1: how sure the galvo return is found inside the image.
    galvo_fix, rehomed, rehoming_reliable : bool or None
        Whether B-scans were rolled; whether the stage lost its zero before it, and whether the
        size of that jump is trusted.
    others : mapping of str to str
        All other columns as they are written, those of people among them.
    """

    label: str
    use: bool | None = None
    exclude_reason: str = ""
    notes: str = ""
    auto_excluded: bool | None = None
    auto_exclude_reason: str = ""
    galvo_confidence: float | None = None
    galvo_fix: bool | None = None
    rehomed: bool | None = None
    rehoming_reliable: bool | None = None
    others: Mapping[str, str]

    @property
    def slice_id(self) -> int:
        """Number of the slice."""
        return parse_slice_id(self.label)

    @property
    def is_used(self) -> bool:
        """Whether its image is to be used: neither people nor stages leave it out."""
        return bool(self.use) and not self.auto_excluded

    @property
    def reason(self) -> str:
        """Why its image is not used."""
        said = (self.exclude_reason, self.auto_exclude_reason)
        return "; ".join(one for one in said if one) or "use is false"

    @classmethod
    def of(cls, slice_id: int, **said: Any) -> LedgerRow:  # noqa: ANN401  # fields
        """Make a row of a slice that no table has."""
        return cls(label=format_slice_id(slice_id), others={}, **said)

    @classmethod
    def from_cells(cls, cells: Mapping[str, str], where: str) -> LedgerRow:
        """Read a row as `read_csv` gives it.

        Raises
        ------
        InputError
            A cell is not what its column holds; `where` names the table.
        """
        label = cells["slice_id"]
        here = f"{where}, slice {parse_slice_id(label)}"
        parsed: dict[str, Any] = {
            name: parse(cells[name], f"{here}, column {name}")
            for name, parse in _PARSERS.items()
            if name in cells
        }
        own = {"slice_id", *_PARSERS}
        others = {name: text for name, text in cells.items() if name not in own}
        return cls(label=label, others=others, **parsed)

    def to_cells(self) -> dict[str, str]:
        """Write what is said, in the order of the columns; `from_cells` reads the same again."""
        own = {"slice_id": self.label, **{name: _text(getattr(self, name)) for name in _PARSERS}}
        cells = {**{name: text for name, text in own.items() if text}, **self.others}
        order = [name for name in CONFIG_COLUMNS if name in cells]
        return {name: cells[name] for name in dict.fromkeys([*order, *cells])}

    def said(self) -> dict[str, Any]:
        """Give what it says beyond the decision to use the slice, and the notes, by column."""
        own = {name: getattr(self, name) for name in _PARSERS if name not in ("use", "notes")}
        return {n: v for n, v in {**own, **self.others}.items() if v not in (None, "")}

    def with_said(self, other: LedgerRow) -> LedgerRow:
        """Take over what another row says; its decision to use the slice does not count."""
        said = other.said()
        own = {name: said.pop(name) for name in _PARSERS if name in said}
        return replace(self, **own, others={**other.others, **self.others, **said})

    def with_note(self, text: str) -> LedgerRow:
        """Add a note, once."""
        parts = [part.strip() for part in self.notes.split(";") if part.strip()]
        return replace(self, notes="; ".join(parts if text in parts else [*parts, text]))


def _yes_or_no(text: str, where: str) -> bool | None:
    # Numbers that a spreadsheet or pandas made of yes and no.
    text = text.strip().removesuffix(".0")
    return None if text.lower() in ("", "nan") else parse_bool(text, where)


def _number(text: str, where: str) -> float | None:
    try:
        value = float(text) if text.strip() else math.nan
    except ValueError as error:
        raise InputError(f"{where}: found {text!r}, expected a number or nothing") from error
    return value if math.isfinite(value) else None


def _plain(text: str, _where: str) -> str:
    return text


def _decision(text: str, where: str) -> bool:
    return parse_bool(text, where)


# How the text of each column is read; all others stay text.
_PARSERS = {
    "use": _decision,
    "exclude_reason": _plain,
    "notes": _plain,
    "auto_excluded": _yes_or_no,
    "auto_exclude_reason": _plain,
    "galvo_confidence": _number,
    "galvo_fix": _yes_or_no,
    "rehomed": _yes_or_no,
    "rehoming_reliable": _yes_or_no,
}


def _text(value: bool | float | str | None) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


def read_rows(path: Path, required: Sequence[str] = ("slice_id", "use")) -> list[LedgerRow]:
    """Read a ledger, or what a stage adds to one."""
    return [LedgerRow.from_cells(cells, path.name) for cells in read_csv(path, required)]


def write_rows(
    path: Path, rows: Iterable[LedgerRow], columns: Sequence[str] = CONFIG_COLUMNS
) -> None:
    """Write a ledger; columns of people come after the usual ones."""
    cells = [row.to_cells() for row in rows]
    write_csv(path, list(dict.fromkeys([*columns, *(n for one in cells for n in one)])), cells)
