"""What a run takes of a machine: memory and time of each stage, before anything is made."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.filesize import decimal

from mosaicflow.engine.costs import COSTS, Amounts
from mosaicflow.engine.sizes import MIB, VOXEL_BYTES, slice_size, volume_size
from mosaicflow.errors import InputError
from mosaicflow.stages._table import STAGES, slice_chain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mosaicflow.acquisition.tiles import SliceTiles
    from mosaicflow.engine.parameters import Parameters

__all__ = [
    "DECISIVE",
    "Need",
    "chained",
    "decisive",
    "machine_memory",
    "need_lines",
    "predict_needs",
    "readable_span",
    "refuse_too_little_memory",
    "refuse_where_too_small",
]

# Settings that decide what tasks take; functions/resources.nf has the same names.
DECISIVE = (
    "compensate_psf_enabled",
    "crop_depth_um",
    "fit_max_samples",
    "fix_illum_enabled",
    "graph_span",
    "pyramid_n_levels",
    "pyramid_resolutions",
    "resolution_um",
    "slicing_interval_mm",
)
# What a prediction may be off by before a run is refused, and what a scheduler is asked for beyond
# it [factor]: memory came within 1.5 of what five acquisitions took. Doubled, machines half too
# small would not be noticed, and clusters would be asked for twice too much.
_DOUBT = 1.5
# The same of time, which a limit costs nothing [factor]: disks and neighbours slow a task down.
_LATE = 4
# Least that a task is given: Python and its libraries, and what a container needs [MiB].
_LEAST_MIB = 512
# Tiles that the flat field is estimated from, at most [1], and the stage that does it.
_SAMPLES, _LIGHT = 80, "estimate_illumination"
# What a workflow runs as one task with `granularity: slice`: the task's name -> its stages. Without
# a flat field links between tiles are looked for with the grids.
_CHAINS = {
    "run_grid_stages": ("create_mosaic_grid", "resample_mosaic_grid", "estimate_tile_positions"),
    "run_light_stages": ("fix_illumination", "estimate_tile_positions"),
    "run_slice_stages": ("stitch_3d", *slice_chain()),
    "run_stages": ("register_pairwise",),
    "draw_volume": ("estimate_depth_profile", "stack"),
}


@dataclass(frozen=True, slots=True)
class Need:
    """What one stage takes.

    Parameters
    ----------
    stage : str
        Its stem.
    memory_bytes : float
        Of its largest task, at its peak.
    seconds : float
        CPU time of that task.
    all_seconds : float
        CPU time of all its tasks.
    disk_bytes : float
        What its largest task reads and writes, uncompressed.
    """

    stage: str
    memory_bytes: float
    seconds: float
    all_seconds: float
    disk_bytes: float

    def to_dict(self) -> dict[str, int]:
        """Give what a scheduler is asked for, in whole numbers."""
        return {
            "memory_mb": max(_LEAST_MIB, math.ceil(_DOUBT * self.memory_bytes / MIB)),
            "seconds": math.ceil(_LATE * self.seconds),
            "disk_mb": math.ceil(self.disk_bytes / MIB) + _LEAST_MIB,
        }


def decisive(given: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the settings that decide nothing here, such as files that may not be reached."""
    return {name: value for name, value in given.items() if name in DECISIVE}


def predict_needs(
    slices: Sequence[SliceTiles], parameters: Parameters, pace: float, *, threads: int = 1
) -> list[Need]:
    """Predict what each stage takes; stages of which nothing was measured are left out.

    Parameters
    ----------
    slices : sequence of SliceTiles
        Of the acquisition; those that give nothing take nothing.
    parameters : Parameters
        Settings of the run.
    pace : float
        How many times as long as on the reference machine work takes here.
    threads : int
        Threads of a task.

    Returns
    -------
    list of Need
        In the order of the stages; empty without a usable slice.
    """
    whole = [one for one in slices if not one.failure]
    if not whole:
        return []
    amounts = _amounts(whole, parameters)
    counts = dict(_counts(whole, parameters, amounts[0].volume.open_slices))
    return [_need(stage, count, amounts, pace, threads) for stage, count in counts.items()]


