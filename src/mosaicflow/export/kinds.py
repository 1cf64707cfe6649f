"""The kinds of file that a volume is exported as; `files` writes them."""

from __future__ import annotations

from typing import Literal

__all__ = ["ExportKind"]

ExportKind = Literal["mrc", "nifti", "ome-tiff", "mesh", "placements", "session"]
