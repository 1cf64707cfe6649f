"""What only the engine knows of a run, for the stage `report`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mosaicflow.engine.parameters import Parameters
from mosaicflow.io.tables import write_document

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mosaicflow.engine.layout import RunFolder

__all__ = ["write_facts"]


def write_facts(
    folder: RunFolder,
    volume: str,
    outputs: Sequence[str],
    parameters: Parameters,
    engine: Mapping[str, Any],
) -> Path:
    """Write the facts of a run; the workflow's functions/about.nf writes the same.

    Parameters
    ----------
    folder : RunFolder
        Where everything was published.
    volume : str
        Name of the volume's store.
    outputs : sequence of str
        Everything published, relative to the output folder.
    parameters : Parameters
        Settings of the run.
    engine : mapping
        What only this engine knows: times, threads, places.

    Returns
    -------
    Path
        The file, for the stage `report`.
    """
    path = folder.private / "run_facts.json"
    write_document(
        path,
        {
            "volume": volume,
            "parameters": parameters.effective(),
            "defaults": Parameters({}).effective(),
            "outputs": sorted(outputs),
            "engine": {"name": "mosaicflow run", **_said(engine)},
        },
    )
    return path


def _said(engine: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what there is nothing to say about."""
    return {name: value for name, value in engine.items() if value != ""}
