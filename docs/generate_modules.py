#!/usr/bin/env python3
"""Write modules/<stage>/meta.yml from what the stage and its module declare.

Meaning, types and settings come from the signature and docstring of the stage function, names of
outputs from the module::

    python docs/generate_modules.py            # write all
    python docs/generate_modules.py --check    # exit code 1 when one of them is out of date
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import yaml

from mosaicflow.stages._table import STAGES

ROOT = Path(__file__).parents[1]
HEAD = "# Written by docs/generate_modules.py from what the stage and its module declare.\n"
# What a workflow gives every stage is no input of its own.
_COMMON = frozenset({"threads", "store", "options", "output", "output_dir"})
_OUTPUT = re.compile(r"^    ((?:tuple|path)\b.*?)\b(?:emit|topic): (\w+)$", re.M | re.S)
_PATTERN = re.compile(r"""path[ (]["'](.*?)["'](?=[,)])""")
_WORKS_ON = {"run": "the whole run", "slice": "one slice", "pair": "two slices"}


def describe(stage: str) -> dict[str, Any]:
    """Describe one module in the words of the usual meta.yml.

    Parameters
    ----------
    stage : str
        The stage's stem.
    """
    contract = STAGES[stage].contract
    texts, settings = contract.texts(), contract.options
    hints = {name: one.annotation for name, one in contract.parameters.items()}
    given = [name for name in contract.arguments if name not in _COMMON]
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
        "output": _outputs(stage),
    }


def _input(hint: Any, text: str) -> dict[str, Any]:  # noqa: ANN401  # a type
    several = "tuple" in str(hint) or "Sequence" in str(hint)
    return {
        "type": "file or store" if "Path" in str(hint) else "value",
        "several": several,
        "optional": "None" in str(hint),
        "description": text,
    }


def _outputs(stage: str) -> list[dict[str, Any]]:
    text = (ROOT / "modules" / stage / "main.nf").read_text(encoding="utf-8")
    section = text[text.index("    output:") : text.index("    script:")]
    section = section.replace("${suffixOf(settings)}", "")  # of other channels
    return [
        {name: {"pattern": _PATTERN.findall(body), "optional": "optional: true" in body}}
        for body, name in _OUTPUT.findall(section)
        if name != "versions"
    ]


def render_all() -> dict[Path, str]:
    """Give the wanted text of every generated file."""
    return {
        ROOT / "modules" / stage / "meta.yml": HEAD
        + yaml.safe_dump(describe(stage), sort_keys=False, allow_unicode=True, width=100)
        for stage in STAGES
    }


def main() -> int:
    """Write the files, or only compare them."""
    wanted = render_all()
    stale = [p for p, text in wanted.items() if not p.is_file() or p.read_text("utf-8") != text]
    if "--check" in sys.argv[1:]:
        for path in stale:
            sys.stderr.write(f"{path}: out of date, run python docs/generate_modules.py\n")
        return 1 if stale else 0
    for path in stale:
        path.write_text(wanted[path], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
