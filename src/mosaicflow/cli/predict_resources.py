"""What a task of each stage takes, for the workflow: it asks schedulers for so much."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from mosaicflow.cli.app import new_app

__all__ = ["predict_resources"]

# Threads of a task of a slice (conf/base.config): each holds blocks of its own.
_THREADS = 4

predict_resources = new_app("predict-resources")


@predict_resources.default
def predict(
    tiles: Annotated[tuple[Path, ...], Parameter(negative=())], /, *, settings: Path, output: Path
) -> None:
    """Predict memory, time and disk of the largest task of each stage.

    Parameters
    ----------
    tiles : tuple of Path
        Tile lists of all slices (zNN_tiles.json).
    settings : Path
        Every parameter that has a value, as JSON.
    output : Path
        File to write (resources.json).
    """
    from mosaicflow.acquisition.tiles import read_slice_tiles
    from mosaicflow.engine.needs import chained, decisive, predict_needs
    from mosaicflow.engine.pace import measured_pace
    from mosaicflow.engine.parameters import Parameters
    from mosaicflow.io.tables import write_document

    given = json.loads(settings.read_text(encoding="utf-8"))
    slices = [read_slice_tiles(path) for path in tiles]
    needs = predict_needs(slices, Parameters(decisive(given)), measured_pace(), threads=_THREADS)
    every = [*needs, *chained(needs)]
    write_document(output, {"stages": {one.stage: one.to_dict() for one in every}})
