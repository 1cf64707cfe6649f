"""The last words of a run on a terminal, alike in both engines."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mosaicflow.report.causes import Finding
    from mosaicflow.report.contents import Contents

__all__ = ["OUTPUT", "closing_lines"]

OUTPUT = "{output}"
# What fits a screen together with the lines below it; the page has all.
_SHOWN = 10


def closing_lines(contents: Contents) -> list[str]:
    """Say what was noticed, what is not in the volume, the verdict, and what to open next.

    Parameters
    ----------
    contents : Contents
        What is known about the run.

    Returns
    -------
    list of str
        Lines without colour; ``{output}`` in them stands for the output folder.
    """
    loud = [one for one in contents.findings if one.status != "note"]
    counts = contents.counts
    volume = f"{OUTPUT}/{contents.facts.volume}"
    more = len(loud) - _SHOWN
    early = contents.facts.provisional
    return [
        *([f"provisional: {early}"] if early else []),
        *(_line(one) for one in loud[:_SHOWN]),
        *([f"warning: {more} more in {OUTPUT}/report.html"] if more > 0 else []),
        *(_lost(contents)),
        f"{counts.placed} of {counts.slices} slices in the volume",
        f"verdict   {contents.verdict.status}: {contents.verdict.sentence}",
        f"report    {OUTPUT}/report.html",
        f"volume    {volume}",
        f"next      open the report in a browser; then: mosaicflow view {volume}",
    ]


def _line(one: Finding) -> str:
    where = f" [{one.where}]" if one.where not in one.text else ""
    times = f" ({one.count} times)" if one.count > 1 else ""
    return f"{one.status}: {one.stage}: {one.text}{times}{where}"


def _lost(contents: Contents) -> list[str]:
    return [
        f"slice {one.slice_id} is not in the volume ({one.kind}): "
        + (f"{one.stage}: " if one.stage else "")
        + one.why
        for one in contents.lost
    ]
