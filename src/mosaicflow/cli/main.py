"""The ``mosaicflow`` command; every subcommand's module loads only when it is used."""

from __future__ import annotations

import sys

from mosaicflow import __version__

__all__ = ["main"]

_COMMANDS = (
    "run",
    "inspect",
    "check-orientation",
    "simulate",
    "evaluate",
    "info",
    "screenshot",
    "view",
    "convert",
    "export",
)


def main() -> None:
    """Run ``mosaicflow``."""
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"mosaicflow {__version__}\n")
        return
    from mosaicflow.cli.app import exit_code_of, new_app  # the version is asked once per task

    app = new_app("mosaicflow")
    app.help = "From the raw tiles of a block-face microscope to one measurable volume."
    for name in _COMMANDS:
        function = name.replace("-", "_")
        app.command(f"mosaicflow.cli.{function}:{function}", name=name)
    sys.exit(exit_code_of(app))


if __name__ == "__main__":
    main()
