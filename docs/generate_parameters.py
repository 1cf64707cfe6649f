#!/usr/bin/env python3
"""Write everything that lists the pipeline's parameters from the one place that declares them.

The contracts of the stages give names, types, defaults and meaning. From
them come the ``params`` block of main.nf, nextflow_schema.json, functions/contracts.nf and
docs/parameters.md::

    python docs/generate_parameters.py            # write all
    python docs/generate_parameters.py --check    # exit code 1 when one of them is out of date
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
import typing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mosaicflow.engine.declared import (
    ENGINE_PARAMETERS,
    PRESETS,
    RUN_PARAMETERS,
    UNTOLD,
    EngineParameter,
)
from mosaicflow.io.store_options import StoreOptions
from mosaicflow.limits import (
    choices_of,
    expected,
    is_folder,
    is_optional,
    item_choices_of,
    limit_of,
    plain_type,
)
from mosaicflow.names import (
    GRID_STORES,
    PUBLISHED,
    REPORTED,
    SLICE_STORES,
    TO_JUDGE,
    place_rules,
)
from mosaicflow.stages._contract import chosen_of
from mosaicflow.stages._table import STAGES, slice_chain

# Also where a test loads this file by its path.
sys.path.insert(0, str(Path(__file__).parent))
from sealing import SEAL, is_edited, seal, write_all

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^params \{.*?^\}", flags=re.S | re.M)
SCHEMA_URL = "https://json-schema.org/draft/2020-12/schema"
SCHEMA_ID = "https://github.com/mosaicflow/mosaicflow/raw/main/nextflow_schema.json"
# Of forms that are made of the schema: what a group is about, and its sign.
GROUPS = {
    "input_output": ("Where tiles come from and results go, and how Nextflow runs", "terminal"),
    "steps": ("Stages that may be left out, and what is kept", "sitemap"),
    "stores": ("How arrays are written", "database"),
}


@dataclass(frozen=True, slots=True)
class Setting:
    """One parameter as users see it.

    Parameters
    ----------
    name, text : str
        Name and meaning.
    hint : object
        Python type.
    default : object
        Value without a setting; None for none.
    stages : tuple of str
        Stages that read it.
    """

    name: str
    text: str
    hint: Any
    default: Any
    stages: tuple[str, ...] = ()

    @property
    def plain(self) -> Any:  # noqa: ANN401  # a type
        """Its type without None."""
        return plain_type(self.hint)

    @property
    def choices(self) -> tuple[str, ...]:
        """Values allowed, if only some are; of a list, of its items."""
        return choices_of(self.hint) or item_choices_of(self.hint)

    @property
    def mimetype(self) -> str:
        """Of a file that users name."""
        return getattr(chosen_of(self.hint), "mimetype", "")

    @property
    def is_list(self) -> bool:
        """Whether it takes several values."""
        return typing.get_origin(self.plain) is tuple


@dataclass(frozen=True, slots=True)
class Group:
    """Parameters that are listed together."""

    key: str
    title: str
    settings: tuple[Setting, ...]


INTRODUCTION = (
    "One name, one meaning, in both engines: on the command line (`--crop_depth_um 400`), or in a "
    "`params.yml`, given to `mosaicflow run -p params.yml` or to "
    "`nextflow run . -params-file params.yml`. Lists (`pyramid_resolutions`) go into `params.yml`. "
    "Square brackets give the unit."
)
# A params.yml may hold a number where these take a word or a number; a type would refuse it.
WORD_OR_NUMBER = frozenset({"exclude_first_slices", "debug_slices", "ngff_version"})
# Read by nextflow.config, which is where they are declared.
IN_CONFIG = frozenset({"output", "publish_mode", "container", "granularity"})


def collect_groups() -> list[Group]:
    """List all parameters, each where it is used first."""
    groups = [
        Group("input_output", "Input and output", _declared(RUN_PARAMETERS)),
        Group("steps", "Which steps run", _declared(ENGINE_PARAMETERS)),
    ]
    readers: dict[str, list[str]] = {}
    for name, stage in STAGES.items():
        for option in stage.contract.options:
            readers.setdefault(option, []).append(name)
    store = set(StoreOptions.__dataclass_fields__)
    for name, stage in STAGES.items():
        first = [
            one for one in stage.contract.options if readers[one][0] == name and one not in store
        ]
        groups.append(Group(name, stage.contract.title, _settings_of(name, first, readers)))
    stores = _settings_of("create_mosaic_grid", sorted(store), readers)
    groups.append(Group("stores", "Output stores", stores))
    found = [group for group in groups if group.settings]
    if untitled := [group.key for group in found if not group.title]:
        raise SystemExit(f"{untitled}: have options of their own, and no title in their contract")
    return found


def _declared(parameters: dict[str, EngineParameter]) -> tuple[Setting, ...]:
    return tuple(Setting(n, one.help, one.type, one.default) for n, one in parameters.items())


def _settings_of(
    stage: str, names: list[str], readers: dict[str, list[str]]
) -> tuple[Setting, ...]:
    contract = STAGES[stage].contract
    texts = contract.texts()
    return tuple(
        Setting(
            name,
            texts[name],
            contract.options[name].hint,
            contract.options[name].default,
            tuple(readers[name]),
        )
        for name in names
    )


def nextflow_type(setting: Setting) -> str:
    """Name the type in the workflow language."""
    if setting.is_list:
        return "List<String>" if setting.choices else "List<Float>"
    names = {str: "String", int: "Integer", float: "Float", bool: "Boolean", Path: "Path"}
    name = "String" if setting.choices else names[setting.plain]
    return name + ("?" if is_optional(setting.hint) else "")


def nextflow_value(value: object) -> str:
    """Write a default in the workflow language."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        return f"'{escaped}'"
    if isinstance(value, tuple):
        return f"[{', '.join(map(nextflow_value, _plain_list(value)))}]"
    return repr(value)


