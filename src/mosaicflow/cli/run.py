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

    from mosaicflow.engine.parameters import Parameters
    from mosaicflow.engine.progress import Telling

__all__ = ["run"]


def _folder(_hint: type, tokens: Sequence[Token]) -> Path:
    if not tokens[0].value:  # an unset shell variable; as a path it would be this very folder
        raise ParameterError(f"{tokens[0].keyword} is empty, expected the path of a folder")
    return Path(tokens[0].value)


def run(  # one argument per option, as on the command line
    raw: Annotated[Path | None, Parameter(converter=_folder)] = None,
    /,
    *,
    input: Annotated[Path | None, Parameter(["--input", "-i"], converter=_folder)] = None,
    output: Annotated[Path | None, Parameter(["--output", "-o"], converter=_folder)] = None,
    params_file: Annotated[Path | None, Parameter(name=["--params-file", "-p"])] = None,
    threads: int | None = None,
    quiet: Annotated[bool, Parameter(negative=())] = False,
    json: Annotated[bool, Parameter(negative=())] = False,
    dry_run: Annotated[bool, Parameter(negative=())] = False,
    watch: Annotated[bool, Parameter(negative=())] = False,
    still_for: float = 120.0,
    **settings: str,
) -> int:
    """Turn the raw tiles of an acquisition into one volume, on this machine.

    Exit codes: 0 done (a lost slice is named), 1 no volume or a bug, 2 wrong usage, 3 finished,
    but the verdict reaches `fail_on`.

    Every pipeline parameter is also an option (``--crop_depth_um 400``); see
    docs/parameters.md. What an earlier run in the same output folder finished is reused where
    inputs, parameters and version match.

    Examples: ``mosaicflow run RAW -o OUT``; ``mosaicflow run RAW -o OUT -p params.yml --dry-run``;
    ``mosaicflow run RAW -o OUT --resolution_um -1 --quiet``; ``mosaicflow run RAW -o OUT --watch``.

    Parameters
    ----------
    raw : Path
        Folder of the raw acquisition, or its address (s3://, gs://).
    input : Path
        The same (also `input` in the parameters file).
    output : Path
        Folder for all results (also `output` in the parameters file); or an address (s3://, gs://).
    params_file : Path
        YAML file with parameters; the same file serves `nextflow run -params-file`.
    threads : int
        Threads to use; default: as many as this process may use.
    quiet : bool
        Show only what failed, and the last words.
    json : bool
        Print the record of the run (pipeline_info/run.json) in place of the last words, and, while
        it goes on, each task that ended as one JSON object per line on stderr.
    dry_run : bool
        Only look at the raw folder and print what would run; nothing is written.
    watch : bool
        Begin while the microscope still writes: slices are taken as they are complete, with the
        flat field and the stage model of the slices so far, and report and previews grow. The
        acquisition has ended when a file FINISHED lies in the raw folder, or when nothing in it
        has changed for ten times as long as a slice has to be still.
    still_for : float
        With `watch`: a slice is complete when nothing of it has changed for that long, or when a
        file FINISHED lies in its own folder; longer than the microscope takes for a tile [s].
    **settings : str
        Any pipeline parameter.
    """
    from mosaicflow.engine.parameters import Parameters, option_values, read_locations
    from mosaicflow.io.remote_files import is_remote

    if threads is not None and threads < 1:
        raise ParameterError(f"--threads is {threads}, expected 1 or more")
    if not 0 < still_for < float("inf"):
        raise ParameterError(f"--still_for is {still_for:g}, expected seconds above 0")
    if raw is not None and input is not None:
        raise ParameterError(f"the raw folder is given twice: {raw} and --input {input}")
    source, root = read_locations(params_file, raw or input, output)
    if watch and is_remote(source):
        raise ParameterError(
            f"--watch {source}: an address cannot be watched", remedy="watch the folder itself"
        )
    parameters = Parameters.read(params_file, option_values(settings))
    count = threads or len(os.sched_getaffinity(0))
    if dry_run:
        return _plan(source, root, parameters, count)
    still_s = still_for if watch else None
    return _run(source, root, parameters, count, still_s, quiet=quiet, as_json=json)


def _plan(raw: Path, root: Path, parameters: Parameters, threads: int) -> int:
    """Print what a run would do."""
    from collections import Counter

    from mosaicflow.cli.inspect import disk_lines, found_in, machine_lines
    from mosaicflow.engine.disk import say
    from mosaicflow.engine.plan import plan_run
    from mosaicflow.engine.remote import split_output

    found = found_in(raw, parameters.for_stage("inspect_acquisition"))
    found.raise_on_stop()
    ids = sorted(one.slice_id for one in found.slices)
    here = split_output(root)[0]
    tasks = plan_run(raw.resolve(), here, ids, parameters, threads).tasks.values()
    counts = Counter(task.stage for task in tasks)
    lines = [
        f"{len(ids)} slices in {raw}; would run in {root}, on {threads} threads:",
        "  inspect_acquisition           1",
        *(f"  {stage:<27} {number:>3}" for stage, number in counts.items()),
        "  report                        1",
        *disk_lines(raw, found, parameters, here),
        *machine_lines(found, parameters, threads),
        "nothing was written; what an earlier run there has finished would be kept",
    ]
    say("\n".join(lines) + "\n", to="stdout")
    return 0


def _run(  # what the command line says
    raw: Path,
    root: Path,
    parameters: Parameters,
    threads: int,
    still_s: float | None,
    *,
    quiet: bool,
    as_json: bool,
) -> int:
    from mosaicflow.engine.at_end import tell_end
    from mosaicflow.engine.disk import say
    from mosaicflow.engine.run import run_pipeline
    from mosaicflow.engine.watch import watch_pipeline

    status = "failed"
    telling: Telling = "failed" if quiet else "events" if as_json else "all"
    try:
        what = (raw, root, parameters, threads, telling)
        result = run_pipeline(*what) if still_s is None else watch_pipeline(*what, still_s=still_s)
        status = result.status
    finally:
        tell_end(parameters.engine("on_end"), status, root)
    notes = [f"warning: {note}" for note in result.notes]
    lines = [*notes, *result.closing, f"time      {result.seconds:.1f} s"]
    if as_json:
        record = result.root / "pipeline_info" / "run.json"
        lines = [record.read_text(encoding="utf-8").rstrip()]
    say("\n".join(lines) + "\n", to="stdout")
    if result.bugs:
        say(
            f"error: a bug in mosaicflow ended {', '.join(result.bugs)}: everything else is"
            " done; please report it with these files\n"
        )
    return 1 if result.bugs else 3 if result.is_refused else 0
