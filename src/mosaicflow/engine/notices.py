"""What the stages of a run want its reader to know."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mosaicflow.io.tables import read_json

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["warnings_of"]

_SUFFIX = ".metrics.json"
_OF_A_PAIR = re.compile(r"z\d+_z\d+_transform")
_OF_A_SLICE = re.compile(r"(mosaic_grid_3d_|slice_)?z\d+_")


def warnings_of(root: Path, outputs: Iterable[str]) -> tuple[str, ...]:
    """Gather the warnings and errors of all metrics files, each sentence once.

    Pairs of slices are left out: that some do not match is normal, and the alignment says what
    came of it.

    Parameters
    ----------
    root : Path
        Output folder of a run.
    outputs : iterable of str
        What the run published, relative to `root`.

    Returns
    -------
    tuple of str
        ``name: sentence``; those about the raw data first, then those about the whole run.
    """
    found: dict[str, str] = {}
    names = [name.rsplit("/", 1)[-1] for name in outputs if name.endswith(_SUFFIX)]
    stems = [
        stem for stem in (n.removesuffix(_SUFFIX) for n in names) if not _OF_A_PAIR.match(stem)
    ]
    for stem in sorted(stems, key=_order):
        metrics = read_json(root / "metrics" / f"{stem}{_SUFFIX}")
        for sentence in (*metrics["errors"], *metrics["warnings"]):
            found.setdefault(sentence, stem)
    return tuple(f"{stem}: {sentence}" for sentence, stem in found.items())


def _order(stem: str) -> tuple[bool, bool, str]:
    """Raw data first, then the whole run, then slice by slice."""
    return stem != "acquisition", _OF_A_SLICE.match(stem) is not None, stem
