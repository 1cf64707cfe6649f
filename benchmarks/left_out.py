"""Have a process write and read as if nobody could lose or change anything (see trust.py).

Workers load this module when they start: what is left out there, the environment says.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from mosaicflow.acquisition.read import grid_build
from mosaicflow.engine import publish, running
from mosaicflow.io.store_options import StoreOptions
from mosaicflow.io.zarr import checking
from mosaicflow.stages import _table

if TYPE_CHECKING:
    from pathlib import Path

LEFT_OUT = "MOSAICFLOW_TRUST_LEFT_OUT"


def leave_out() -> None:
    """Have this process write and read as if nobody could lose or change anything."""
    options = StoreOptions.writer_options

    def unlisted(self: StoreOptions) -> dict[str, Any]:
        return {**options(self), "checksums": False}

    def unsealed(_root: Path, _tile: object, before: list[Any], **_more: object) -> list[Any]:
        return [{**state, "crc32c": ""} for state in before]

    for place, name, instead in (
        (StoreOptions, "writer_options", unlisted),
        (checking.ChunkChecks, "of", lambda *_: None),
        (grid_build, "seal_tile", unsealed),
        (_table, "check_inputs", lambda *_: {}),
        (_table, "see_folder", lambda *_: {}),
        (_table, "list_outputs", lambda *_: None),
        (publish, "sync", lambda *_: None),
        (running, "sync", lambda *_: None),
        (publish, "extent", lambda *_: [0, 0]),
    ):
        if not hasattr(place, name):
            raise SystemExit(f"{place.__name__} has no {name} any more: this script is to follow")
        setattr(place, name, instead)


if os.environ.get(LEFT_OUT):
    leave_out()
