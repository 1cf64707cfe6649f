"""Every error that mosaicflow raises on purpose.

A message names the file, what was found, what was expected and what to do about it; a command
prints it as one line. Anything that is not a `MosaicflowError` is a bug and keeps its traceback.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "FormatError",
    "InputError",
    "MissingExtraError",
    "MosaicflowError",
    "ParameterError",
    "QualityError",
    "StoreError",
    "in_brief",
    "install_extra",
    "shortage_behind",
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


def install_extra(extra: str) -> str:
    """Say the command that adds an extra to this very Python.

    A mosaicflow that was installed from a checkout is in no package index, and the reader's shell
    may know another Python: the command names both.

    Parameters
    ----------
    extra : str
        One of pyproject.toml, such as ``view``.
    """
    import json
    import shlex
    import sys
    from importlib.metadata import PackageNotFoundError, distribution
    from pathlib import Path
    from urllib.parse import unquote, urlsplit

    try:
        text = distribution("mosaicflow").read_text("direct_url.json")
    except PackageNotFoundError:
        text = None
    source = urlsplit(json.loads(text)["url"] if text else "")
    checkout = Path(unquote(source.path))
    what = f"mosaicflow[{extra}]"
    if source.scheme == "file" and checkout.is_dir():
        what = f"-e {shlex.quote(f'{checkout}[{extra}]')}"
    else:
        what = shlex.quote(what)
    return f"{shlex.quote(sys.executable)} -m pip install {what}"


# What the machine is short of, whatever file is read: no fault of that file.
_SHORTAGES = (errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def in_brief(error: BaseException) -> str:
    """Say in a few words what an error that nobody expected is, and where it arose."""
    import traceback
    from pathlib import PurePath

    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{PurePath(place.filename).name}:{place.lineno}"
    return f"{type(error).__name__} {error!s:.200} at {where}"


def shortage_behind(error: BaseException) -> OSError | MemoryError | None:
    """Find the lack of memory, descriptors or space that an error was raised from.

    A reader calls a file unreadable whatever its library raises. Whoever leaves such a file out
    must not do so because the machine was busy: another run would give another result.

    Parameters
    ----------
    error : BaseException
        As caught.

    Returns
    -------
    OSError or MemoryError, or None
        None where the file, or anything else, is at fault.
    """
    for one in _with_causes(error):
        if isinstance(one, MemoryError) or (isinstance(one, OSError) and one.errno in _SHORTAGES):
            return one
    return None


def _with_causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__
