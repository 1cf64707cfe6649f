"""The classes of this package that a session may hold, under every name they have had."""

from __future__ import annotations

import re
from typing import Final

from mosaicflow.formats.ground.properties import VertexPropertyContainer
from mosaicflow.formats.ground.records import GeometryData, GeometryDataContainer

__all__ = ["record_class"]

_RECORDS: Final[dict[str, type]] = {
    "VertexPropertyContainer": VertexPropertyContainer,
    "GeometryDataContainer": GeometryDataContainer,
    "GeometryData": GeometryData,
}
# The application the format comes from was called colabseg before, and moved the classes once.
# Where they live inside this package may change; a session written today must open then.
_HOMES: Final = re.compile(
    r"(mosaic|colabseg)\.formats\.(parser|records)|(mosaic|colabseg)\.(parser|parsers|records)"
    r"|mosaicflow\.formats(\.[a-z_0-9]+)*"
)


def record_class(module: str, name: str) -> type | None:
    """Return our class that a pickle means by a module and a name; None if it is none of ours."""
    return _RECORDS.get(name) if _HOMES.fullmatch(module) else None
