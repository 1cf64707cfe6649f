"""Why a slice or a pair gave nothing: ``zNN_failure.json``, ``zII_zJJ_failure.json``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mosaicflow import names
from mosaicflow.errors import FormatError
from mosaicflow.io.tables import read_document

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["FailureRecord", "read_failure"]


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
    is_bug : bool
        Whether it holds the traceback of an error that nobody expected.
    """

    labels: tuple[str, ...]
    stage: str
    reason: str
    slice_id: int | None = None
    remedy: str = ""
    is_bug: bool = False

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
            number = record.get("slice_id")
            return cls(
                tuple(names.labels_in(name)),
                str(record["stage"]),
                str(record["reason"]),
                None if number is None else int(number),
                str(record.get("remedy", "")),
                "traceback" in record,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise FormatError(f"{name}: is no record of a failure ({error!r:.200})") from error


def read_failure(path: Path) -> FailureRecord:
    """Read the record of a failure."""
    return FailureRecord.from_json(read_document(path), path.name)
