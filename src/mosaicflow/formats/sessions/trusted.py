"""Unpickling of sessions whose origin is trusted: everything that Python can rebuild."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mosaicflow.formats.ground.errors import FormatError
from mosaicflow.formats.sessions.names import record_class

if TYPE_CHECKING:
    from mosaicflow.formats.ground.source import FilePath

__all__ = ["load_trusted"]


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401  as the base class
        return record_class(module, name) or super().find_class(module, name)


def load_trusted(path: FilePath, offset: int, size: int) -> Any:  # noqa: ANN401  any state
    """Unpickle part of a file without restriction; runs the code that the pickle names.

    Raises
    ------
    FormatError
        If the pickle is broken. What the code it names raises goes through.
    """
    with Path(path).open("rb") as stream:
        stream.seek(offset)
        content = stream.read(size)
    try:
        return _Unpickler(io.BytesIO(content)).load()
    except (pickle.UnpicklingError, EOFError) as error:
        raise FormatError(path, f"the pickled state is broken ({error})") from error
