"""The first task of a run, which looks at the raw folder, and the last, which reports."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mosaicflow import names
from mosaicflow.engine.layout import RunFolder
from mosaicflow.engine.task import Task

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mosaicflow.engine.parameters import Parameters

__all__ = ["inspection_task", "report_task"]


def inspection_task(raw: Path, root: Path, parameters: Parameters) -> Task:
    """Make the task that looks at the raw folder; all others follow from what it finds.

    The ledger goes in again once people have edited it, so that what they wrote counts and
    survives.
    """
    settings = {**parameters.for_stage("inspect_acquisition"), "raw": raw}
    # This engine compares with what was read; in the tile list it would have all made again.
    thorough = settings.pop("verify_content", False)
    edited = RunFolder(root).edited_ledger()
    if edited is not None:
        settings.setdefault("slice_config", edited)
    name = "inspect_acquisition"
    return Task(name, name, root, {}, settings, thorough=thorough)


def report_task(root: Path, facts: Path, outputs: Sequence[str], parameters: Parameters) -> Task:
    """Make the last task: one page about everything that the others published.

    Parameters
    ----------
    root : Path
        Output folder.
    facts : Path
        What only the engine knows (see `mosaicflow.engine.about.write_facts`).
    outputs : sequence of str
        Everything published, relative to `root`.
    parameters : Parameters
        Settings of the run.

    Returns
    -------
    Task
    """
    settings = {**parameters.for_stage("report"), "facts": facts}
    bases = [name.rpartition("/")[2] for name in outputs]
    told = tuple(name for name in bases if re.fullmatch(names.REPORTED, name))
    return Task("report", "report", root, {"files": told}, settings)