def _plain_list(value: tuple[Any, ...]) -> list[Any]:
    """Give a list as JSON has it: 10 is a number like 10.5."""
    return [item if isinstance(item, str) else float(item) for item in value]


def render_block(groups: list[Group]) -> str:
    """Write the params block of main.nf."""
    lines = ["params {", f"    // Written by docs/generate_parameters.py; {SEAL}"]
    for group in groups:
        listed = [setting for setting in group.settings if setting.name not in IN_CONFIG]
        lines += ["", f"    // ---- {group.title} ----"] if group is not groups[0] else []
        for setting in listed:
            comment = setting.text.removesuffix(".")
            if setting.choices:
                comment += f" ({' | '.join(choice or 'empty' for choice in setting.choices)})"
            lines += textwrap.wrap(
                comment,
                108,
                initial_indent="    // ",
                subsequent_indent="    // ",
                break_on_hyphens=False,
            )
            default = "" if setting.default is None else f" = {nextflow_value(setting.default)}"
            kind = "" if setting.name in WORD_OR_NUMBER else f": {nextflow_type(setting)}"
            lines.append(f"    {setting.name}{kind}{default}")
    return seal("\n".join([*lines, "}"]))


def render_schema(groups: list[Group]) -> str:
    """Write nextflow_schema.json."""
    schema = {
        "$schema": SCHEMA_URL,
        "$id": SCHEMA_ID,
        "$comment": f"Written by docs/generate_parameters.py; {SEAL}",
        "title": "mosaicflow parameters",
        "description": "From the raw tiles of a block-face microscope to one measurable volume.",
        "type": "object",
        "$defs": {group.key: _schema_group(group) for group in groups},
        "allOf": [{"$ref": f"#/$defs/{group.key}"} for group in groups],
    }
    return seal(json.dumps(schema, indent=2) + "\n")


def _schema_group(group: Group) -> dict[str, Any]:
    found: dict[str, Any] = {
        "title": group.title,
        "type": "object",
        **_about(group),
        "properties": {setting.name: _schema_entry(setting) for setting in group.settings},
    }
    return found


def _about(group: Group) -> dict[str, str]:
    if group.key in GROUPS:
        text, icon = GROUPS[group.key]
    else:
        contract = STAGES[group.key].contract
        text, icon = contract.summary.removesuffix("."), contract.icon
    return {"description": text, "fa_icon": f"fas fa-{icon}"}


def _schema_entry(setting: Setting) -> dict[str, Any]:
    if setting.is_list:
        items = {"type": "string", "enum": list(setting.choices)} if setting.choices else {}
        entry: dict[str, Any] = {"type": "array", "items": items or {"type": "number"}}
    else:
        names = {str: "string", int: "integer", float: "number", bool: "boolean", Path: "string"}
        entry = {"type": "string" if setting.choices else names[setting.plain]}
    if is_optional(setting.hint):
        entry["type"] = [entry["type"], "null"]
    if setting.name in ("input", "output"):
        entry["format"] = "directory-path" if setting.name == "output" else "path"
    elif is_folder(setting.hint):
        entry |= {"format": "directory-path", "exists": True}
    elif setting.plain is Path:
        entry |= {"format": "file-path", "exists": True, "mimetype": setting.mimetype}
    if setting.choices and not setting.is_list:
        entry["enum"] = list(setting.choices)
    if (limit := limit_of(setting.hint)) is not None:
        if setting.is_list:
            entry |= {"items": {"type": "number"} | limit.schema(), "minItems": 1}
        else:
            entry |= limit.schema()
    if setting.choices or limit is not None:
        entry["errorMessage"] = expected(setting.hint)
    if setting.default is not None:
        default = setting.default
        entry["default"] = _plain_list(default) if isinstance(default, tuple) else default
    pages = ", ".join(f"docs/stages/{stage}.md" for stage in setting.stages[:3])
    help_text = {"help_text": f"See {pages}."} if pages else {}
    return entry | {"description": setting.text, **help_text}


