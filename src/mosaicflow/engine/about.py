"""What a run says about itself: ``pipeline_info/run.json`` and ``README.txt``.

The workflow's functions/about.nf writes the same, and a test compares both.
"""

from __future__ import annotations

import hashlib
import json
import re
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from mosaicflow import __version__
from mosaicflow.engine.parameters import Parameters
from mosaicflow.io.tables import read_json, write_json, write_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mosaicflow.engine.layout import RunFolder
    from mosaicflow.engine.result import RunResult

__all__ = ["write_about"]


def write_about(
    result: RunResult, folder: RunFolder, parameters: Parameters, engine: Mapping[str, Any]
) -> None:
    """Write the record of a finished run, and the guide to its output.

    Parameters
    ----------
    result : RunResult
        What the run gave.
    folder : RunFolder
        Where everything was published.
    parameters : Parameters
        Settings of the run.
    engine : mapping
        What only this engine knows.
    """
    acquisition = folder.path("acquisition.json").read_bytes()
    alignment = read_json(folder.path("alignment.json"))
    (folder.root / "pipeline_info").mkdir(exist_ok=True)
    write_json(
        folder.root / "pipeline_info" / "run.json",
        {
            "software": f"mosaicflow {__version__}",
            "parameters": parameters.effective(),
            "input": {"digest": hashlib.sha256(acquisition).hexdigest()},
            "slices": {
                "found": result.n_slices,
                "failed": result.failures,
                "excluded": result.excluded,
                "placed": len(alignment["slices"]),
            },
            "pairs": {"found": result.n_pairs, "failed": result.unmatched},
            "outputs": sorted(result.outputs),
            "engine": {"name": "mosaicflow run", **engine},
        },
    )
    write_text(folder.root / "README.txt", _guide(result.volume.name, parameters))


def _guide(volume: str, parameters: Parameters) -> str:
    """Fill in the guide that both engines share."""
    chosen, defaults = parameters.effective(), Parameters({}).effective()
    lines = [f"  {name}: {_text(value)}" for name, value in chosen.items()]
    usual = {f"  {name}: {_text(value)}" for name, value in defaults.items()}
    settings = [line for line in lines if line not in usual]
    text = files("mosaicflow.engine").joinpath("readme.txt").read_text(encoding="utf-8")
    for mark, filling in (
        ("@VERSION@", __version__),
        ("@VOLUME@", volume),
        ("@STEM@", volume.removesuffix(".ome.zarr")),
        ("@SETTINGS@", "\n".join(settings) or "  none"),
    ):
        text = text.replace(mark, filling)
    return text


def _text(value: object) -> str:
    """Write a value as JSON, whole numbers without a fraction."""
    return re.sub(r"\.0(?=[,\]]|$)", "", json.dumps(value, separators=(",", ":")))
