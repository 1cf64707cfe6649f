"""``mosaicflow simulate``: settings on the command line, one library call."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

from cyclopts import Parameter

from mosaicflow.cli.given import given_of
from mosaicflow.simulation.presets import preset
from mosaicflow.simulation.settings import GROUPS, PresetName, SimulationSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["simulate"]

if TYPE_CHECKING:
    Settings = Mapping[str, Any]
else:
    _HINTS = get_type_hints(SimulationSettings)
    _GROUPS = {_HINTS[name]: name.capitalize() for name in GROUPS}
    Settings = given_of(SimulationSettings, *_GROUPS, groups=_GROUPS)


def simulate(
    output: Path,
    *,
    preset_name: Annotated[PresetName, Parameter(name="--preset")] = "demo",
    threads: int = 2,
    settings: Settings = {},  # noqa: B006  # nobody writes to it
) -> None:
    """Write a raw acquisition with known truth.

    OUTPUT gets raw/ (what an instrument writes), truth/ (what is true of it) and params.yml (what
    no raw file says; give it to either engine with -p).

    Examples: ``mosaicflow simulate SIM``; ``mosaicflow simulate SIM --preset toy --seed 7``;
    ``mosaicflow simulate SIM --n_slices 9 --bad_slices 7 --bad_kind blurred``.

    Parameters
    ----------
    output : Path
        Folder to make.
    preset_name : str
        toy: 2 MB; demo: 0.4 GB; benchmark: 2.6 GB; native: 2.7 GB at a microscope's own pitch;
        ideal: demo's lattice without any degradation. Options below change what they name.
    threads : int
        Tiles written side by side; changes no byte.
    settings : mapping
        What differs from the preset.
    """
    from mosaicflow.threads import limit_threads

    limit_threads(threads)
    from mosaicflow.simulation.acquisition import simulate as run

    result = run(output, settings=preset(preset_name, **settings), threads=threads)
    sys.stdout.write(
        f"{result.n_tiles} tiles, {result.n_bytes / 1e6:.1f} MB in {result.raw}\n"
        f"truth in {result.truth}\nparameters in {result.params}\n"
    )
