"""The ``mosaicflow`` command; every subcommand's module loads only when it is used."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from mosaicflow import __version__

if TYPE_CHECKING:
    from cyclopts import App

__all__ = ["main"]

_COMMANDS = (
    "run",
    "inspect",
    "check-orientation",
    "simulate",
    "compare",
    "evaluate",
    "info",
    "verify",
    "screenshot",
    "view",
    "view3d",
    "convert",
    "export",
)


def main() -> None:
    """Run ``mosaicflow``."""
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"mosaicflow {__version__}\n")
        return
    from mosaicflow.cli.signals import interruptible  # the version is asked once per task

    with interruptible():
        from mosaicflow.cli.app import exit_code_of

        sys.exit(exit_code_of(_app()))


def _app() -> App:
    from mosaicflow.cli.app import new_app

    app = new_app("mosaicflow")
    app.help = "From the raw tiles of a block-face microscope to one measurable volume."
    for name in _COMMANDS:
        function = name.replace("-", "_")
        app.command(f"mosaicflow.cli.{function}:{function}", name=name)
    return app


if __name__ == "__main__":
    main()
