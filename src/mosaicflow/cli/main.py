"""The ``mosaicflow`` command; every subcommand's module loads only when it is used."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from mosaicflow import __version__

if TYPE_CHECKING:
    from cyclopts import App

__all__ = ["main"]

# Group -> command -> the first line of its help, which loading it would cost a second.
_COMMANDS = {
    "Run": {
        "run": "Turn the raw tiles of an acquisition into one volume, on this machine.",
        "inspect": "Print per slice what RAW holds, and every problem found.",
        "bundle": "Write pipeline, image and test data as one tar, for clusters without internet.",
        "check-orientation": (
            "Compare the overlaps of neighbouring tiles under all eight orientations."
        ),
    },
    "Judge": {
        "compare": "Write a page with the differences of two runs, or of one run and its stage.",
        "verify": (
            "Compare every file of a run, or of one store, with the checksums taken when it was"
            " written."
        ),
        "example": (
            "Write a small real acquisition with its parameters, ready to run; needs no network."
        ),
        "simulate": "Write a raw acquisition with known truth.",
        "evaluate": "Print the errors of a run on simulated data.",
    },
    "Correct by hand": {
        "align": "Correct by hand where slices and tiles lie.",
    },
    "Look and hand on": {
        "view": "Show a store in napari where it is installed, otherwise in Neuroglancer.",
        "view3d": (
            "Show three planes and the body of a volume, coarse at first and finer as it is read."
        ),
        "screenshot": ("Write the three central planes of a store as a PNG; needs no display."),
        "info": (
            "Show levels, shapes, scales, chunks, codec, tile lattice, size and validity of a"
            " store."
        ),
        "convert": "Copy an image into another format, flavour, chunking or compression.",
        "export": "Write a volume as files that other programs open, at its true size and place.",
    },
}


def main() -> None:
    """Run ``mosaicflow``."""
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"mosaicflow {__version__}\n")
        return
    from mosaicflow.cli.signals import interruptible  # the version is asked once per task

    if "--no-color" in sys.argv:  # of every command
        sys.argv.remove("--no-color")
        os.environ["NO_COLOR"] = "1"
    with interruptible():
        from mosaicflow.cli.app import exit_code_of, exit_code_of_call

        if sys.argv[1:2] == ["run-stages"]:  # for the workflow: its words are those of the stages
            from mosaicflow.cli.chain import run_stages

            sys.exit(exit_code_of_call(lambda: run_stages(sys.argv[2:])))
        if sys.argv[1:2] == ["put-results"]:  # likewise, with an address and files
            from mosaicflow.cli.put import put_results

            sys.exit(exit_code_of_call(lambda: put_results(sys.argv[2:])))
        if sys.argv[1:2] == ["predict-resources"]:  # for the workflow, too
            from mosaicflow.cli.predict_resources import predict_resources

            sys.exit(exit_code_of_call(lambda: predict_resources(sys.argv[2:])))
        sys.exit(exit_code_of(_app()))


def _app() -> App:
    from cyclopts import Group

    from mosaicflow.cli.app import new_app

    app = new_app("mosaicflow")
    app.help = (
        "From the raw tiles of a block-face microscope to one measurable volume.\n\n"
        "mosaicflow inspect RAW; mosaicflow run RAW -o OUT -p params.yml; mosaicflow view OUT\n\n"
        "--no-color, with any command: no colours (as with NO_COLOR in the environment)."
    )
    # A command's own help is longer, and shown where it is asked for.
    is_overview = sys.argv[1:2] in ([], ["--help"], ["-h"])
    for number, (title, commands) in enumerate(_COMMANDS.items()):
        group = Group(title, sort_key=number)
        for name, line in commands.items():
            function = name.replace("-", "_")
            app.command(
                f"mosaicflow.cli.{function}:{function}",
                name=name,
                group=group,
                **({"help": line} if is_overview else {}),
            )
    app.register_install_completion_command(add_to_startup=False)
    return app


if __name__ == "__main__":
    main()
