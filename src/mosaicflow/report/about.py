"""What a run leaves beside its page: ``run.json`` for programs, ``README.txt`` for people."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from importlib.resources import files as resources
from typing import TYPE_CHECKING, Any

from mosaicflow import __version__, names
from mosaicflow.io.failures import read_failure
from mosaicflow.io.tables import read_document

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mosaicflow.report.counts import Counts
    from mosaicflow.report.records import Lost, RunFiles
    from mosaicflow.report.verdict import Verdict

__all__ = ["Facts", "guide", "read_facts", "run_record"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What only the engine knows of a run.

    Parameters
    ----------
    volume : str
        Name of the volume's store.
    parameters, defaults : mapping
        Every parameter that has a value; what it would be without a setting.
    outputs : tuple of str
        Everything published, relative to the output folder.
    engine : mapping
        ``name``, ``input``, ``output``, and what else this engine says of itself.
    """

    volume: str
    parameters: Mapping[str, Any]
    defaults: Mapping[str, Any]
    outputs: tuple[str, ...]
    engine: Mapping[str, Any]

    @property
    def provisional(self) -> str:
        """Why this is not the result yet; empty where it is."""
        return str(self.engine.get("provisional", ""))

    @property
    def changed(self) -> dict[str, tuple[str, str]]:
        """Settings that differ from the defaults: name -> (value, default), as JSON."""
        pairs = {
            name: (_text(value), _text(self.defaults.get(name)))
            for name, value in self.parameters.items()
        }
        return {name: pair for name, pair in sorted(pairs.items()) if pair[0] != pair[1]}


def read_facts(path: Path) -> Facts:
    """Read the file that an engine writes for the stage `report`."""
    found = read_document(path)
    return Facts(
        volume=str(found["volume"]),
        parameters=found["parameters"],
        defaults=found["defaults"],
        outputs=tuple(sorted(found["outputs"])),
        engine=found["engine"],
    )


def run_record(
    files: RunFiles, facts: Facts, counts: Counts, lost: tuple[Lost, ...], verdict: Verdict
) -> dict[str, Any]:
    """Make the content of ``pipeline_info/run.json``.

    Parameters
    ----------
    files : RunFiles
        Of the run.
    facts : Facts
        What the engine knows.
    counts : Counts
        What went in and came out.
    lost : tuple of Lost
        Slices without image.
    verdict : Verdict
        How far to trust the volume.

    Returns
    -------
    dict
        Ready for JSON.
    """
    return {
        "software": f"mosaicflow {__version__}",
        "parameters": dict(sorted(facts.parameters.items())),
        "input": {"digest": _digest(files)},
        "slices": {
            "found": counts.slices,
            "failed": {
                str(one.slice_id): f"{one.stage}: {one.reason}"
                for one in lost
                if one.kind == "failed"
            },
            "excluded": {
                str(one.slice_id): one.reason for one in lost if one.kind.startswith("excluded")
            },
            "placed": counts.placed,
        },
        "pairs": {"found": counts.pairs + counts.pairs_failed, "failed": _failed_pairs(files)},
        "verdict": {"status": verdict.status, "sentence": verdict.sentence},
        "outputs": list(facts.outputs),
        "engine": dict(facts.engine),
    }


def _digest(files: RunFiles) -> str | None:
    found = files.of(names.ACQUISITION)
    return hashlib.sha256(found[0].read_bytes()).hexdigest() if found else None


def _failed_pairs(files: RunFiles) -> dict[str, str]:
    records = map(read_failure, files.of(names.PAIR_FAILURE))
    return {"_".join(record.labels): record.sentence for record in records}


def guide(facts: Facts) -> str:
    """Make ``README.txt``: what every file of the output folder is.

    Parameters
    ----------
    facts : Facts
        What the engine knows.

    Returns
    -------
    str
    """
    lines = [f"  {name}: {value}" for name, (value, _) in facts.changed.items()]
    text = resources("mosaicflow.report").joinpath("readme.txt").read_text(encoding="utf-8")
    for mark, filling in (
        ("@VERSION@", __version__),
        ("@VOLUME@", facts.volume),
        ("@STEM@", facts.volume.removesuffix(".ome.zarr")),
        ("@SETTINGS@", "\n".join(lines) or "  none"),
    ):
        text = text.replace(mark, filling)
    return text


def _text(value: object) -> str:
    """Write a value as JSON, whole numbers without a fraction."""
    return re.sub(r"\.0(?=[,\]]|$)", "", json.dumps(value, separators=(",", ":")))
