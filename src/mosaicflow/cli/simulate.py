"""``mosaicflow simulate``: settings on the command line, one library call."""

from __future__ import annotations

import inspect
import sys
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from cyclopts import Parameter

from mosaicflow.simulation.presets import preset
from mosaicflow.simulation.settings import GROUPS, PresetName, SimulationSettings

__all__ = ["simulate"]


def simulate(
    output: Path,
    *,
    preset_name: Annotated[PresetName, Parameter(name="--preset")] = "demo",
    threads: int = 2,
    **settings: Any,  # noqa: ANN401  # checked against the settings' own types
) -> None:
    """Write a raw acquisition with known truth.

    OUTPUT gets raw/ (what an instrument writes), truth/ (what is true of it) and params.yml (what
    no raw file says; give it to either engine with -p).

    Parameters
    ----------
    output : Path
        Folder to make.
    preset_name : str
        toy: 2 MB; demo: 0.4 GB; benchmark: 2.6 GB; native: 2.7 GB at a microscope's own pitch;
        ideal: demo's lattice without any degradation. Options below change what they name.
    threads : int
        Tiles written side by side; changes no byte.
    """
    from mosaicflow.threads import limit_threads

    limit_threads(threads)
    from mosaicflow.simulation.acquisition import simulate as run

    given = {name: value for name, value in settings.items() if value is not None}
    result = run(output, settings=preset(preset_name, **given), threads=threads)
    sys.stdout.write(
        f"{result.n_tiles} tiles, {result.n_bytes / 1e6:.1f} MB in {result.raw}\n"
        f"truth in {result.truth}\nparameters in {result.params}\n"
    )


def _with_settings(command: Any) -> None:  # noqa: ANN401  # a function whose signature is replaced
    """Let the command take every setting of the simulator, as its dataclasses declare them."""
    own = inspect.signature(command, eval_str=True)
    parameters = [p for p in own.parameters.values() if p.kind is not p.VAR_KEYWORD]
    document = [inspect.getdoc(command) or ""]
    hints = get_type_hints(SimulationSettings)
    for group in (*GROUPS, ""):
        owner = hints[group] if group else SimulationSettings
        types = get_type_hints(owner)
        for item in fields(owner):
            if item.name in GROUPS:
                continue
            annotation = types[item.name] | None
            if group:
                annotation = Annotated[annotation, Parameter(group=group.capitalize())]
            parameters.append(
                inspect.Parameter(
                    item.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
                )
            )
        document.append((inspect.getdoc(owner) or "").split("----------\n")[1])
    command.__signature__ = own.replace(parameters=parameters, return_annotation=None)
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    command.__doc__ = "\n".join(document)


_with_settings(simulate)