def render_tables() -> str:
    """Write functions/contracts.nf: what the workflow has to know of the stages."""
    options = {
        name: tuple(n for n, option in stage.contract.options.items() if not option.is_staged)
        for name, stage in STAGES.items()
    }
    blocks = [
        _function("presets", "What a preset settles, whatever else is said.", PRESETS),
        _function("optionNames", "Options of each stage; files are inputs.", options),
        _function("sliceChain", "What a stitched slice goes through.", slice_chain()),
        _function("inputPatterns", "What a stage of a slice reads: the first there is.", _inputs()),
        _function("outputPatterns", "What each stage makes; {z} is a slice.", _outputs()),
        _function("placeRules", "Where outputs go: the first form that fits.", _places()),
        _function("outputFolders", "At the top of the output tree.", tuple(sorted(PUBLISHED))),
        _function("storeFolders", "Of grids and slices.", (GRID_STORES, SLICE_STORES)),
        _function("foldersToJudge", "What to see how good a result is by.", TO_JUDGE),
        _function("reportedNames", "What the report reads.", REPORTED),
        _function("noSettings", "Parameters that change no result.", (*RUN_PARAMETERS, *UNTOLD)),
    ]
    source = "Written by docs/generate_parameters.py from the contracts of the stages"
    return seal("\n".join([f"// {source}; {SEAL}.\n", *blocks]))


def _outputs() -> dict[str, tuple[str, ...]]:
    return {name: tuple(k.pattern for k in one.contract.makes) for name, one in STAGES.items()}


def _inputs() -> dict[str, dict[str, tuple[str, ...]]]:
    return {
        name: {argument: tuple(k.pattern for k in kinds) for argument, kinds in one.reads.items()}
        for name, one in STAGES.items()
        if one.per == "slice"
    }


def _places() -> list[dict[str, object]]:
    return [asdict(rule) for rule in place_rules()]


def _function(name: str, text: str, value: object) -> str:
    return f"// {text}\ndef {name}() {{\n    return {_groovy(value, 4)}\n}}\n"


def _groovy(value: object, indent: int) -> str:
    """Write a value in the workflow language, broken where it is long."""
    if isinstance(value, dict):
        inner = " " * (indent + 4)
        items = [f"{inner}{key}: {_groovy(one, indent + 4)}," for key, one in value.items()]
        return "\n".join(["[", *items, " " * indent + "]"])
    if isinstance(value, list):
        inner = " " * (indent + 4)
        rows = [", ".join(f"{key}: {nextflow_value(v)}" for key, v in one.items()) for one in value]
        return "\n".join(["[", *(f"{inner}[{row}]," for row in rows), " " * indent + "]"])
    if not isinstance(value, tuple):
        return nextflow_value(value)
    text = ", ".join(map(nextflow_value, value))
    if len(text) < 90:
        return f"[{text}]" if text else "[]"
    inner = " " * (indent + 4)
    lines = textwrap.wrap(text, 110 - indent, initial_indent=inner, subsequent_indent=inner)
    return "\n".join(["[", *lines, " " * indent + "]"])


def render_page(groups: list[Group]) -> str:
    """Write docs/parameters.md."""
    lines = [
        "# Parameters",
        "",
        f"<!-- Written by docs/generate_parameters.py from the stages' contracts; {SEAL}. -->",
        "",
        *textwrap.wrap(INTRODUCTION, 100, break_on_hyphens=False),
    ]
    for group in groups:
        lines += ["", f"## {group.title}", "", "| parameter | type | default | meaning | read by |"]
        lines += ["|---|---|---|---|---|"]
        lines += [_row(setting) for setting in group.settings]
    return seal("\n".join(lines) + "\n")


def _row(setting: Setting) -> str:
    kind = ", ".join(f"`{c}`" if c else "empty" for c in setting.choices)
    kind = f"list of {kind}" if kind and setting.is_list else kind
    kind = kind or nextflow_type(setting).removesuffix("?").lower()
    default = "" if setting.default is None else f"`{nextflow_value(setting.default)}`"
    if setting.name == "input":
        default = "required, or `simulate`"
    stages = ", ".join(f"`{stage}`" for stage in setting.stages)
    if len(setting.stages) > 5:
        stages = "all stages that write a store"
    text = re.sub(r"\|", r"\\|", setting.text)
    return f"| `{setting.name}` | {kind} | {default} | {text} | {stages} |"


def render_all() -> dict[Path, str]:
    """Give the wanted text of every generated file."""
    groups = collect_groups()
    main = (ROOT / "main.nf").read_text(encoding="utf-8")
    block = render_block(groups)
    return {
        ROOT / "main.nf": BLOCK.sub(lambda _: block, main),
        ROOT / "nextflow_schema.json": render_schema(groups),
        ROOT / "docs" / "parameters.md": render_page(groups),
        ROOT / "functions" / "contracts.nf": render_tables(),
    }


def holds_edit(text: str) -> bool:
    """Whether somebody edited what is generated of a file; of main.nf that is one block."""
    block = BLOCK.search(text)
    return is_edited(block[0] if block else text)


def main() -> int:
    """Write the files, or only compare them."""
    return write_all("docs/generate_parameters.py", render_all(), holds_edit)


if __name__ == "__main__":
    sys.exit(main())
