"""Every error that mosaicflow raises on purpose.

A message names the file, what was found, what was expected and what to do about it; a command
prints it as one line. Anything that is not a `MosaicflowError` is a bug and keeps its traceback.
"""

from __future__ import annotations

__all__ = [
    "FormatError",
    "InputError",
    "MissingExtraError",
    "MosaicflowError",
    "ParameterError",
    "QualityError",
    "StoreError",
]


class MosaicflowError(Exception):
    """Base of every expected failure.

    Parameters
    ----------
    message : str
        What was found where, and what was expected.
    remedy : str, optional
        What the reader can do about it.
    """

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message}: {self.remedy}" if self.remedy else message


class InputError(MosaicflowError):
    """Input data is absent, damaged or contradicts itself."""


class FormatError(InputError):
    """A file does not follow its format."""


class StoreError(MosaicflowError):
    """An OME-Zarr store is unfinished, damaged or used wrongly."""


class QualityError(MosaicflowError):
    """The data can be read but is not good enough for the step."""


class ParameterError(MosaicflowError):
    """A setting, or a combination of settings, makes no sense (exit code 2)."""


class MissingExtraError(MosaicflowError):
    """An optional dependency is needed and not installed."""
