"""Which files each stage is handed: as its contract says, and as tasks of the workflow got them.

The embedded plan is made of the contracts; in `workflows/` what waits for what is written by hand.
That it says what the contracts say is proven by what comes out of it: stage -> argument -> names of
files. A stub has no arguments, so that of it all files of a task are compared at once::

    python tests/wiring.py WORK '{"detect_rehoming": false}'    # exit code 1 where they differ
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mosaicflow import names
from mosaicflow.engine.parameters import Parameters
from mosaicflow.engine.plan import plan_run
from mosaicflow.stages._table import STAGES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mosaicflow.engine.plan import Plan
    from mosaicflow.engine.task import Task

__all__ = ["differences", "files_given", "files_planned", "files_staged"]

Handed = tuple[str, tuple[tuple[str, frozenset[str]], ...]]
Staged = tuple[str, frozenset[str]]
# The first and the last stage of a run are no part of the plan.
_OUTSIDE = frozenset({"inspect_acquisition", "report"})


def file_arguments(stage: str) -> set[str]:
    """List the arguments by which a stage gets files of others."""
    contract = STAGES[stage].contract
    hints = {name: str(contract.parameters[name].annotation) for name in contract.arguments}
    own = {"raw", "output", "output_dir"}
    return {name for name, hint in hints.items() if "Path" in hint} - own


def files_given(work: Path) -> set[Handed]:
    """Read the commands of all tasks of a run of the workflow, in its work folder."""
    scripts = (path.read_text(encoding="utf-8") for path in work.glob("*/*/.command.sh"))
    return {one for script in scripts for one in _commands(script)}


def _commands(script: str) -> Iterator[Handed]:
    words = shlex.split(script.replace("\\\n", " "), comments=True)
    words = words[2:] if words[:2] == ["mosaicflow", "run-stages"] else words
    while words:
        end = words.index("--then") if "--then" in words else len(words)
        stage, options, words = Path(words[0]).stem, words[1:end], words[end + 1 :]
        if stage in STAGES and stage not in _OUTSIDE:
            yield _handed(stage, _options(options))


def _options(words: list[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    name = ""
    for word in words:
        if word.startswith("--"):
            name, _, value = word.removeprefix("--").partition("=")
            found[name] = {value} - {""}
        else:
            found[name].add(word)
    return {name.replace("-", "_"): values for name, values in found.items()}


def _handed(stage: str, given: dict[str, set[str]]) -> Handed:
    files = {name: given[name] for name in file_arguments(stage) & given.keys()}
    named = {name: frozenset(Path(one).name for one in values) for name, values in files.items()}
    return stage, tuple(sorted((name, values) for name, values in named.items() if values))


def files_planned(plan: Plan, made: set[str]) -> set[Handed]:
    """Give what the plan hands to each task that has something to do, once `made` is there."""
    tasks = [task for task in plan.tasks.values() if not _is_idle(task, made)]
    return {_handed(task.stage, _inputs(task, made)) for task in tasks}


def _is_idle(task: Task, made: set[str]) -> bool:
    """Whether the file is not there without which a task has nothing to do."""
    needed = (v for n, v in task.inputs.items() if isinstance(v, str) and n not in task.unless)
    return any(name not in made for name in needed)


def _inputs(task: Task, made: set[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, value in task.inputs.items():
        first, other = task.unless.get(name, ("", value))
        chosen = value if not first or first in made else other
        names = {chosen} if isinstance(chosen, str) else set(chosen)
        found[name] = names & made
    return found


def files_staged(work: Path) -> set[Staged]:
    """Read which files of others each task of a run of the workflow found in its folder."""
    scripts = (path.read_text(encoding="utf-8") for path in work.glob("*/*/.command.run"))
    found = {(_NAME.search(script)[1].lower(), tuple(_LINK.findall(script))) for script in scripts}
    return {
        (stage, frozenset(filter(_is_made, (Path(one).name for one in links))))
        for stage, links in found
        if stage in STAGES and stage not in _OUTSIDE
    }


_NAME = re.compile(r"^### name: '(?:\w+:)*(\w+)", re.M)
_LINK = re.compile(r"^ +(?:mkdir -p \S+ && )?ln -s (\S+) ", re.M)


def _is_made(name: str) -> bool:
    return names.kind_of(name) is not None or name.endswith(".ome.zarr")


def differences(work: Path, given: dict[str, Any]) -> list[str]:
    """Compare what tasks of a run, or of its channels beside the measured one, were handed.

    Parameters
    ----------
    work : Path
        Work folder of a run, be it of stubs.
    given : dict
        Settings of the run; `channels`, of tests of those alone: part -> labels of its slices.
    """
    channels = given.pop("channels", {})
    staged = files_staged(work)
    # What a test of channels alone brings along no task makes.
    made = {path.name for path in work.glob("*/*/*")} | {n for _, files in staged for n in files}
    ids = sorted({one for name in made for one in names.TILES.ids(name) or ()})
    plan = plan_run(Path("raw"), work, ids, Parameters(given, "test"), 2, channels=channels)
    own = {n: task for n, task in plan.tasks.items() if not channels or re.search(r" c\d", n)}
    planned = {
        (stage, frozenset().union(*(values for _, values in inputs)))
        for stage, inputs in files_planned(replace(plan, tasks=own), made)
    }
    return [
        *(f"{stage}: only the workflow hands on {sorted(n)}" for stage, n in staged - planned),
        *(f"{stage}: only the contract asks for {sorted(n)}" for stage, n in planned - staged),
    ]


if __name__ == "__main__":
    sys.exit("\n".join(differences(Path(sys.argv[1]), json.loads(sys.argv[2]))) or None)
