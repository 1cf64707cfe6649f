"""The errors of the format readers and writers, and the way to a missing library."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from mosaicflow import errors

if TYPE_CHECKING:
    import os

__all__ = ["FormatError", "MissingExtraError", "NotASegmentationError", "library"]


class FormatError(errors.FormatError, ValueError):
    """A file's content does not follow its format; the message names file, place and reason.

    Parameters
    ----------
    path : str or path-like
        The file.
    reason : str
        What was found and what was expected.
    line : int, optional
        Line of a text file, counted from 1.
    remedy : str, optional
        What the reader can do about it.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        reason: str,
        *,
        line: int | None = None,
        remedy: str = "",
    ) -> None:
        place = f"{path}" if line is None else f"{path}, line {line}"
        super().__init__(f"{place}: {reason}", remedy=remedy)
        # Pickling an exception calls it with `args`; a failed worker must still be able to report.
        self.args = (str(path), reason)
        self.line = line
        self._message = f"{place}: {reason}"

    def __str__(self) -> str:
        return f"{self._message}: {self.remedy}" if self.remedy else self._message


class NotASegmentationError(FormatError):
    """A volume has so many distinct values that it is a density, not a set of labels."""


class MissingExtraError(errors.MissingExtraError, ImportError):
    """An optional library of a format is not installed."""


def library(name: str, *, extra: str = "formats", file: str = "this format") -> Any:  # noqa: ANN401  a module has no narrower type
    """Import an optional library when a format first needs it.

    Parameters
    ----------
    name : str
        Module to import, e.g. ``"h5py"``.
    extra : str
        The extra of mosaicflow that brings it.
    file : str
        What needs it, for the message.

    Returns
    -------
    module

    Raises
    ------
    MissingExtraError
        If the library is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtraError(
            f"{file} needs the library '{name.partition('.')[0]}', which is not installed",
            remedy=f"install it with: {errors.install_extra(extra)}",
        ) from error
