"""The results as a research object: ``ro-crate-metadata.json``, for archives and programs.

A run of the workflow engine is a Workflow Run Crate around the published main.nf; a run of
`mosaicflow run` is one program that ran once, which is a Process Run Crate.

Sources: RO-Crate 1.1; Workflow Run RO-Crate 0.5 (Leo et al. 2024, PLoS ONE 19, e0309210);
Workflow RO-Crate 1.0.
"""

from __future__ import annotations

import json
import mimetypes
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mosaicflow import __version__, names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["crate"]

_CONTEXT = "https://w3id.org/ro/crate/1.1/context"
_RO_CRATE = "https://w3id.org/ro/crate/1.1"
_PROCESS_RUN = "https://w3id.org/ro/wfrun/process/0.5"
_WORKFLOW_RUN = "https://w3id.org/ro/wfrun/workflow/0.5"
_WORKFLOW = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
_PROFILES = {
    _PROCESS_RUN: "Process Run Crate",
    _WORKFLOW_RUN: "Workflow Run Crate",
    _WORKFLOW: "Workflow RO-Crate",
}
_LICENSE = "https://spdx.org/licenses/BSD-3-Clause"
_NEXTFLOW = "https://www.nextflow.io/"
_RAW, _RUN = "#raw", "#run"
# What the standard library does not know by its ending.
_FORMATS = {".npy": "application/x-npy", ".npz": "application/x-npz", ".tfm": "text/plain"}

_Entity = dict[str, Any]


def crate(record: Mapping[str, Any]) -> dict[str, Any]:
    """Describe a finished run and everything that it published.

    Parameters
    ----------
    record : mapping
        What ``run.json`` says.

    Returns
    -------
    dict
        JSON-LD, ready to be written as ``ro-crate-metadata.json`` at the top of the output folder.
    """
    workflow = _path(names.WORKFLOW) if record["engine"]["name"] == "nextflow" else None
    own = (names.PAGE.of(), names.GUIDE.of(), _path(names.RECORD))
    parts = [_part(path) for path in sorted({*record["outputs"], *own})]
    settings = _settings(record["parameters"], workflow)
    instrument = _main_workflow(workflow, record["parameters"]) if workflow else [_program()]
    profiles = (_PROCESS_RUN, _WORKFLOW_RUN, _WORKFLOW) if workflow else (_PROCESS_RUN,)
    contents = [instrument[0], *parts] if workflow else parts
    return {
        "@context": _CONTEXT,
        "@graph": [
            _descriptor(profiles),
            {**_results(record, profiles, contents), **_main(workflow)},
            _action(record, instrument[0], settings, parts),
            *(_profile(profile) for profile in profiles),
            _raw(record),
            *instrument,
            *settings,
            *parts,
        ],
    }


def _results(
    record: Mapping[str, Any], profiles: Sequence[str], contents: Sequence[_Entity]
) -> _Entity:
    return {
        "@id": "./",
        "@type": "Dataset",
        "name": "Volume reconstructed from the tiles of a block-face microscope",
        "description": record["verdict"]["sentence"],
        "datePublished": _now(),
        "license": "not stated by those who ran it",
        "conformsTo": _refs(profiles),
        "hasPart": [_ref_of(part) for part in contents],
        "mentions": _ref(_RUN),
    }


def _main(workflow: str | None) -> _Entity:
    return {"mainEntity": _ref(workflow)} if workflow else {}


def _action(
    record: Mapping[str, Any],
    instrument: _Entity,
    settings: Sequence[_Entity],
    parts: Sequence[_Entity],
) -> _Entity:
    ending = "FailedActionStatus" if record["verdict"]["failed"] else "CompletedActionStatus"
    return {
        "@id": _RUN,
        "@type": "CreateAction",
        "name": f"Run of mosaicflow {__version__}",
        "description": record["verdict"]["sentence"],
        "instrument": _ref_of(instrument),
        "object": [_ref(_RAW), *map(_ref_of, settings)],
        "result": [_ref_of(part) for part in parts],
        "endTime": _now(),
        "actionStatus": f"http://schema.org/{ending}",
    }


