"""``mosaicflow inspect``: what an acquisition holds and what is wrong with it, before a run."""

from __future__ import annotations

import os
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from mosaicflow.cli.given import given_of
from mosaicflow.limits import checked
from mosaicflow.stages.inspect_acquisition import InspectOptions, inspect_settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mosaicflow.acquisition.discover import Acquisition
    from mosaicflow.acquisition.problems import Problem
    from mosaicflow.acquisition.tiles import SliceTiles
    from mosaicflow.engine.parameters import Parameters

__all__ = ["StageOptions", "disk_lines", "found_in", "inspect", "machine_lines"]

# Not the group itself: only what was given counts more than a parameters file.
if TYPE_CHECKING:
    StageOptions = Mapping[str, Any]
else:
    StageOptions = given_of(InspectOptions)
_OPTIONS = {item.name for item in fields(InspectOptions)}


def found_in(raw: Path, settings: Mapping[str, Any]) -> Acquisition:
    """Inspect a raw folder with the options of a command; those of the stage alone do not count."""
    from mosaicflow.acquisition.discover import discover

    own = {name: value for name, value in settings.items() if name in _OPTIONS}
    return discover(raw, inspect_settings(checked(InspectOptions(**own))))


def inspect(
    raw: Path,
    *,
    params_file: Annotated[Path | None, Parameter(name=["--params-file", "-p"])] = None,
    suggest: Path | None = None,
    draw: Path | None = None,
    verbose: Annotated[bool, Parameter(negative=())] = False,
    settings: StageOptions = {},  # noqa: B006  # nobody writes to it
) -> int:
    """Print per slice what RAW holds, and every problem found.

    Nothing is written but the files that `suggest` and `draw` name. A few tiles are read to see
    how well they compress, and the pace of this machine is measured: the last lines say how much
    disk, memory and time a run takes, stage by stage. The exit code is 0 when a run can start
    (there may be warnings), 1 when a problem, or the memory of this machine, forbids it.

    Examples: ``mosaicflow inspect RAW``; ``mosaicflow inspect RAW -p params.yml --verbose``;
    ``mosaicflow inspect RAW --suggest params.yml --draw layout.png``.

    Parameters
    ----------
    raw : Path
        Folder of the acquisition, or a tile table (CSV) that lies in it.
    params_file : Path, optional
        Parameters of the run to come; options given here win.
    suggest : Path, optional
        YAML file to write with the parameters that these data ask for, each with its reason.
    draw : Path, optional
        PNG to write: where the tiles of each slice lie, and which cannot be used.
    verbose : bool
        Print each problem, not one line per kind.
    settings : mapping
        Options of the stage `inspect_acquisition`.
    """
    from mosaicflow.engine.parameters import Parameters

    parameters = Parameters.read(params_file, {})
    given = parameters.for_stage("inspect_acquisition")
    found = found_in(raw, {**given, **settings})
    sys.stdout.write(_text(found, verbose=verbose))
    if suggest is not None:
        _write_suggestions(suggest, found)
    if draw is not None:
        _draw(draw, found)
    if found.stops:
        return 1
    threads = len(os.sched_getaffinity(0))
    for lines in (disk_lines(raw, found, parameters), machine_lines(found, parameters, threads)):
        sys.stdout.write("\n".join(lines) + "\n")
    return 0


def machine_lines(found: Acquisition, parameters: Parameters, threads: int) -> list[str]:
    """Say how much memory and time a run takes here.

    Raises
    ------
    InputError
        Where it cannot fit into this machine's memory.
    """
    from mosaicflow.engine.needs import need_lines, predict_needs, refuse_where_too_small
    from mosaicflow.engine.pace import measured_pace

    refuse_where_too_small(found.slices, parameters, threads)
    return need_lines(predict_needs(found.slices, parameters, measured_pace()), threads)


def disk_lines(
    raw: Path, found: Acquisition, parameters: Parameters, root: Path | None = None
) -> list[str]:
    """Say how much disk a run takes; or that it is not known, where no tile can be read.

    Raises
    ------
    InputError
        Where it cannot fit on the disk of `root`.
    """
    from mosaicflow.engine.space import (
        bytes_below,
        measured_shares,
        predict_space,
        refuse_too_little_space,
        space_lines,
    )

    shares = measured_shares(raw, found.slices, parameters)
    if shares is None:
        return ["disk: not known, none of the tiles that were tried can be read"]
    spaces = predict_space(found.slices, parameters, shares)
    if root is not None:
        refuse_too_little_space(root, spaces, there=bytes_below(root))
    return space_lines(spaces)


