"""``mosaicflow run``: the whole pipeline on one machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from mosaicflow.errors import ParameterError

__all__ = ["run"]


def run(
    *,
    input: Annotated[Path | None, Parameter(name=["--input", "-i"])] = None,  # the option's name
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
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
    from mosaicflow.engine.parameters import Parameters, option_values, read_locations
    from mosaicflow.engine.run import run_pipeline

    if threads is not None and threads < 1:
        raise ParameterError(f"--threads is {threads}, expected 1 or more")
    raw, root = read_locations(params_file, input, output)
    parameters = Parameters.read(params_file, option_values(settings))
    count = threads or len(os.sched_getaffinity(0))
    result = run_pipeline(raw, root, parameters, count)
    sys.stdout.write(
        f"volume    {result.volume}\n"
        f"guide     {result.root / 'README.txt'}\n"
        f"previews  {result.root / 'previews'}\n"
        f"metrics   {result.root / 'metrics'}\n"
        f"tables    {result.root / 'tables'}\n"
        f"{result.n_slices - len(result.failures)} of {result.n_slices} slices, "
        f"{result.seconds:.1f} s\n"
    )
    for slice_id, reason in sorted(result.failures.items()):
        sys.stdout.write(f"slice {slice_id} is not in the volume: {reason}\n")
    for pair, reason in sorted(result.unmatched.items()):
        sys.stdout.write(f"pair {pair} could not be compared: {reason}\n")
    return 0
