"""Why a slice or a pair gave nothing: ``zNN_failure.json``, ``zII_zJJ_failure.json``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mosaicflow import names
from mosaicflow.errors import FormatError
from mosaicflow.io.tables import read_document, write_document

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["FailureRecord", "read_failure", "write_failure"]


@dataclass(frozen=True, slots=True)
class FailureRecord:
    """One failure, as a stage wrote it.

    Parameters
    ----------
    labels : tuple of str
        Slices that its name speaks of, such as ``z03`` or ``z03``, ``z04``.
    stage : str
        Where it happened.
    reason : str
        What was wrong.
    slice_id : int or None
        The slice; None of a pair.
    remedy : str
        What to do about it.
    pair_ids : (int, int) or None
        Both slices of a pair.
    traceback : tuple of str
        Of an error that nobody expected.
    """

    labels: tuple[str, ...]
    stage: str
    reason: str
    slice_id: int | None = None
    remedy: str = ""
    pair_ids: tuple[int, int] | None = None
    traceback: tuple[str, ...] = ()

    @property
    def is_bug(self) -> bool:
        """Whether nobody expected it."""
        return bool(self.traceback)

    @property
    def sentence(self) -> str:
        """Where and why."""
        return f"{self.stage}: {self.reason}"

    @property
    def id_of_slice(self) -> int:
        """Number of the slice.

        Raises
        ------
        FormatError
            When the record does not say, as that of a pair.
        """
        if self.slice_id is None:
            raise FormatError(f"{'_'.join(self.labels)}: the record of a failure names no slice")
        return self.slice_id

    @classmethod
    def from_json(cls, record: Mapping[str, Any], name: str) -> FailureRecord:
        """Read the content of a record.

        Raises
        ------
        FormatError
            When it does not say what failed and why.
        """
        try:
            number, pair = record.get("slice_id"), "fixed_id" in record
            said = record.get("traceback", ())
            return cls(
                tuple(names.labels_in(name)),
                str(record["stage"]),
                str(record["reason"]),
                None if number is None else int(number),
                str(record.get("remedy", "")),
                (int(record["fixed_id"]), int(record["moving_id"])) if pair else None,
                (said,) if isinstance(said, str) else tuple(map(str, said)),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise FormatError(f"{name}: is no record of a failure ({error!r:.200})") from error

    def to_json(self) -> dict[str, Any]:
        """Give the content of the record; `from_json` reads it, and the labels from its name."""
        ids: dict[str, int] = {} if self.slice_id is None else {"slice_id": self.slice_id}
        if self.pair_ids is not None:
            ids = dict(zip(("fixed_id", "moving_id"), self.pair_ids, strict=True))
        told = {"stage": self.stage, "reason": self.reason, "remedy": self.remedy}
        return {**ids, **told, **({"traceback": list(self.traceback)} if self.is_bug else {})}


def write_failure(path: Path, record: FailureRecord) -> None:
    """Write the record of a failure."""
    write_document(path, record.to_json())


def read_failure(path: Path) -> FailureRecord:
    """Read the record of a failure."""
    return FailureRecord.from_json(read_document(path), path.name)
