"""``mosaicflow inspect``: what an acquisition holds and what is wrong with it, before a run."""

from __future__ import annotations

import inspect as signatures
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mosaicflow.stages.inspect_acquisition import inspect_acquisition, inspect_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mosaicflow.acquisition.discover import Acquisition
    from mosaicflow.acquisition.tiles import SliceTiles

__all__ = ["found_in", "inspect", "with_stage_options"]

_STAGE = signatures.signature(inspect_acquisition, eval_str=True).parameters
_DEFAULTS = {name: option.default for name, option in _STAGE.items()}
_STAGE_ONLY = (
    "raw",
    "output_dir",
    "slice_config",
    "exclude_first_slices",
    "slice_digits",
    "threads",
)


def with_stage_options(command: Callable[..., int]) -> Callable[..., int]:
    """Let a command about a raw folder take the options of the stage, which are declared there."""
    raw = signatures.signature(command, eval_str=True).parameters["raw"]
    options = [option for name, option in _STAGE.items() if name not in _STAGE_ONLY]
    command.__signature__ = signatures.Signature([raw, *options], return_annotation=int)  # type: ignore[attr-defined]
    command.__annotations__ = {o.name: o.annotation for o in (raw, *options)} | {"return": int}
    # Python 3.13 takes the indent off docstrings, earlier ones keep it.
    own, stage = (signatures.cleandoc(one.__doc__ or "") for one in (command, inspect_acquisition))
    first = stage.index("layout : str")
    command.__doc__ = f"{own}\n{stage[first:]}"
    return command


def found_in(raw: Path, settings: Mapping[str, Any]) -> Acquisition:
    """Inspect a raw folder with the options of a command."""
    from mosaicflow.acquisition.discover import discover

    return discover(raw, inspect_settings({**_DEFAULTS, **settings}))


@with_stage_options
def inspect(raw: Path, **settings: Any) -> int:  # noqa: ANN401  # typed by the stage's signature
    """Print per slice what RAW holds, and every problem found.

    No image data is read and nothing is written. The exit code is 0 when a run can start (there
    may be warnings), 1 when a problem forbids it.

    Parameters
    ----------
    raw : Path
        Folder of the acquisition, or a tile table (CSV) that lies in it.
    """
    found = found_in(raw, settings)
    sys.stdout.write(_text(found))
    return 1 if found.stops else 0


def _text(found: Acquisition) -> str:
    lines = [f"{found.root_name}: layout {found.layout}, {len(found.slices)} slices"]
    for tiles in found.slices:
        lines += _slice_lines(tiles)
    lines += [problem.line() for problem in found.problems]
    verdict = f"{len(found.stops)} stop a run" if found.stops else "a run can start"
    lines.append(f"{len(found.problems)} problems, {verdict}")
    return "\n".join(lines) + "\n"


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
    ]


def _channels(tiles: SliceTiles) -> str:
    several = len(tiles.channels) > 1
    return f"; channels {', '.join(tiles.channels)}" if several else ""


def _range(tiles: SliceTiles, axis: int) -> str:
    sign = (tiles.stage.y, tiles.stage.x)[axis].sign
    direction = {1: "grows", -1: "falls"}.get(sign, "direction unknown")
    low, high = tiles.stage.min_mm[axis], tiles.stage.max_mm[axis]
    return f"{low:.3f} to {high:.3f} mm ({direction} with the index)"
