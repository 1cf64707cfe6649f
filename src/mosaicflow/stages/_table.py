"""The list of stages: the one place that knows which exist and what each works on."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mosaicflow.errors import MosaicflowError, ParameterError
from mosaicflow.io.tables import parse_slice_id, write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import Any

__all__ = ["STAGES", "Stage", "run_stage"]


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of the pipeline.

    Parameters
    ----------
    name : str
        The stem of its module, command, page and function.
    per : {'run', 'slice', 'pair'}
        What one task of it works on. A stage that works on one slice or pair may fail on it
        without stopping the others.
    """

    name: str
    per: Literal["run", "slice", "pair"]

    @property
    def function(self) -> Callable[..., None]:
        """The stage function; importing it costs little, its libraries load when it runs."""
        module = importlib.import_module(f"mosaicflow.stages.{self.name}")
        function: Callable[..., None] = getattr(module, self.name)
        return function


STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage("inspect_acquisition", "run"),
        Stage("create_mosaic_grid", "slice"),
        Stage("resample_mosaic_grid", "slice"),
        Stage("estimate_illumination", "run"),
        Stage("fix_illumination", "slice"),
        Stage("estimate_tile_positions", "slice"),
        Stage("stitch_3d", "slice"),
        Stage("correct_axial", "slice"),
        Stage("crop_interface", "slice"),
        Stage("normalize", "slice"),
        Stage("detect_rehoming", "run"),
        Stage("register_pairwise", "pair"),
        Stage("solve_alignment", "run"),
        Stage("stack", "run"),
    )
}


def run_stage(name: str, arguments: Mapping[str, Any], failure_record: Path | None = None) -> bool:
    """Run one stage; turn an expected failure into a record when one is asked for.

    Parameters
    ----------
    name : str
        The stage's stem.
    arguments : mapping
        Keyword arguments of the stage function.
    failure_record : Path, optional
        Where to write what went wrong (``zNN_failure.json``). Without it errors are raised.

    Returns
    -------
    bool
        False when the stage failed and the record was written.
    """
    if failure_record is not None:
        parse_slice_id(failure_record)  # a wrong name must not hide the reason later
    try:
        STAGES[name].function(**arguments)
    except MosaicflowError as error:
        # A senseless setting is no fault of this slice: it would fail on all of them.
        if failure_record is None or isinstance(error, ParameterError):
            raise
        record_failure(failure_record, name, error)
        return False
    return True


def record_failure(path: Path, stage: str, error: MosaicflowError) -> None:
    """Write why a stage gave nothing for one slice."""
    write_json(
        path,
        {
            "slice_id": parse_slice_id(path),
            "stage": stage,
            "reason": error.args[0],
            "remedy": error.remedy,
        },
    )
