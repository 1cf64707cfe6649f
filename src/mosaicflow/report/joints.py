"""Slices that continue their neighbours less well than the other slices of the run do."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING

from mosaicflow.report.advice import Advice
from mosaicflow.report.causes import Finding
from mosaicflow.report.verdict import listed

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from mosaicflow.report.records import Measured

__all__ = ["failed_below", "joint_findings", "joints_of", "unlike_slices"]

# Correlation by which a joint falls short of what the run's slices usually reach. Nine sound
# simulated sets: joints of a run differ by 0.07 at most (hard preset); a slice blurred by 5 px
# falls short by 0.15, a duplicated one by 0.6. At twice this the blurred one would pass.
_SHORT = 0.1
# The number of a pair that tells how well its joint continues.
_MEASURE = "correlation"

Pair = tuple[int, int]

_ADVICE = {
    "error": Advice(
        "its image is damaged or duplicated, or it is not where it belongs in the order",
        "look at its preview; set use to false in slice_config.csv, or correct the numbering",
    ),
    "warning": Advice(
        "it is blurred, dim or partly empty where its neighbours are not",
        "look at its preview beside theirs",
    ),
}


def joints_of(measured: Sequence[Measured], lost: Collection[int]) -> dict[Pair, float]:
    """Give the correlation across each face that two neighbours in the volume share.

    Parameters
    ----------
    measured : sequence of Measured
        All metrics files of a run.
    lost : collection of int
        Slices without image.

    Returns
    -------
    dict of (int, int) to float
        By pair; of each slice the nearest one below it that shows some of the same tissue.
    """
    found: dict[Pair, float] = {}
    taken: set[int] = set()
    pairs = {one.pair: one for one in measured if one.pair is not None}
    for pair, one in sorted(pairs.items()):
        metric = one.metrics.get(_MEASURE)
        if metric is None or metric.number is None or metric.status == "not_used":
            continue
        if pair[0] not in taken and not set(pair) & set(lost):
            taken.add(pair[0])
            found[pair] = metric.number
    return found


def failed_below(measured: Sequence[Measured]) -> float:
    """Give the correlation below which the stage that registers pairs calls one failed.

    Parameters
    ----------
    measured : sequence of Measured
        All metrics files of a run.

    Returns
    -------
    float
        As the files of the pairs say; minus infinity where none says it.
    """
    metrics = [one.metrics.get(_MEASURE) for one in measured if one.pair is not None]
    limits = [one.error_at for one in metrics if one is not None and one.error_at is not None]
    return max(limits, default=-math.inf)


def unlike_slices(joints: Mapping[Pair, float], failed: float) -> dict[int, str]:
    """Tell the slices whose every joint is worse than those of the others.

    Which of two slices a bad joint is due to shows only where one of them has a good one, too.

    Parameters
    ----------
    joints : mapping of (int, int) to float
        Correlation by pair.
    failed : float
        Below this a pair has failed (see `failed_below`).

    Returns
    -------
    dict of int to str
        ``error`` where all joints of the slice have failed, ``warning`` where all fall short.
    """
    of_slice: dict[int, list[tuple[int, float]]] = {}
    for (first, second), value in joints.items():
        of_slice.setdefault(first, []).append((second, value))
        of_slice.setdefault(second, []).append((first, value))
    if len(of_slice) < 3:
        return {}
    best = {one: max(value for _, value in values) for one, values in of_slice.items()}
    least = statistics.median(best.values()) - _SHORT
    found = {}
    for one, values in of_slice.items():
        is_told_apart = len(values) > 1 or best[values[0][0]] > values[0][1]
        if best[one] < least and is_told_apart:
            found[one] = "error" if best[one] < failed else "warning"
    return found


def joint_findings(unlike: Mapping[int, str], joints: Mapping[Pair, float]) -> tuple[Finding, ...]:
    """Say of each such slice what was measured, and what usually lies behind it.

    Parameters
    ----------
    unlike : mapping of int to str
        What `unlike_slices` gave.
    joints : mapping of (int, int) to float
        Correlation by pair.

    Returns
    -------
    tuple of Finding
        By slice.
    """
    usual = statistics.median(joints.values()) if joints else 0.0
    return tuple(
        Finding(
            status,
            f"slice {one} continues its neighbours less well than the others do theirs:"
            f" correlation {_values(one, joints)}, usual {usual:.3f}",
            "register_pairwise",
            listed([one]),
            _ADVICE[status],
            1,
        )
        for one, status in sorted(unlike.items())
    )


def _values(one: int, joints: Mapping[Pair, float]) -> str:
    return " and ".join(
        f"{value:.3f} ({pair[0]}-{pair[1]})"
        for pair, value in sorted(joints.items())
        if one in pair
    )
