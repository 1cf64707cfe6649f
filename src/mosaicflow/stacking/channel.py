"""Slices of another channel, or of another run, than the one that was aligned."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mosaicflow.reasons import Concern

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mosaicflow.alignment.solution import Alignment
    from mosaicflow.io.report import StageReport
    from mosaicflow.slices.stored import SliceStore

__all__ = ["of_channel"]


def of_channel(
    solved: Alignment, stores: Sequence[SliceStore], channel: str, report: StageReport
) -> Alignment:
    """Leave out the slices that a channel, or a run by another one's positions, lacks; say so.

    Parameters
    ----------
    solved : Alignment
        Of the channel that was measured.
    stores : sequence of SliceStore
        Slices of this channel.
    channel : str
        Its name, such as 1; empty for the one that was measured, which must have all slices unless
        the alignment is another run's.
    report : StageReport
        Warned of what is lacking.
    """
    known = {store.slice_id for store in stores}
    lost = [one.slice_id for one in solved.slices if one.slice_id not in known]
    if not (channel or solved.is_taken) or not lost:
        return solved
    who = f"channel {channel}" if channel else "this run"
    named = ", ".join(map(str, lost))
    report.warn(
        f"{who} has no image of slice {named}: their planes are empty", Concern.EMPTY_PLANES
    )
    return replace(solved, slices=tuple(one for one in solved.slices if one.slice_id in known))
