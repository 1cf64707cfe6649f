"""``mosaicflow run``: the whole pipeline on one machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from mosaicflow.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cyclopts import Token

    from mosaicflow.engine.result import RunResult

__all__ = ["run"]

_WARNINGS_SHOWN = 10


def _folder(_hint: type, tokens: Sequence[Token]) -> Path:
    if not tokens[0].value:  # an unset shell variable; as a path it would be this very folder
        raise ParameterError(f"{tokens[0].keyword} is empty, expected the path of a folder")
    return Path(tokens[0].value)


def run(
    *,
    input: Annotated[Path | None, Parameter(["--input", "-i"], converter=_folder)] = None,
    output: Annotated[Path | None, Parameter(["--output", "-o"], converter=_folder)] = None,
    params_file: Annotated[Path | None, Parameter(name=["--params-file", "-p"])] = None,
    threads: int | None = None,
    **settings: str,
) -> int:
    """Turn the raw tiles of an acquisition into one volume, on this machine.

    Every pipeline parameter is also an option (``--crop_depth_um 400``); see
    docs/parameters.md. What an earlier run in the same output folder finished is reused where
    inputs, parameters and version match.

    Parameters
    ----------
    input : Path
        Folder of the raw acquisition (also `input` in the parameters file).
    output : Path
        Folder for all results (also `output` in the parameters file).
    params_file : Path
        YAML file with parameters; the same file serves `nextflow run -params-file`.
    threads : int
        Threads to use; default: as many as this process may use.
    **settings : str
        Any pipeline parameter.
    """
    from mosaicflow.engine.disk import say
    from mosaicflow.engine.parameters import Parameters, option_values, read_locations
    from mosaicflow.engine.run import run_pipeline

    if threads is not None and threads < 1:
        raise ParameterError(f"--threads is {threads}, expected 1 or more")
    raw, root = read_locations(params_file, input, output)
    parameters = Parameters.read(params_file, option_values(settings))
    count = threads or len(os.sched_getaffinity(0))
    result = run_pipeline(raw, root, parameters, count)
    say("\n".join(_lines(result)) + "\n", to="stdout")
    if result.bugs:
        say(
            f"error: a bug in mosaicflow ended {', '.join(result.bugs)}: everything else is"
            " done; please report it with these files\n"
        )
    return 1 if result.bugs else 0


def _lines(result: RunResult) -> list[str]:
    """Say where everything is, what is not in the volume, and what to look at."""
    left_out = {**result.failures, **result.excluded}
    more = len(result.warnings) - _WARNINGS_SHOWN
    return [
        *(f"warning: {sentence}" for sentence in result.warnings[:_WARNINGS_SHOWN]),
        *([f"warning: {more} more in {result.root / 'metrics'}"] if more > 0 else []),
        *(f"pair {pair} could not be compared: {why}" for pair, why in result.unmatched.items()),
        *(f"slice {z} is not in the volume: {why}" for z, why in sorted(left_out.items())),
        f"volume    {result.volume}",
        f"guide     {result.root / 'README.txt'}",
        f"previews  {result.root / 'previews'}",
        f"metrics   {result.root / 'metrics'}",
        f"tables    {result.root / 'tables'}",
        f"{result.n_slices - len(left_out)} of {result.n_slices} slices, {result.seconds:.1f} s",
    ]