def _amounts(slices: Sequence[SliceTiles], parameters: Parameters) -> list[Amounts]:
    """Say of each slice, the largest first, what there is to do."""
    sizes = [slice_size(one, parameters) for one in slices]
    volume = volume_size(slices, sizes, parameters)
    n_tiles = sum(one.n_tiles for one in sizes)
    # Three images are taken of a tile; more than 80 tiles add nothing.
    most = max(8, min(_SAMPLES, int(parameters.setting(_LIGHT, "fit_max_samples")) // 3))
    found = [Amounts(one, volume, len(sizes), n_tiles, min(n_tiles, most)) for one in sizes]
    return sorted(found, key=lambda one: -one.native_voxels)


def _counts(
    slices: Sequence[SliceTiles], parameters: Parameters, open_slices: int
) -> Iterator[tuple[str, float]]:
    """Say how often each stage of a run does its work, in tasks of full size."""
    n = len(slices)
    yield "inspect_acquisition", 1
    yield "create_mosaic_grid", n
    if float(parameters.setting("resample_mosaic_grid", "resolution_um")) > 0:
        yield "resample_mosaic_grid", n
    yield "detect_rehoming", 1
    if parameters.engine("fix_illum_enabled"):
        yield _LIGHT, 1
        yield "fix_illumination", n
    yield "estimate_tile_positions", n
    yield "pool_tile_positions", 1
    yield "stitch_3d", n
    if parameters.engine("compensate_psf_enabled"):
        yield "correct_axial", n
    yield "crop_interface", n
    yield "normalize", n
    span = int(parameters.engine("graph_span"))
    if n > 1 and span:
        # Pairs that share no tissue are put off, but for neighbours.
        farthest = min(span, max(1, open_slices - 2))
        yield "register_pairwise", sum(max(0, n - step) for step in range(1, farthest + 1))
    yield "solve_alignment", 1
    yield "estimate_depth_profile", 1
    yield "stack", 1


def _need(stage: str, count: float, amounts: Sequence[Amounts], pace: float, threads: int) -> Need:
    cost, largest = COSTS[stage], amounts[0]
    memory = cost.base_mib + max(
        cost.shared_mib(one) + one.busy(stage, threads) * cost.own_mib(one) for one in amounts
    )
    seconds = [pace * cost.seconds(one) for one in amounts]
    # What is done once per slice differs with the slice; all else is as for the largest.
    is_each = STAGES[stage].per == "slice"
    return Need(
        stage,
        memory * MIB,
        max(seconds),
        sum(seconds) if is_each else count * max(seconds),
        _disk_bytes(stage, largest),
    )


def _disk_bytes(stage: str, one: Amounts) -> float:
    """Count what the largest task reads and writes, as it is before compression."""
    slices = one.n_slices * one.kept_voxels
    voxels = {
        "create_mosaic_grid": 2 * one.native_voxels,
        "resample_mosaic_grid": one.native_voxels + one.working_voxels,
        "fix_illumination": 2 * one.working_voxels,
        "stitch_3d": one.working_voxels + one.stitched_voxels,
        "correct_axial": 2 * one.stitched_voxels,
        "crop_interface": one.stitched_voxels + one.kept_voxels,
        "normalize": 2 * one.kept_voxels,
        _LIGHT: one.n_slices * one.native_voxels,
        "estimate_tile_positions": one.native_voxels,
        "register_pairwise": 2 * one.kept_voxels,
        "solve_alignment": slices,
        "estimate_depth_profile": slices,
        "stack": slices + one.volume.levels * one.volume_voxels,
    }
    return VOXEL_BYTES * float(voxels.get(stage, 0.0))


def chained(needs: Sequence[Need]) -> list[Need]:
    """Give what tasks take in which several stages run one after the other."""
    known = {one.stage: one for one in needs}
    found = []
    for name, stages in _CHAINS.items():
        parts = [known[stage] for stage in stages if stage in known]
        if parts:
            found.append(
                Need(
                    name,
                    max(one.memory_bytes for one in parts),
                    sum(one.seconds for one in parts),
                    sum(one.all_seconds for one in parts),
                    sum(one.disk_bytes for one in parts),
                )
            )
    return found


def machine_memory() -> int:
    """Count the bytes of memory that this process may use: the machine's, or its container's."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = [whole]
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        path = Path("/sys/fs/cgroup") / name
        text = path.read_text().strip() if path.is_file() else ""
        limits += [int(text)] if text.isdigit() else []
    return min(limits)


def need_lines(needs: Sequence[Need], threads: int) -> list[str]:
    """Say what the stages take, and how long all of it does.

    Parameters
    ----------
    needs : sequence of Need
        As `predict_needs` gives them.
    threads : int
        Of the run.
    """
    lines = [
        f"  {one.stage:<27} {decimal(int(one.memory_bytes)):>10}"
        f" {readable_span(one.all_seconds):>10}"
        for one in needs
    ]
    whole = sum(one.all_seconds for one in needs)
    return [
        "memory of a task, and CPU time of all, at the pace of this machine:",
        *lines,
        f"  {'in all':<27} {'':>10} {readable_span(whole):>10}, at best"
        f" {readable_span(whole / threads)} on {threads} threads",
    ]


def readable_span(seconds: float) -> str:
    """Write a time for people: 90 s, 12 min, 3.4 h."""
    if seconds < 120:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def refuse_where_too_small(
    slices: Sequence[SliceTiles], parameters: Parameters, threads: int
) -> None:
    """Refuse a run of `mosaicflow run` that does not fit into the memory of this machine.

    Parameters
    ----------
    slices, parameters
        As for `predict_needs`.
    threads : int
        Threads of the run: as many slices are worked on at the same time.
    """
    side_by_side = max(1, min(len(slices), threads))
    each = max(1, threads // side_by_side)
    needs = predict_needs(slices, parameters, 1.0, threads=each)
    refuse_too_little_memory(needs, side_by_side, machine_memory())


def refuse_too_little_memory(needs: Sequence[Need], side_by_side: int, memory: int) -> None:
    """Refuse a run whose tasks cannot fit into memory.

    Parameters
    ----------
    needs : sequence of Need
        Of its stages.
    side_by_side : int
        Tasks of slices that run at the same time.
    memory : int
        Bytes that there are.

    Raises
    ------
    InputError
        With both numbers and what to do.
    """

    def together(one: Need) -> int:
        return 1 if STAGES[one.stage].per == "run" else side_by_side

    worst = max(needs, key=lambda one: one.memory_bytes * together(one), default=None)
    if worst is None or worst.memory_bytes * together(worst) <= _DOUBT * memory:
        return
    fitting = int(_DOUBT * memory / worst.memory_bytes)
    found = (
        f"not enough memory: a task of {worst.stage} takes about"
        f" {decimal(int(worst.memory_bytes))}, {together(worst)} run at the same time, and"
        f" {decimal(memory)} are there"
    )
    remedy = f"run with --threads {fitting}" if fitting else "take a coarser resolution_um"
    raise InputError(found, remedy=f"{remedy}, or a machine with more memory")
