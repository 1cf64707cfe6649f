"""The ways to blend tiles where they overlap; `fusion` has their weights."""

from __future__ import annotations

from typing import Literal

__all__ = ["Blending"]

Blending = Literal["linear", "diffusion", "average", "none"]
