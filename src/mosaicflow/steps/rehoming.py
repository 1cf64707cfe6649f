"""Find the steps of the stage that cannot be what they say: lost zeros, spikes, counted tiles."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mosaicflow.steps.table import YX, StageStep

__all__ = ["Correction", "RehomingResult", "clean_steps"]


@dataclass(frozen=True, slots=True)
class Correction:
    """One step that was changed.

    Parameters
    ----------
    index : int
        Row number in the table, from 0.
    kind : {'spike', 'tile_offset'}
        Why.
    before, after : StageStep
        The step as read and as corrected.
    """

    index: int
    kind: Literal["spike", "tile_offset"]
    before: StageStep
    after: StageStep

    def to_json(self) -> dict[str, Any]:
        """Describe the correction with plain values."""
        return {
            "index": self.index,
            "fixed_id": self.before.fixed_id,
            "moving_id": self.before.moving_id,
            "correction_type": self.kind,
            "original_x_shift_mm": self.before.shift_mm[1],
            "original_y_shift_mm": self.before.shift_mm[0],
            "corrected_x_shift_mm": round(self.after.shift_mm[1], 9),
            "corrected_y_shift_mm": round(self.after.shift_mm[0], 9),
        }


@dataclass(frozen=True, slots=True)
class RehomingResult:
    """The cleaned steps and everything that was noticed.

    Parameters
    ----------
    steps : tuple of StageStep
        As many as went in.
    tile_offsets, spikes : tuple of Correction
        Changed steps.
    genuine : tuple of StageStep
        Large steps that do not return: kept, marked unreliable.
    """

    steps: tuple[StageStep, ...]
    tile_offsets: tuple[Correction, ...]
    spikes: tuple[Correction, ...]
    genuine: tuple[StageStep, ...]

    def to_json(self) -> dict[str, Any]:
        """Give the content of ``rehoming_report.json``."""
        return {
            "n_rows": len(self.steps),
            "n_corrected": len({c.index for c in (*self.tile_offsets, *self.spikes)}),
            "corrected_tile_offsets": [c.to_json() for c in self.tile_offsets],
            "corrected_spikes": [c.to_json() for c in self.spikes],
            "genuine": [
                {
                    "fixed_id": step.fixed_id,
                    "moving_id": step.moving_id,
                    "x_shift_mm": step.shift_mm[1],
                    "y_shift_mm": step.shift_mm[0],
                    "confirmed": False,
                }
                for step in self.genuine
            ],
        }


def clean_steps(
    steps: Sequence[StageStep],
    *,
    max_shift_mm: float = 0.5,
    return_fraction: float = 0.4,
    tile_fov_mm: float | None = None,
    tile_fov_tolerance: float = 0.05,
) -> RehomingResult:
    """Tell spikes of the stage from genuine moves and repair the former.

    Parameters
    ----------
    steps : sequence of StageStep
        In order of the slices.
    max_shift_mm : float
        Longest step that needs no explanation [mm].
    return_fraction : float
        A jump is a spike when it and the next step cancel to less than this part of it.
    tile_fov_mm : float, optional
        Field of view of a tile [mm]: steps by a whole number of them are counting mistakes of
        older files.
    tile_fov_tolerance : float
        How near to a whole number, in fields of view.

    Returns
    -------
    RehomingResult
        A spike's net movement is kept and goes half to each of its two steps.
    """
    current = list(steps)
    tile_offsets = []
    if tile_fov_mm is not None:
        for index, step in enumerate(current):
            shift = _without_tiles(step.shift_mm, tile_fov_mm, tile_fov_tolerance)
            if shift != step.shift_mm:
                current[index] = replace(step, shift_mm=shift)
                tile_offsets.append(Correction(index, "tile_offset", step, current[index]))
    spikes: list[Correction] = []
    for index in _spikes(current, max_shift_mm, return_fraction):
        pair = current[index], current[index + 1]
        y, x = (0.5 * (a + b) for a, b in zip(pair[0].shift_mm, pair[1].shift_mm, strict=True))
        for offset, step in enumerate(pair):
            current[index + offset] = replace(step, shift_mm=(y, x))
            spikes.append(Correction(index + offset, "spike", step, current[index + offset]))
    genuine = tuple(step for step in current if step.length_mm > max_shift_mm)
    final = tuple(
        replace(step, reliable=step.reliable and step.length_mm <= max_shift_mm) for step in current
    )
    return RehomingResult(final, tuple(tile_offsets), tuple(spikes), genuine)


def _spikes(steps: Sequence[StageStep], max_mm: float, fraction: float) -> tuple[int, ...]:
    """Give the first step of each spike, so that as few long steps as possible stay unexplained.

    Jumps next to each other can be paired in several ways; taking pairs from the left would let a
    genuine move swallow half of the spike that follows it.
    """
    best: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    for index, step in enumerate(steps):
        cost, chosen = best[-1]
        options = [(cost + (step.length_mm > max_mm), chosen)]
        rest = _remainder(steps[index - 1], step, max_mm) if index else math.inf
        if rest < fraction:
            cost, chosen = best[-2]
            options.append((cost + rest, (*chosen, index - 1)))
        best.append(min(options))
    return best[-1][1]


def _remainder(first: StageStep, second: StageStep, max_mm: float) -> float:
    """Give the part of a jump that the next step does not take back; infinite without a jump."""
    jump = max(first.length_mm, second.length_mm)
    if first.moving_id != second.fixed_id or jump <= max_mm:
        return math.inf
    y, x = (a + b for a, b in zip(first.shift_mm, second.shift_mm, strict=True))
    return math.hypot(y, x) / jump


def _without_tiles(shift_mm: YX, fov_mm: float, tolerance: float) -> YX:
    y, x = (_without_tiles_1d(value, fov_mm, tolerance) for value in shift_mm)
    return y, x


def _without_tiles_1d(value: float, fov_mm: float, tolerance: float) -> float:
    count = round(value / fov_mm)
    if count and abs(value - count * fov_mm) / fov_mm < tolerance:
        return value - count * fov_mm
    return value
