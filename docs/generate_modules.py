#!/usr/bin/env python3
"""Write what the workflow engine needs of each stage: its command, its module, and meta.yml.

All of it comes from the stage's contract. A module is written here where a stage reads stores or
files of one slice and makes one store; any other is written by hand, and compared with the
contract by tests/unit/test_workflow_contract.py::

    python docs/generate_modules.py            # write all
    python docs/generate_modules.py --check    # exit code 1 when one of them is out of date
"""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from mosaicflow import names
from mosaicflow.stages._table import STAGES

if TYPE_CHECKING:
    from mosaicflow.stages._contract import Contract

# Also where a test loads this file by its path.
sys.path.insert(0, str(Path(__file__).parent))
from sealing import SEAL, seal, write_all

ROOT = Path(__file__).parents[1]
VERSIONS = (
    "    tuple val(task.process), val('mosaicflow'), eval('mosaicflow --version'), topic: versions"
)
MODULE_HEAD = f"// Written by docs/generate_modules.py from the contract of the stage; {SEAL}."
COMMAND_HEAD = f"# Written by docs/generate_modules.py from the list of stages; {SEAL}."
HEAD = f"# Written by docs/generate_modules.py from the stage and its module; {SEAL}.\n"
# What a workflow gives every stage is no input of its own.
_COMMON = frozenset({"threads", "store", "options", "output", "output_dir"})
_OUTPUT = re.compile(r"^    ((?:tuple|path)\b.*?)\b(?:emit|topic): (\w+)$", re.M | re.S)
_PATTERN = re.compile(r"""path[ (]["'](.*?)["'](?=[,)])""")
_WORKS_ON = {"run": "the whole run", "slice": "one slice", "pair": "two slices"}


def describe(stage: str, module: str) -> dict[str, Any]:
    """Describe one module in the words of the usual meta.yml.

    Parameters
    ----------
    stage : str
        The stage's stem.
    module : str
        Text of its module.
    """
    contract = STAGES[stage].contract
    texts, settings = contract.texts(), contract.options
    hints = {name: one.annotation for name, one in contract.parameters.items()}
    given = _inputs(contract)
    return {
        "name": stage,
        "description": contract.summary,
        "keywords": ["mosaicflow", "microscopy", f"per {STAGES[stage].per}"],
        "works_on": _WORKS_ON[STAGES[stage].per],
        "tools": [
            {
                "mosaicflow": {
                    "documentation": f"docs/stages/{stage}.md",
                    "licence": ["BSD-3-Clause"],
                }
            }
        ],
        "input": [{name: _input(hints[name], texts[name])} for name in given],
        "settings": sorted(settings),
        "output": _outputs(module),
    }


def _input(hint: Any, text: str) -> dict[str, Any]:  # noqa: ANN401  # a type
    several = "tuple" in str(hint) or "Sequence" in str(hint)
    return {
        "type": "file or store" if "Path" in str(hint) else "value",
        "several": several,
        "optional": "None" in str(hint),
        "description": text,
    }


def _outputs(text: str) -> list[dict[str, Any]]:
    section = text[text.index("    output:") : text.index("    script:")]
    section = section.replace("${suffixOf(settings)}", "")  # of other channels
    return [
        {name: {"pattern": _PATTERN.findall(body), "optional": "optional: true" in body}}
        for body, name in _OUTPUT.findall(section)
        if name != "versions"
    ]


def render_all() -> dict[Path, str]:
    """Give the wanted text of every generated file."""
    found: dict[Path, str] = {}
    for stage in STAGES:
        found[ROOT / "bin" / f"{stage}.py"] = render_command(stage)
        module = ROOT / "modules" / stage / "main.nf"
        if is_plain(STAGES[stage].contract):
            found[module] = render_module(STAGES[stage].contract)
        text = found[module] if module in found else module.read_text(encoding="utf-8")
        about = yaml.safe_dump(
            describe(stage, text), sort_keys=False, allow_unicode=True, width=100
        )
        found[module.with_name("meta.yml")] = seal(HEAD + about)
    return found


def render_command(stage: str) -> str:
    """Write the command of a stage."""
    purpose = import_module(f"mosaicflow.stages.{stage}").__doc__.splitlines()[0]
    call = f'from mosaicflow.cli import stage_command\n\nstage_command("{stage}")\n'
    return seal(f'#!/usr/bin/env python3\n{COMMAND_HEAD}\n"""{purpose}"""\n\n{call}')


def is_plain(contract: Contract) -> bool:
    """Whether a module follows from a contract whole."""
    reads = [contract.parameters[name] for name in _inputs(contract)]
    required = all(one.annotation is Path and one.default is one.empty for one in reads)
    stores = [kind.pattern.endswith(".ome.zarr") for kind in contract.makes]
    return contract.per == "slice" and required and stores.count(True) == 1 and stores[0]


def render_module(contract: Contract) -> str:
    """Write the module of a stage that works on one slice."""
    inputs = {name: name.removesuffix("_path") for name in _inputs(contract)}
    store, *pictures = (_file(kind.pattern) for kind in contract.makes)
    stem = store.removesuffix(".ome.zarr")
    beside = [f"{stem}.metrics.json", f"{stem}.crc32c.json"]
    record = _file(names.FAILURE.pattern)
    given = ", ".join(f"path({one}, arity: '1')" for one in inputs.values())
    options = [f"--{n.replace('_', '-')} ${{{one}}}" for n, one in inputs.items()]
    options += ["${optionsOf(settings)}", f"--failure-record {record}"]
    options += ["--threads ${task.cpus}", f"--output {store}"]
    stub = [f"mkdir {store}", *(f"echo '{{}}' > {name}" for name in beside)]
    lines = [
        MODULE_HEAD,
        "include { optionsOf ; suffixOf } from '../../functions/settings'",
        "",
        f"// {contract.summary}",
        f"process {contract.name.upper()} {{",
        '    tag "z${id}"',
        f"    label '{contract.label}'",
        "    cache 'deep'",
        "",
        "    input:",
        f"    tuple val(id), {given}",
        "    val settings",
        "",
        "    output:",
        "    tuple val(id),",
        f"        path(\"{store}\", type: 'dir'),",
        *(f'        path("{name}"),' for name in beside),
        "        optional: true, emit: made",
        f'    tuple val(id), path("{record}"), optional: true, emit: failure',
        *(f'    path "{name}", optional: true, emit: preview' for name in pictures),
        VERSIONS,
        "",
        "    script:",
        '    """',
        "    " + " \\\\\n        ".join([f"{contract.name}.py", *options]),
        '    """',
        "",
        "    stub:",
        '    """',
        *(f"    {line}" for line in stub),
        *(f"    touch {name}" for name in pictures),
        '    """',
        "}",
    ]
    return seal("\n".join(lines) + "\n")


def _inputs(contract: Contract) -> list[str]:
    return [name for name in contract.arguments if name not in _COMMON]


def _file(pattern: str) -> str:
    """Name an output as a module does: of this slice, and of this channel."""
    stem = names.stem_of(pattern)
    return f"{stem}${{suffixOf(settings)}}{pattern.removeprefix(stem)}".replace("{z}", "z${id}")


if __name__ == "__main__":
    sys.exit(write_all("docs/generate_modules.py", render_all()))
