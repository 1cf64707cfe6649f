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


__all__ = ["run"]


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

    Exit codes: 0 done (a lost slice is named), 1 no volume or a bug, 2 wrong usage, 3 finished,
    but the verdict reaches `fail_on`.

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
    notes = [f"warning: {note}" for note in result.notes]
    lines = [*notes, *result.closing, f"time      {result.seconds:.1f} s"]
    say("\n".join(lines) + "\n", to="stdout")
    if result.bugs:
        say(
            f"error: a bug in mosaicflow ended {', '.join(result.bugs)}: everything else is"
            " done; please report it with these files\n"
        )
    return 1 if result.bugs else 3 if result.is_refused else 0
