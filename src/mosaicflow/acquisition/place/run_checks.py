"""Compare the slices of an acquisition with each other."""

from __future__ import annotations

from collections import Counter
from itertools import islice, pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mosaicflow.acquisition.problems import ProblemLog
    from mosaicflow.acquisition.settings import InspectSettings
    from mosaicflow.acquisition.tiles import SliceTiles

__all__ = ["check_slices"]

# Share by which pitches may differ before the run stops: at 1000 px it moves the edges by 5 px
# each. Doubled, by 10.
_MIXED_PITCH = 0.01
# Share that is rounding of text: at 1000 px it moves the edges by 0.0005 px.
_SAME_PITCH = 1e-6


def check_slices(slices: Sequence[SliceTiles], settings: InspectSettings, log: ProblemLog) -> None:
    """Report slices that differ in pitch or tile shape, and ids that are absent.

    Parameters
    ----------
    slices : sequence of SliceTiles
        Sorted by id.
    settings : InspectSettings
        Whether a mixed pitch is allowed.
    log : ProblemLog
        Takes what was wrong.
    """
    built = [tiles for tiles in slices if not tiles.failure and min(tiles.pitch_um) > 0]
    if built:
        _check_pitch(built, settings, log)
        _check_shape(built, log)
    ids = [tiles.slice_id for tiles in slices]
    gaps = (n for before, after in pairwise(ids) for n in range(before + 1, after))
    absent = list(islice(gaps, _LISTED + 1))
    if absent and not settings.debug_slices:
        listed = ", ".join(str(slice_id) for slice_id in absent[:_LISTED])
        more = " ..." if len(absent) > _LISTED else ""
        log.add(
            "slice_absent", "keep",
            f"no tiles of slice {listed}{more} between {ids[0]} and {ids[-1]}: a gap of its true "
            "height is left",
        )  # fmt: skip


# Ids shown in a message, by judgement. Doubled, the line is longer than a terminal's.
_LISTED = 5


def _check_pitch(slices: Sequence[SliceTiles], settings: InspectSettings, log: ProblemLog) -> None:
    usual = Counter(tiles.pitch_um for tiles in slices).most_common(1)[0][0]
    for tiles in slices:
        worst = max(abs(a / b - 1) for a, b in zip(tiles.pitch_um, usual, strict=True))
        if worst <= _SAME_PITCH:
            continue
        stop = worst > _MIXED_PITCH and not settings.allow_mixed_pitch
        log.add(
            "pitch_differs", "stop" if stop else "keep",
            f"pitch {_lengths(tiles.pitch_um)} um (z, y, x), most slices have {_lengths(usual)}",
            slice_id=tiles.slice_id, path=tiles.tiles[0].path,
            remedy="give --allow_mixed_pitch if that is right" if stop else "",
        )  # fmt: skip


def _check_shape(slices: Sequence[SliceTiles], log: ProblemLog) -> None:
    usual = Counter(tiles.tile_shape for tiles in slices).most_common(1)[0][0]
    for tiles in slices:
        if tiles.tile_shape != usual:
            log.add(
                "tile_shape_of_slice", "keep",
                f"its tiles are {tiles.tile_shape} samples (z, y, x), those of most slices {usual}",
                slice_id=tiles.slice_id,
            )  # fmt: skip


def _lengths(pitch_um: Sequence[float]) -> str:
    return " x ".join(f"{pitch:.4g}" for pitch in pitch_um)
