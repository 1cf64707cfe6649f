"""Several stages in one process, as a workflow runs them where a queue is slow.

Each has the command line that it has alone; ``--then`` separates them.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from mosaicflow.errors import ParameterError, StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["run_stages"]

_BETWEEN = "--then"


def run_stages(words: Sequence[str]) -> None:
    """Run stages one after the other, as separate tasks of a workflow would.

    One whose input an earlier one should have made, and did not because it failed, is left out. Of
    two that fail on one slice the first one's record stays.

    Parameters
    ----------
    words : sequence of str
        A stage and its options, ``--then``, another stage and its options, and so on.

    Raises
    ------
    ParameterError
        A stage is not known.
    StoreError
        A stage left neither its output nor a record.
    """
    made: set[str] = set()
    for command in _split(words):
        is_lost = any(word in made and not Path(word).exists() for word in _values(command))
        made |= {_option(command, "--output")} - {""}
        if not is_lost:
            _run_beside_record(command)


def _run_beside_record(command: list[str]) -> None:
    """Run one stage; where a record is there, another branch failed, and its reason counts."""
    record = _option(command, "--failure-record")
    if not Path(record).is_file():
        _run(command, record)
        return
    with TemporaryDirectory(dir=".", prefix=".again") as folder:
        own = str(Path(folder, Path(record).name))
        _run([word.replace(record, own) for word in command], own)


def _run(command: Sequence[str], record: str) -> None:
    from mosaicflow.cli.app import stage_app
    from mosaicflow.io.upload import ADDRESS_SUFFIX
    from mosaicflow.stages._table import STAGES

    name, *options = command
    if name not in STAGES:
        raise ParameterError(f"{name} is no stage", remedy=f"expected one of {', '.join(STAGES)}")
    stage_app(name)(options, exit_on_error=True, result_action="return_value")
    output = _option(command, "--output")
    # A volume that was written straight to its place leaves its address.
    places = (output, output + ADDRESS_SUFFIX, record)
    if output and not any(place and Path(place).exists() for place in places):
        raise StoreError(f"{name}: left neither {output} nor a record")


def _split(words: Sequence[str]) -> list[list[str]]:
    commands: list[list[str]] = [[]]
    for word in words:
        if word == _BETWEEN:
            commands.append([])
        else:
            commands[-1].append(word)
    if not all(commands):
        raise ParameterError(f"expected a stage before and after each {_BETWEEN}")
    return commands


def _values(command: Sequence[str]) -> list[str]:
    """List what is given to options, as one word or after an equals sign."""
    return [word.partition("=")[2] if word.startswith("--") else word for word in command[1:]]


def _option(command: Sequence[str], name: str) -> str:
    """Read the value of an option; empty where it is not given."""
    for word, following in zip(command, [*command[1:], ""], strict=True):
        if word == name:
            return following
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
    return ""
