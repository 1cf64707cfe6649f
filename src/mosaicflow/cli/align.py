"""``mosaicflow align``: correct by hand where slices and tiles lie."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from mosaicflow.cli.app import new_app
from mosaicflow.cli.strangers import reading
from mosaicflow.errors import InputError, ParameterError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mosaicflow.ledger.overrides import Override

__all__ = ["align", "apply", "edit", "export"]

align = new_app("align")
align.help = (
    "Correct by hand where slices and tiles lie.\n\n"
    "Examples, one after the other: ``mosaicflow align export OUT``; ``mosaicflow align edit"
    " OUT_align``; ``mosaicflow align apply OUT_align OUT --run``."
)


@align.command
def export(
    run: Path, *, output: Path | None = None, overrides: Path | None = None, threads: int = 1
) -> None:
    """Write a light package of a run: pictures, where everything lies, and a page to look at.

    The page (index.html) shows neighbouring slices laid over each other, without a network and
    without this program; corrections made in it are handed to the browser's downloads.

    Examples: ``mosaicflow align export OUT``;
    ``mosaicflow align export OUT --output brain_align``;
    ``mosaicflow align export OUT --overrides overrides.csv``.

    Parameters
    ----------
    run : Path
        Output folder of a run, kept with ``keep: all`` (slices alone: ``qc``).
    output : Path, optional
        Folder for the package; default: the run's name and ``_align``, where the command is
        started. The table of an earlier package in it is kept.
    overrides : Path, optional
        Table that the run used, where it is no longer where the run had it.
    threads : int, optional
        Blocks read at the same time.
    """
    from mosaicflow.corrections.package import PAGE, write_package
    from mosaicflow.report.comparison import recorded_run

    package = Path(f"{run.resolve().name}_align") if output is None else output
    with reading(run, package):
        told = recorded_run(run)
        _refuse_other(package, told)
        used = overrides or _used_table(run, told)
        n_slices = write_package(_images_of(run), package, used, threads)
    sys.stdout.write(
        f"{package}: {n_slices} slices; look at {package / PAGE}\n"
        f"correct them with: mosaicflow align edit {package}\n"
    )


def _refuse_other(package: Path, told: Mapping[str, Any]) -> None:
    """Refuse to write over what is no package, or one of other raw data."""
    from mosaicflow.corrections.package import read_package

    if not package.exists() or (package.is_dir() and not any(package.iterdir())):
        return
    if read_package(package)["digest"] != told["input"]["digest"]:
        raise InputError(
            f"{package}: is the package of other raw data", remedy="give another --output"
        )


def _used_table(run: Path, told: Mapping[str, Any]) -> Path | None:
    """Find the table of overrides that a run used."""
    named = told["parameters"].get("overrides")
    if not named:
        return None
    if not Path(named).is_file():
        raise InputError(
            f"{run}: used {named}, not there any more; without it its corrections are lost",
            remedy="give the table with --overrides",
        )
    return Path(named)


def _images_of(run: Path) -> Any:  # noqa: ANN401  # RunImages, which loads numpy
    """Gather what a run keeps to align by."""
    from mosaicflow import names
    from mosaicflow.corrections.package import RunImages
    from mosaicflow.engine.layout import RunFolder

    folder = RunFolder(run)
    grids: dict[int, Path] = {}
    for kind in (names.GRID, names.RESAMPLED, names.EVENLY_LIT, names.FLAT):
        grids |= {names.parse_slice_id(path): path for path in folder.all_of(kind)}
    return RunImages(
        folder.path(names.RECORD.of()),
        folder.path(names.ALIGNMENT.of()),
        folder.all_of(names.NORMALIZED),
        list(grids.values()),
        folder.all_of(names.POSITIONS),
        folder.all_of(names.STAGE),
    )


@align.command
def edit(package: Path, *, port: int = 0, browser: bool = True) -> None:
    """Correct places on a local page; it saves overrides.csv in the package.

    The page is served to this machine only, from a secret address, until you press Ctrl-C. On a
    machine that you reach by ssh the command that brings the page to your own screen is printed.

    Examples: ``mosaicflow align edit OUT_align``; ``mosaicflow align edit OUT_align --port 8080``;
    ``mosaicflow align edit OUT_align --no-browser``.

    Parameters
    ----------
    package : Path
        As ``mosaicflow align export`` made it.
    port : int, optional
        Port of the local server; 0 takes a free one.
    browser : bool, optional
        Open the page in a browser; otherwise only its address is printed.
    """
    import threading
    import webbrowser

    from mosaicflow.cli.signals import Terminated, forget_signal
    from mosaicflow.cli.view import tunnel
    from mosaicflow.corrections.package import TABLE, page_of, take_table
    from mosaicflow.io.viewing.editor import EditorServer

    with reading(package):
        page = page_of(package)
    with EditorServer(package, page, lambda text: take_table(package, text), port) as server:
        sys.stdout.write(
            f"{tunnel(server.url)}{server.url}\nsaves {package / TABLE}; stop with Ctrl-C\n"
        )
        sys.stdout.flush()
        if browser:
            webbrowser.open(server.url)
        try:
            threading.Event().wait()
        except Terminated:
            raise
        except KeyboardInterrupt:  # the way out that was named
            forget_signal()
    sys.stdout.write(f"use it with: mosaicflow align apply {package} OUT\n")


@align.command
def apply(
    package: Path, run: Path, /, *, start: Annotated[bool, Parameter("--run", negative=())] = False
) -> int:
    """Check the corrections of a package, and say how the run takes them, or run it.

    Only what depends on them runs again; the rest of OUT is kept.

    Examples: ``mosaicflow align apply OUT_align OUT``;
    ``mosaicflow align apply OUT_align OUT --run``;
    ``mosaicflow run RAW -o OUT --overrides OUT_align/overrides.csv``.

    Parameters
    ----------
    package : Path
        Folder with ``overrides.csv``, as ``mosaicflow align edit`` saved it.
    run : Path
        Output folder of the run that the package was made of.
    start : bool, optional
        Run it now, with the settings that it had.
    """
    from mosaicflow.corrections.package import TABLE, checked_rows, read_package
    from mosaicflow.report.comparison import recorded_run

    with reading(package, run):
        told, content, table = recorded_run(run), read_package(package), (package / TABLE).resolve()
        if content["digest"] != told["input"]["digest"]:
            raise InputError(
                f"{package}: is of other raw data than {run}",
                remedy=f"make one with: mosaicflow align export {run}",
            )
        if not table.is_file():
            raise InputError(
                f"{table}: not there, so nothing is corrected",
                remedy=f"make it with: mosaicflow align edit {package}",
            )
        for row in checked_rows(table, content):
            sys.stdout.write(f"{_in_words(row)}\n")
        command = _command(told, run, table)
    if start:
        return _start(told, run, table)
    sys.stdout.write(f"run it with: {command}\n")
    return 0


def _in_words(row: Override) -> str:
    """Say what a row asks for."""
    name = f"slice {row.slice_id}" + (f", tile {row.tile}" if row.kind == "tile" else "")
    said = []
    if row.exclude:
        said.append("by the stage alone" if row.kind == "tile" else "left out of the volume")
    elif row.shift_px is not None:
        said.append(
            f"{row.shift_px[0]:g} px down, {row.shift_px[1]:g} px right of the stage's place"
        )
    if row.angle_deg is not None and not row.exclude:
        said.append(f"turned by {row.angle_deg:g} deg")
    if not row.exclude:
        said.append("locked" if row.lock else f"known to {row.sigma_px or 1:g} px")
    return f"  {name}: {', '.join(said)}"


def _settings(told: Mapping[str, Any], table: Path) -> dict[str, Any]:
    """Give the settings of a run that differ from the defaults, as the command line has them."""
    import json

    from mosaicflow.engine.parameters import default_values

    usual = default_values()
    changed = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in told["parameters"].items()
        if json.dumps(value) != json.dumps(usual.get(name), default=list)
    }
    return {**changed, "overrides": str(table)}


def _command(told: Mapping[str, Any], run: Path, table: Path) -> str:
    import shlex

    engine = told["engine"]
    if engine["name"] != "mosaicflow run":
        return (
            "the command that made it (engine.command in pipeline_info/run.json), with -resume"
            f" --overrides {shlex.quote(str(table))}"
        )
    words = ["mosaicflow", "run", engine["input"], "-o", str(run)]
    for name, value in _settings(told, table).items():
        words += [f"--{name}", value]
    return shlex.join(words)


def _start(told: Mapping[str, Any], run: Path, table: Path) -> int:
    from mosaicflow.cli.run import run as start_run

    if told["engine"]["name"] != "mosaicflow run":
        raise ParameterError(
            f"{run} was made by {told['engine']['name']}, which --run cannot start",
            remedy=_command(told, run, table),
        )
    return start_run(Path(told["engine"]["input"]), output=run, **_settings(told, table))
