"""The small files of a run, read into types; what is not there is empty, never an error."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from mosaicflow import names
from mosaicflow.io.failures import read_failure
from mosaicflow.io.ledger_rows import LedgerRow
from mosaicflow.io.tables import read_csv, read_document
from mosaicflow.reasons import Reason, decided_by_images

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

__all__ = [
    "Lost",
    "Measured",
    "Metric",
    "RunFiles",
    "lost_slices",
    "read_measured",
    "slice_at_end",
    "spelled_out",
    "worst",
]

_SUFFIX = ".metrics.json"

Kind = Literal["failed", "excluded automatically", "excluded by you", "missing"]
# Reason codes of the tables, for people.
_WORDS: dict[str, str] = {
    Reason.CALIBRATION: "its face is far deeper than the others: taken for a calibration",
    Reason.LONE: "it matches none of its neighbours",
    Reason.WEAK_RUN: "it belongs to a run of slices that match nothing",
    Reason.FIRST: "exclude_first_slices asks for it",
    Reason.BY_HAND: "a row of overrides.csv leaves it out",
    Reason.EARLIER: "use is false in slice_config.csv",
    Reason.NO_TILES: "no usable tiles were found",
}


@dataclass(frozen=True, slots=True)
class Metric:
    """One number of one output, with what it was judged by.

    Parameters
    ----------
    name, unit, description : str
        As the stage gave them.
    value : float, str, bool or None
        None: not measured.
    warning_at, error_at : float or None
        From where it is bad.
    direction : str
        ``low``, ``high``, ``abs`` or ``none``: which values are good.
    status : str
        ``ok``, ``warning``, ``error`` or ``not_used``.
    """

    name: str
    value: float | str | bool | None
    unit: str = ""
    description: str = ""
    warning_at: float | None = None
    error_at: float | None = None
    direction: str = "none"
    status: str = "ok"

    @property
    def number(self) -> float | None:
        """Its value where that is a number."""
        is_number = isinstance(self.value, int | float) and not isinstance(self.value, bool)
        return float(self.value) if is_number else None  # type: ignore[arg-type]

    @property
    def slice_id(self) -> int | None:
        """The slice that a number about the whole run was found on, as its description ends."""
        return slice_at_end(self.description)


@dataclass(frozen=True, slots=True)
class Measured:
    """One metrics file.

    Parameters
    ----------
    stem : str
        Name of the output without suffix.
    stage : str
        Stage that wrote it.
    status : str
        The worst of its numbers and sentences.
    metrics : mapping of str to Metric
        By name.
    warnings, errors, notes : tuple of str
        Sentences.
    codes : mapping
        ``warnings`` or ``errors`` -> the code of each sentence; earlier versions wrote none.
    channel : str
        Channel that it is about, such as 1; empty for the one that was measured.
    """

    stem: str
    stage: str
    status: str
    metrics: Mapping[str, Metric]
    warnings: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    codes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    channel: str = ""

    @property
    def pair(self) -> tuple[int, int] | None:
        """The two slices it is about, if it is about two."""
        found = names.about(self.stem)
        return (found[0], found[1]) if len(found) == 2 else None

    @property
    def slice_id(self) -> int | None:
        """The slice it is about, if it is about one in the channel that was measured."""
        found = names.about(self.stem)
        return found[0] if len(found) == 1 and not self.channel else None

    def number(self, name: str) -> float | None:
        """Give a number by name; None where it was not measured."""
        found = self.metrics.get(name)
        return None if found is None else found.number


@dataclass(frozen=True, slots=True)
class Lost:
    """A slice that has no image in the volume.

    Parameters
    ----------
    slice_id : int
        Its number.
    kind : str
        Failed, excluded automatically, excluded by you, or missing.
    reason : str
        Why: a sentence, or codes of the tables.
    stage : str
        Where it failed.
    remedy : str
        What can be done.
    is_bug : bool
        Whether a fault of mosaicflow did it.
    """

    slice_id: int
    kind: Kind
    reason: str
    stage: str = ""
    remedy: str = ""
    is_bug: bool = False

    @property
    def why(self) -> str:
        """The reason in words; what is no code stays as it is."""
        return spelled_out(self.reason)


@dataclass(frozen=True)
class RunFiles:
    """All small files of a run, by name.

    Parameters
    ----------
    files : sequence of Path
        Metrics, tables, transforms, records and pictures, wherever they lie.
    """

    files: Sequence[Path]
    _by_name: dict[str, Path] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", {path.name: path for path in sorted(self.files)})

    def named(self, pattern: str) -> list[Path]:
        """List the files whose whole name matches a regular expression, by name."""
        return [path for name, path in self._by_name.items() if re.fullmatch(pattern, name)]

    def of(self, kind: names.Kind) -> list[Path]:
        """List the files of a kind, by name."""
        return [path for name, path in self._by_name.items() if kind.labels(name) is not None]

    def json(self, name: str) -> dict[str, Any]:
        """Read an object; an empty one where there is no such file."""
        path = self._by_name.get(name)
        return {} if path is None else read_document(path)

    def rows(self, name: str) -> list[dict[str, str]]:
        """Read a table; no rows where there is no such file or it is empty."""
        path = self._by_name.get(name)
        return [] if path is None or not path.stat().st_size else read_csv(path)


def read_measured(files: RunFiles) -> tuple[Measured, ...]:
    """Read all metrics files.

    Parameters
    ----------
    files : RunFiles
        Of a run.

    Returns
    -------
    tuple of Measured
        By name.
    """
    return tuple(_measured(path) for path in files.named(r".*\.metrics\.json"))


def _measured(path: Path) -> Measured:
    found = read_document(path)
    stem = path.name.removesuffix(_SUFFIX)
    return Measured(
        stem=stem,
        stage=str(found.get("step_name", "")),
        status=str(found.get("overall_status", "ok")),
        metrics={name: Metric(name, **one) for name, one in found.get("metrics", {}).items()},
        **{key: tuple(found.get(key, ())) for key in ("warnings", "errors", "notes")},
        codes=found.get("codes", {}),
        channel=_channel(stem, found),
    )


def _channel(stem: str, found: Mapping[str, Any]) -> str:
    """Tell the channel of an output; a volume may be called anything, and its stage knows."""
    if found.get("step_name") == "stack":
        return str(found.get("parameters", {}).get("channel") or "")
    return names.split_channel(stem)[1]


def lost_slices(files: RunFiles) -> tuple[Lost, ...]:
    """Tell which slices have no image in the volume, and why, told apart by who decided.

    Parameters
    ----------
    files : RunFiles
        Of a run.

    Returns
    -------
    tuple of Lost
        By id.
    """
    found = {one.slice_id: one for one in map(_failed, files.of(names.FAILURE))}
    automatic = _excluded_by_stages(files)
    for one in files.json(names.ALIGNMENT.of()).get("left_out", ()):
        slice_id = int(one["slice_id"])
        found.setdefault(slice_id, _left_out(one, is_automatic=slice_id in automatic))
    return tuple(found[slice_id] for slice_id in sorted(found))


def _failed(path: Path) -> Lost:
    record = read_failure(path)
    return Lost(
        record.id_of_slice, "failed", record.reason, record.stage, record.remedy, record.is_bug
    )


def _excluded_by_stages(files: RunFiles) -> set[int]:
    name = names.FINAL_LEDGER.of()
    rows = [LedgerRow.from_cells(cells, name) for cells in files.rows(name)]
    return {row.slice_id for row in rows if row.auto_excluded}


def _left_out(one: Mapping[str, Any], *, is_automatic: bool) -> Lost:
    reason = str(one["reason"])
    kind: Kind = "missing"
    if one["status"] == "failed":
        kind = "failed"
    elif one["status"] == "excluded":
        automatic = is_automatic or decided_by_images(reason)
        kind = "excluded automatically" if automatic else "excluded by you"
    return Lost(int(one["slice_id"]), kind, reason, str(one.get("stage", "")))


def slice_at_end(text: str) -> int | None:
    """Give the slice that a number about the whole run was found on, as its text ends."""
    found = re.search(r"\(slice (\d+)\)$", text)
    return int(found[1]) if found else None


def spelled_out(text: str) -> str:
    """Put words in place of the reason codes of the tables; all else stays as it is."""
    return re.sub(r"\w+", lambda found: _WORDS.get(found[0], found[0]), text)


def worst(statuses: Iterable[str]) -> str:
    """Give the worst status of several; ``ok`` of none.

    Parameters
    ----------
    statuses : iterable of str
        ``not_used``, ``ok``, ``warning`` or ``error``.

    Returns
    -------
    str
    """
    order = ("not_used", "ok", "warning", "error")
    return max((one for one in statuses if one in order), key=order.index, default="ok")
