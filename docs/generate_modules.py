#!/usr/bin/env python3
"""Write what the workflow engine needs of each stage: its command, its module, and meta.yml.

All of it comes from the stage's contract, but for seven modules, which say at `BY_HAND` what a
contract does not: tests/unit/test_workflow_contract.py compares their files, read and made, their
options and their resources with the contract::

    python docs/generate_modules.py            # write all
    python docs/generate_modules.py --check    # exit code 1 when one of them is out of date
"""

from __future__ import annotations

import inspect
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
_EMPTY = inspect.Parameter.empty
# What a workflow gives every stage is no input of its own.
_COMMON = frozenset({"threads", "store", "options", "output", "output_dir"})
_OUTPUT = re.compile(r"^    ((?:tuple|path)\b.*?)\b(?:emit|topic): (\w+)$", re.M | re.S)
_PATTERN = re.compile(r"""path[ (]["'](.*?)["'](?=[,)])""")
# Modules of stages on the whole run that hold what no contract says. Of each the generator would
# need a case of its own, as long as what it replaces.
BY_HAND = {
    "inspect_acquisition": "knows the raw folder by a list of its files, and a table in it by name",
    "pool_tile_positions": "has metrics of each slice beside those of the run",
    "take_positions": "reads files of another run, which are called like its own",
    "stack": "its volume has a name of the user's, or an address",
    "join_angle": "its volume has a name of the user's",
    "export": "its files are called by the volume and by the formats that are asked for",
    "report": "reads what all others wrote",
}
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
        "input": [
            {name: _input(hints[name], texts[name], name in contract.several)} for name in given
        ],
        "settings": sorted(settings),
        "output": _outputs(module),
    }


def _input(hint: Any, text: str, several: bool) -> dict[str, Any]:  # noqa: ANN401  # a type
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
        if stage not in BY_HAND:
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


def render_module(contract: Contract) -> str:
    """Write the module of a stage."""
    ids = {"run": [], "slice": ["id"], "pair": ["fixed_id", "moving_id"]}[contract.per]
    given, common, options, optional = _given(contract)
    options += ["${optionsOf(given)}" if optional else "${optionsOf(settings)}"]
    options += [f"--failure-record {_record(ids)}"] if ids else []
    main = _file(contract.makes[0].pattern, ids)
    options += ["--threads ${task.cpus}"]
    options += [f"--output {main}" if "output" in contract.parameters else "--output-dir ."]
    functions = ["optionsOf", *(["quoted"] if "raw" in contract.parameters else []), "suffixOf"]
    lines = [
        MODULE_HEAD,
        f"include {{ {' ; '.join(functions)} }} from '../../functions/settings'",
        "",
        f"// {contract.summary}",
        f"process {contract.name.upper()} {{",
        *([f'    tag "{"-".join(f"z${{{one}}}" for one in ids)}"'] if ids else []),
        f"    label '{contract.label}'",
        "    cache 'deep'",
        "",
        "    input:",
        *([f"    tuple {', '.join([_whom(ids), *given])}"] if ids else []),
        *(f"    path {one}" for one in common),
        "    val settings",
        "",
        "    output:",
        *(_made_of_one(contract, ids) if ids else _made_of_all(contract)),
        VERSIONS,
        "",
        "    script:",
        *(
            [f"    def given = settings + [{optional}].findAll {{ _name, f -> f }}"]
            if optional
            else []
        ),
        '    """',
        "    " + " \\\\\n        ".join([f"{contract.name}.py", *options]),
        '    """',
        "",
        "    stub:",
        '    """',
        *(
            f"    {_stub(_file(kind.pattern, ids))}"
            for kind in contract.makes
            if not _is_picture(kind)
        ),
        *(f"    {_stub(name)}" for name in _beside(contract, ids)),
        *(f"    {_stub(_file(kind.pattern, ids))}" for kind in contract.makes if _is_picture(kind)),
        '    """',
        "}",
    ]
    return seal("\n".join(lines) + "\n")


def _made_of_one(contract: Contract, ids: list[str]) -> list[str]:
    """List the outputs of one slice or pair: all of them or a record, and pictures."""
    kinds = contract.makes
    made = [_file(kind.pattern, ids) for kind in kinds if not _is_picture(kind)]
    return [
        f"    tuple {_whom(ids)},",
        *(f'        path("{name}"{_kind_of(name)}),' for name in made + _beside(contract, ids)),
        "        optional: true, emit: made",
        f'    tuple {_whom(ids)}, path("{_record(ids)}"), optional: true, emit: failure',
        *(
            f'    path "{_file(kind.pattern, ids)}", optional: true, emit: preview'
            for kind in filter(_is_picture, kinds)
        ),
    ]


