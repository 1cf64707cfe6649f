"""What all commands share: how options are read, and how a run ends.

Exit codes: 0 done, 1 failed on data or a bug, 2 wrong usage, 130 Ctrl-C, 143 SIGTERM.
"""

from __future__ import annotations

import errno
import logging
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from mosaicflow import __version__
from mosaicflow.cli.signals import was_heard
from mosaicflow.errors import MosaicflowError, ParameterError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cyclopts import App

__all__ = ["exit_code_of", "exit_code_of_call", "new_app", "stage_app"]


def stage_app(name: str) -> App:
    """Make the command of one stage from its function's signature and docstring.

    Parameters
    ----------
    name : str
        The stage's stem.
    """
    app = new_app(f"{name}.py")
    app.default(_stage_with_record(name))
    return app


def new_app(name: str) -> App:
    """Make a command with the conventions that all commands of mosaicflow share."""
    from cyclopts import App, Parameter

    return App(
        name=name,
        version=__version__,
        version_flags=["--version"],
        help_flags=["--help", "-h"],
        help_format="plaintext",
        suppress_keyboard_interrupt=False,  # it would leave without a word
        default_parameter=Parameter(consume_multiple=True, negative_iterable=()),
    )


def exit_code_of(app: App) -> int:
    """Run a command on the process's arguments and say how it ended."""
    return exit_code_of_call(
        lambda: app(sys.argv[1:], exit_on_error=True, result_action="return_value")
    )


def exit_code_of_call(call: Callable[[], object]) -> int:
    """Do what a command is for and say how it ended.

    Usage errors leave with code 2 before anything heavy is imported; an expected failure is one
    line on stderr, and so is a warning; a bug keeps its traceback.
    """
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S"
    )
    warnings.formatwarning = _one_line
    try:
        result = call()
    except MosaicflowError as error:
        if was_heard():
            raise
        line = " ".join(str(error).split())
        sys.stderr.write(f"error: {line}\n")
        return 2 if isinstance(error, ParameterError) else 1
    except OSError as error:
        # No name that a program makes: one that a person gave, of which no file can be.
        if error.errno not in (errno.ENAMETOOLONG, errno.ELOOP):
            raise
        sys.stderr.write(f"error: {str(error.filename)[:80]} ...: {error.strerror}\n")
        return 2
    return result if isinstance(result, int) else 0


def _one_line(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    """Say what a warning is about; where in the code it arose helps nobody at a terminal."""
    return f"warning: {' '.join(str(message).split())}\n"


def _stage_with_record(name: str) -> Callable[..., None]:
    """Wrap a stage function so that the command line also takes ``--failure-record``."""
    import inspect

    from cyclopts import Parameter

    from mosaicflow.stages._table import STAGES, run_stage

    stage = STAGES[name]
    record = inspect.Parameter(
        "failure_record",
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[
            Path | None,
            Parameter(help="Where to write the reason when this slice, or pair, cannot be used."),
        ],
    )

    def command(**arguments: Any) -> None:  # noqa: ANN401  # checked against the signature below
        from mosaicflow.threads import limit_threads

        failure_record = arguments.pop("failure_record", None)
        limit_threads(arguments.get("threads", 1))
        run_stage(name, arguments, failure_record)

    own = inspect.signature(stage.function, eval_str=True).parameters.values()
    options = [*own, *([] if stage.per == "run" else [record])]
    # cyclopts reads these two: the options stay declared once, in the stage's own signature.
    command.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    command.__annotations__ = {option.name: option.annotation for option in options}
    command.__doc__ = stage.function.__doc__
    return command
