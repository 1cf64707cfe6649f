"""Raw acquisitions with known truth, and the errors of a run against it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mosaicflow.simulation.acquisition import Simulation, simulate
    from mosaicflow.simulation.evaluation import Evaluation, evaluate
    from mosaicflow.simulation.presets import preset
    from mosaicflow.simulation.settings import SimulationSettings

__all__ = [
    "Evaluation",
    "Simulation",
    "SimulationSettings",
    "evaluate",
    "preset",
    "simulate",
]

_HOMES = {
    "Evaluation": "evaluation",
    "evaluate": "evaluation",
    "Simulation": "acquisition",
    "SimulationSettings": "settings",
    "preset": "presets",
    "simulate": "acquisition",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
