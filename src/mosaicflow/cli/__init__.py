"""Commands: arguments in, one library call, exit code out.

Nothing is imported here before it is needed: a workflow asks for the version once per task.
"""

import sys

from mosaicflow import __version__

__all__ = ["stage_command"]


def stage_command(name: str) -> None:
    """Run one stage as a command built from its function's signature and docstring.

    Parameters
    ----------
    name : str
        The stage's stem.
    """
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"{__version__}\n")
        sys.exit(0)
    from mosaicflow.cli.signals import interruptible

    with interruptible():
        from mosaicflow.cli.app import exit_code_of, stage_app

        sys.exit(exit_code_of(stage_app(name)))