def _program() -> _Entity:
    return {
        "@id": "#mosaicflow",
        "@type": "SoftwareApplication",
        "name": "mosaicflow",
        "softwareVersion": __version__,
        "license": _ref(_LICENSE),
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _path(kind: names.Kind) -> str:
    return f"{kind.folder}/{kind.of()}"


def _ref(name: str) -> _Entity:
    return {"@id": name}


def _refs(addresses: Sequence[str]) -> _Entity | list[_Entity]:
    """Refer to some; to one without a list, as the standard wants it."""
    return _ref(addresses[0]) if len(addresses) == 1 else [_ref(name) for name in addresses]


def _ref_of(entity: Mapping[str, Any]) -> _Entity:
    return _ref(entity["@id"])


def _descriptor(profiles: Sequence[str]) -> _Entity:
    also = [_WORKFLOW] if _WORKFLOW in profiles else []
    return {
        "@id": "ro-crate-metadata.json",
        "@type": "CreativeWork",
        "about": _ref("./"),
        "conformsTo": _refs([_RO_CRATE, *also]),
    }


def _profile(address: str) -> _Entity:
    return {
        "@id": address,
        "@type": "CreativeWork",
        "name": _PROFILES[address],
        "version": address.rpartition("/")[2],
    }


def _raw(record: Mapping[str, Any]) -> _Entity:
    """Tell what went in; it stays where it is, and its inventory is in the results."""
    digest = record["input"]["digest"]
    return {
        "@id": _RAW,
        "@type": "Dataset",
        "name": "Raw tiles",
        "description": f"{record['slices']['found']} slices, listed in {_path(names.ACQUISITION)}",
        **({"identifier": f"sha256:{digest}"} if digest else {}),
    }


def _part(path: str) -> _Entity:
    """Describe a published file, or a store, which is a folder."""
    if path.endswith(".ome.zarr"):
        return {
            "@id": f"{quote(path)}/",
            "@type": "Dataset",
            "name": path,
            "encodingFormat": "OME-Zarr",
        }
    ending = "." + path.rpartition(".")[2]
    kind = _FORMATS.get(ending) or mimetypes.guess_type(path)[0] or "application/octet-stream"
    return {"@id": quote(path), "@type": "File", "name": path, "encodingFormat": kind}


def _settings(parameters: Mapping[str, Any], workflow: str | None) -> list[_Entity]:
    """Give every setting its value; it is that of a parameter where there is a workflow."""
    return [
        {
            "@id": f"#value/{name}",
            "@type": "PropertyValue",
            "name": name,
            "value": value if isinstance(value, str) else json.dumps(value),
            **({"exampleOfWork": _ref(f"#parameter/{name}")} if workflow else {}),
        }
        for name, value in sorted(parameters.items())
    ]


def _main_workflow(workflow: str, parameters: Iterable[str]) -> list[_Entity]:
    """Describe the workflow, its language and its parameters; the workflow is the first."""
    formal = [
        {
            "@id": f"#parameter/{name}",
            "@type": "FormalParameter",
            "additionalType": "Text",
            "name": name,
            "workExample": _ref(f"#value/{name}"),
        }
        for name in sorted(parameters)
    ]
    return [
        {
            "@id": workflow,
            "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow"],
            "name": "mosaicflow",
            "version": __version__,
            "license": _ref(_LICENSE),
            "encodingFormat": "application/nextflow",
            "programmingLanguage": _ref(_NEXTFLOW),
            "input": [_ref_of(one) for one in formal],
        },
        {
            "@id": _NEXTFLOW,
            "@type": "ComputerLanguage",
            "name": "Nextflow",
            "url": _ref(_NEXTFLOW),
        },
        *formal,
    ]
