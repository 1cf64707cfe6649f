"""Options that several stages take: what each may be."""

from __future__ import annotations

from typing import Annotated, Literal

from mosaicflow.limits import Limit

__all__ = ["FirstGuess", "Overlap", "Percentile", "ResolutionUm", "SliceMotion", "Turn"]

ResolutionUm = Annotated[
    float, Limit(above=0, also=-1, words="above 0, or -1 for the native pitch")
]
Overlap = Annotated[float, Limit(least=0, below=1)]
Percentile = Annotated[float, Limit(above=0, most=100)]
Turn = Annotated[float, Limit(least=0, most=180)]
SliceMotion = Literal["translation", "euler"]
FirstGuess = Literal["none", "gradient", "com", "both"]
