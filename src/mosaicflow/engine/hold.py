"""Letting what was made of slices stay while others still come."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mosaicflow.names import parse_slice_id
from mosaicflow.stages._table import STAGES

if TYPE_CHECKING:
    from collections.abc import Collection

    from mosaicflow.engine.plan import Plan
    from mosaicflow.engine.task import Task

__all__ = ["hold"]

# What a slice's own tiles decide is not held: it is the same anyway, or they have changed.
_OF_TILES_ALONE = ("create_mosaic_grid", "resample_mosaic_grid")


def hold(plan: Plan, slice_ids: Collection[int]) -> Plan:
    """Let results of slices stay, whatever else has changed since they were made.

    Parameters
    ----------
    plan : Plan
        All tasks.
    slice_ids : collection of int
        Slices whose tiles have not changed; pairs of them stay as well.

    Returns
    -------
    Plan
    """
    tasks = {
        name: replace(task, held=_is_held(task, slice_ids)) for name, task in plan.tasks.items()
    }
    return replace(plan, tasks=tasks)


def _is_held(task: Task, slice_ids: Collection[int]) -> bool:
    if STAGES[task.stage].per == "run" or task.stage in _OF_TILES_ALONE:
        return False
    labels = [one for one in task.name.split()[1:] if not one.startswith("c")]
    return {parse_slice_id(label) for label in labels} <= set(slice_ids)
