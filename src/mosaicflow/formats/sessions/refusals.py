"""Why a pickle is not read."""

from __future__ import annotations

import pickle

from mosaicflow.formats.ground.errors import FormatError

__all__ = ["BrokenPickleError", "RefusedNameError", "UntrustedSessionError", "require"]


class UntrustedSessionError(FormatError, pickle.UnpicklingError):
    """A session holds something that cannot be rebuilt without running code of the file."""


class BrokenPickleError(Exception):
    """A pickle is damaged, or built as no pickler builds one; the text says where it failed."""


class RefusedNameError(Exception):
    """A pickle names a class or function that is not allowed; the text is that name."""


def require(condition: object, reason: str) -> None:
    """Refuse the pickle for a reason unless the condition holds."""
    if not condition:
        raise BrokenPickleError(reason)
