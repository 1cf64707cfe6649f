"""Settings of the alignment, grouped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mosaicflow.alignment.links import (
        LinkRules,
    )
    from mosaicflow.steps.table import ExcludedMode

__all__ = ["AlignmentRules", "ExcludeRules", "StepRules"]


@dataclass(frozen=True, slots=True)
class StepRules:
    """What a stage step at an excluded slice counts."""

    mode: ExcludedMode
    window: int


@dataclass(frozen=True, slots=True)
class ExcludeRules:
    """When slices are left out because they match nothing."""

    enabled: bool
    consecutive: int
    correlation: float


@dataclass(frozen=True, slots=True)
class AlignmentRules:
    """Settings of the stage, grouped."""

    resolution_um: float
    skip_error: bool
    interval_um: float
    stage_sigma_um: float
    links: LinkRules
    steps: StepRules
    exclude: ExcludeRules
    expected_depths: bool
    strict: bool