def _made_of_all(contract: Contract) -> list[str]:
    """List the outputs of the whole run: alone what another stage reads, then all the others."""
    read = {kind for one in STAGES.values() for kinds in one.reads.values() for kind in kinds}
    alone = [kind for kind in contract.makes if kind in read]
    words = {kind: "optional: true" if kind.sometimes else "arity: '1'" for kind in contract.makes}
    others = [_file(kind.pattern, []) for kind in contract.makes if kind not in read]
    beside = [f"""path("{name}", arity: '1'),""" for name in _beside(contract, []) + others]
    return [
        *(
            f'    path "{_file(kind.pattern, [])}", {words[kind]}, emit: {_called(kind)}'
            for kind in alone
        ),
        f"    tuple {beside[0]}",
        *(f"        {one}" for one in beside[1:]),
        "        emit: files",
    ]


def _called(kind: names.Kind) -> str:
    """Call a kind as the list of names does."""
    return next(name.lower() for name, one in vars(names).items() if one is kind)


def _beside(contract: Contract, ids: list[str]) -> list[str]:
    stem = names.stem_of(_file(contract.makes[0].pattern, ids))
    return [f"{stem}.metrics.json", f"{stem}.crc32c.json"]


def _is_picture(kind: names.Kind) -> bool:
    return kind.pattern.endswith(".png")


def _whom(ids: list[str]) -> str:
    return ", ".join(f"val({one})" for one in ids)


def _record(ids: list[str]) -> str:
    return _file((names.FAILURE if len(ids) == 1 else names.PAIR_FAILURE).pattern, ids)


def _given(contract: Contract) -> tuple[list[str], list[str], list[str], str]:
    """Say how a module takes its files: those of a slice or pair, and those of all.

    Returns
    -------
    given, common : list of str
        Inputs in the words of the workflow language.
    options : list of str
        Options of what must be there.
    optional : str
        Entries of what need not be there: such files are staged apart, so that no two are called
        the same; but for those that are several, which no stage makes under one name.
    """
    given, common, options, optional = [], [], [], []
    for name in [*_files(contract), *(n for n, one in contract.options.items() if one.is_staged)]:
        own, option = name.removesuffix("_path"), f"--{name.replace('_', '-')}"
        several = name in contract.several
        is_needed = name in contract.arguments and contract.parameters[name].default is _EMPTY
        words = f"{own}, arity: '1..*'" if several else f"{own}, arity: '1'"
        if name == "raw":
            words = "entries, stageAs: 'raw/*'"
            options.append(f"{option} ${{quoted(settings.address ?: 'raw')}}")  # or a bucket's
        elif is_needed:
            options.append(f"{option} ${{{own}}}")
        else:
            words = own if several else f"{own}, stageAs: '{own}/*'"
            optional.append(f"{name}: {own}")
        is_common = contract.per != "slice" and name not in ("fixed", "moving")
        (common if is_common else given).append(words if is_common else f"path({words})")
    return given, common, options, ", ".join(optional)


def _kind_of(name: str) -> str:
    return ", type: 'dir'" if name.endswith(".ome.zarr") else ""


def _stub(name: str) -> str:
    if name.endswith(".json"):
        return f"echo '{{}}' > {name}"
    return f"{'mkdir' if name.endswith('.ome.zarr') else 'touch'} {name}"


def _inputs(contract: Contract) -> list[str]:
    return [name for name in contract.arguments if name not in _COMMON]


def _files(contract: Contract) -> list[str]:
    """List the files that other stages, or the raw folder, give it."""
    hints = {name: str(contract.parameters[name].annotation) for name in _inputs(contract)}
    return [name for name, hint in hints.items() if "Path" in hint]


def _file(pattern: str, ids: list[str]) -> str:
    """Name an output as a module does: of this slice or pair, and of this channel."""
    stem = names.stem_of(pattern)
    name = f"{stem}${{suffixOf(settings)}}{pattern.removeprefix(stem)}"
    for one in ids:
        name = name.replace("{z}", f"z${{{one}}}", 1)
    return name


if __name__ == "__main__":
    sys.exit(write_all("docs/generate_modules.py", render_all()))
