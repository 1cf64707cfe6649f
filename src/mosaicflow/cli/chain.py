"""Several stages in one process, as a workflow runs them where a queue is slow.

Each has the command line that it has alone; ``--then`` separates them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mosaicflow.errors import ParameterError, StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["chain_app"]

_BETWEEN = "--then"


def chain_app(words: Sequence[str]) -> None:
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
        output, record = _option(command, "--output"), Path(_option(command, "--failure-record"))
        is_lost = any(word in made and not Path(word).exists() for word in _values(command))
        made |= {output} - {""}
        if not is_lost:
            _run(command, output, record)


def _run(command: Sequence[str], output: str, record: Path) -> None:
    from mosaicflow.cli.app import stage_app
    from mosaicflow.stages._table import STAGES

    name, *options = command
    if name not in STAGES:
        raise ParameterError(f"{name} is no stage", remedy=f"expected one of {', '.join(STAGES)}")
    own = record
    if record.exists():  # two branches failed: the first one's reason counts
        own = record.with_name(f".{name}_{record.name}")
        options = [
            word.replace(str(record), str(own)) if str(record) in word else word for word in options
        ]
    stage_app(name)(options, exit_on_error=True, result_action="return_value")
    if output and not Path(output).exists() and not own.exists():
        raise StoreError(f"{name}: left neither {output} nor {own}")
    if own is not record:
        own.unlink(missing_ok=True)


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