def _write_suggestions(path: Path, found: Acquisition) -> None:
    from mosaicflow.acquisition.suggest import suggested_parameters
    from mosaicflow.io.tables import write_text

    _refuse_existing("--suggest", path)
    write_text(path, suggested_parameters(found))
    sys.stdout.write(f"suggestions in {path}\n")


def _draw(path: Path, found: Acquisition) -> None:
    from mosaicflow.acquisition.place.layout_image import draw_layout

    _refuse_existing("--draw", path)
    draw_layout(found.slices).save(path, format="PNG")
    sys.stdout.write(f"layout in {path}\n")


def _refuse_existing(option: str, path: Path) -> None:
    from mosaicflow.errors import InputError

    if path.exists():
        raise InputError(f"{option} {path}: is there already; it is not overwritten")


def _text(found: Acquisition, *, verbose: bool) -> str:
    lines = [f"{found.root_name}: layout {found.layout}, {len(found.slices)} slices"]
    for tiles in found.slices:
        lines += _slice_lines(tiles)
    if verbose:
        lines += [problem.line() for problem in found.problems]
    else:
        lines += _grouped(found.problems)
    verdict = f"{len(found.stops)} stop a run" if found.stops else "a run can start"
    n_problems = len(found.problems)
    lines.append(f"{n_problems} problem{'' if n_problems == 1 else 's'}, {verdict}")
    return "\n".join(lines) + "\n"


def _grouped(problems: Sequence[Problem]) -> list[str]:
    """Say each kind of problem once: its first, how often, and in which slices."""
    groups: dict[tuple[str, str], list[Problem]] = {}
    for problem in problems:
        groups.setdefault((problem.action, problem.code), []).append(problem)
    lines = []
    for group in groups.values():
        ids = sorted({one.slice_id for one in group if one.slice_id is not None})
        where = f" in {len(ids)} slices" if len(ids) > 1 else ""
        more = f" ({len(group)} such{where}; --verbose lists them)" if len(group) > 1 else ""
        lines.append(f"{group[0].line()}{more}")
    return lines


def _slice_lines(tiles: SliceTiles) -> list[str]:
    rows, columns = tiles.grid_shape
    head = (
        f"slice {tiles.slice_id:02d}: {len(tiles.used)} of {len(tiles.tiles)} tiles found are "
        f"used, lattice {rows} x {columns}"
    )
    if tiles.failure:
        return [f"{head}; gives nothing: {tiles.failure}"]
    z, y, x = tiles.tile_shape
    pitch_z, pitch_y, pitch_x = tiles.pitch_um
    return [
        head,
        f"  tile {z} x {y} x {x} samples of {pitch_z:g} x {pitch_y:g} x {pitch_x:g} um (z, y, x)",
        f"  depth spacing {pitch_z:g} um, {tiles.depth_spacing}{_channels(tiles)}",
        f"  positions: {tiles.positions}; overlap {tiles.overlap_fraction:.1%}; "
        f"y {_range(tiles, 0)}, x {_range(tiles, 1)}",
        *_holes(tiles),
    ]


# Holes that are named one by one; the layout's picture shows all.
_NAMED = 6


def _holes(tiles: SliceTiles) -> list[str]:
    """Name the places of the lattice at which no tile can be used."""
    rows, columns = tiles.grid_shape
    used = tiles.used
    empty = [(y, x) for y in range(rows) for x in range(columns) if (y, x) not in used]
    if not empty:
        return []
    names = ", ".join(map(str, empty[:_NAMED]))
    more = f" and {len(empty) - _NAMED} more" if len(empty) > _NAMED else ""
    return [f"  {len(empty)} of {rows * columns} places have no tile: (iy, ix) = {names}{more}"]


def _channels(tiles: SliceTiles) -> str:
    several = len(tiles.channels) > 1
    return f"; channels {', '.join(tiles.channels)}" if several else ""


def _range(tiles: SliceTiles, axis: int) -> str:
    sign = (tiles.stage.y, tiles.stage.x)[axis].sign
    direction = {1: "grows", -1: "falls"}.get(sign, "direction unknown")
    low, high = tiles.stage.min_mm[axis], tiles.stage.max_mm[axis]
    return f"{low:.3f} to {high:.3f} mm ({direction} with the index)"
