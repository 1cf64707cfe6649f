#!/usr/bin/env python3
"""Write everything that lists the pipeline's parameters from the one place that declares them.

The signatures and docstrings of the stage functions give names, types, defaults and meaning. From
them come the ``params`` block of main.nf, nextflow_schema.json and docs/parameters.md::

    python docs/generate_parameters.py            # write all three
    python docs/generate_parameters.py --check    # exit code 1 when one of them is out of date
"""

from __future__ import annotations

import inspect
import json
import re
import sys
import textwrap
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docstring_parser import parse

from mosaicflow.engine.limits import (
    LIMITS,
    choices_of,
    expected,
    is_optional,
    item_choices_of,
    plain_type,
)
from mosaicflow.engine.parameters import ENGINE_PARAMETERS, stage_settings
from mosaicflow.io.store_options import StoreOptions
from mosaicflow.io.tables import SCHEMA
from mosaicflow.simulation.settings import PresetName
from mosaicflow.stages._table import STAGES

ROOT = Path(__file__).parents[1]
SCHEMA_URL = "https://json-schema.org/draft/2020-12/schema"
SCHEMA_ID = "https://github.com/mosaicflow/mosaicflow/raw/main/nextflow_schema.json"
# Of forms that are made of the schema: what a group is about, and its sign.
GROUPS = {
    "input_output": ("Where tiles come from and results go, and how Nextflow runs", "terminal"),
    "steps": ("Stages that may be left out, and what is kept", "sitemap"),
    "stores": ("How arrays are written", "database"),
}
ICONS = {
    "inspect_acquisition": "search",
    "create_mosaic_grid": "th",
    "resample_mosaic_grid": "compress",
    "estimate_illumination": "lightbulb",
    "estimate_tile_positions": "map-marker",
    "pool_tile_positions": "ruler-combined",
    "stitch_3d": "puzzle-piece",
    "crop_interface": "cut",
    "normalize": "adjust",
    "detect_rehoming": "route",
    "register_pairwise": "arrows-alt",
    "solve_alignment": "project-diagram",
    "stack": "layer-group",
    "export": "file-export",
    "report": "clipboard-check",
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
    def is_list(self) -> bool:
        """Whether it takes several values."""
        return typing.get_origin(self.plain) is tuple


@dataclass(frozen=True, slots=True)
class Group:
    """Parameters that are listed together."""

    key: str
    title: str
    settings: tuple[Setting, ...]


RUN = (
    Setting(
        "input", "Folder of the raw acquisition, or a tile table (CSV) in it.", Path | None, None
    ),
    Setting(
        "simulate",
        "Acquisition that Nextflow makes up where no input is given, for trying things out.",
        typing.Literal["", *typing.get_args(PresetName)],
        "",
    ),
    Setting(
        "schema", "Version of the form of a params.yml; without it that of 0.1.0.", int, SCHEMA
    ),
    Setting("output", "Folder for all results.", str, "results"),
    Setting(
        "publish_mode",
        "How Nextflow puts grids, slices and the volume into the output folder: auto makes hard "
        "links where the work folder is on the same disk, and copies elsewhere; the rest is always "
        "copied.",
        typing.Literal["auto", "copy", "link", "rellink", "symlink"],
        "auto",
    ),
    Setting(
        "container",
        "Image that Nextflow runs every task in, with a container profile; a name, an address or "
        "file:///path/mosaicflow.sif.",
        str,
        "mosaicflow:0.1.0",
    ),
    Setting(
        "granularity",
        "What Nextflow makes a task: each stage of a slice (stage), or all stages of a slice "
        "between two waits of the run (slice), where tasks wait long in a queue.",
        typing.Literal["stage", "slice"],
        "stage",
    ),
    Setting("help", "Nextflow lists all parameters and ends.", bool, False),
    Setting("version", "Nextflow tells the version of mosaicflow and ends.", bool, False),
)
INTRODUCTION = (
    "One name, one meaning, in both engines: on the command line (`--crop_depth_um 400`), or in a "
    "`params.yml`, given to `mosaicflow run -p params.yml` or to "
    "`nextflow run . -params-file params.yml`. Lists (`pyramid_resolutions`) go into `params.yml`. "
    "Square brackets give the unit."
)
# A params.yml may hold a number where these take a word or a number; a type would refuse it.
WORD_OR_NUMBER = frozenset({"exclude_first_slices", "debug_slices", "ngff_version"})
# Paths that name a folder.
FOLDERS = frozenset({"positions_from"})
# Read by nextflow.config, which is where they are declared.
IN_CONFIG = frozenset({"output", "publish_mode", "container"})

TITLES = {
    "inspect_acquisition": "Tiles and where they lie",
    "create_mosaic_grid": "Mosaic grids",
    "resample_mosaic_grid": "Working pitch",
    "estimate_illumination": "Flat field",
    "estimate_tile_positions": "Tile positions",
    "pool_tile_positions": "Stage model and corrections by hand",
    "stitch_3d": "Stitching",
    "crop_interface": "Block face",
    "normalize": "Brightness",
    "detect_rehoming": "Stage movements",
    "register_pairwise": "Registration of slices",
    "solve_alignment": "Alignment",
    "stack": "Volume",
    "export": "Files for other programs",
    "report": "Report and verdict",
}


def collect_groups() -> list[Group]:
    """List all parameters, each where it is used first."""
    steps = [
        Setting(name, item.help, item.type, item.default)
        for name, item in ENGINE_PARAMETERS.items()
    ]
    groups = [
        Group("input_output", "Input and output", RUN),
        Group("steps", "Which steps run", tuple(steps)),
    ]
    readers: dict[str, list[str]] = {}
    for stage in STAGES:
        for name in stage_settings(stage):
            readers.setdefault(name, []).append(stage)
    store = set(StoreOptions.__dataclass_fields__)
    for stage, title in TITLES.items():
        known = stage_settings(stage)
        first = [name for name in known if readers[name][0] == stage and name not in store]
        groups.append(Group(stage, title, tuple(_stage_settings(stage, first, readers))))
    stores = _stage_settings("create_mosaic_grid", sorted(store), readers)
    groups.append(Group("stores", "Output stores", tuple(stores)))
    return [group for group in groups if group.settings]


def _stage_settings(stage: str, names: list[str], readers: dict[str, list[str]]) -> list[Setting]:
    texts: dict[str, str] = {}
    for described in (STAGES[stage].function, StoreOptions):
        for item in parse(inspect.getdoc(described) or "").params:
            texts[item.arg_name] = " ".join((item.description or "").split())
    known = stage_settings(stage)
    return [Setting(name, texts[name], *known[name], tuple(readers[name])) for name in names]


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
        return f"'{value}'"
    if isinstance(value, tuple):
        return f"[{', '.join(map(nextflow_value, _plain_list(value)))}]"
    return repr(value)


def _plain_list(value: tuple[Any, ...]) -> list[Any]:
    """Give a list as JSON has it: 10 is a number like 10.5."""
    return [item if isinstance(item, str) else float(item) for item in value]


def render_block(groups: list[Group]) -> str:
    """Write the params block of main.nf."""
    lines = ["params {"]
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
    return "\n".join([*lines, "}"])


def render_schema(groups: list[Group]) -> str:
    """Write nextflow_schema.json."""
    schema = {
        "$schema": SCHEMA_URL,
        "$id": SCHEMA_ID,
        "title": "mosaicflow parameters",
        "description": "From the raw tiles of a block-face microscope to one measurable volume.",
        "type": "object",
        "$defs": {group.key: _schema_group(group) for group in groups},
        "allOf": [{"$ref": f"#/$defs/{group.key}"} for group in groups],
    }
    return json.dumps(schema, indent=2) + "\n"


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
        summary = parse(inspect.getdoc(STAGES[group.key].function) or "").short_description or ""
        text, icon = summary.removesuffix("."), ICONS[group.key]
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
    elif setting.name in FOLDERS:
        entry |= {"format": "directory-path", "exists": True}
    elif setting.plain is Path:
        entry |= {"format": "file-path", "exists": True, "mimetype": _mimetype(setting.name)}
    if setting.name == "input":
        entry["exists"] = True
    if setting.choices and not setting.is_list:
        entry["enum"] = list(setting.choices)
    if (limit := LIMITS.get(setting.name)) is not None:
        if setting.is_list:
            entry |= {"items": {"type": "number"} | limit.schema(), "minItems": 1}
        else:
            entry |= limit.schema()
    if setting.choices or limit is not None:
        entry["errorMessage"] = expected(setting.name, setting.hint)
    if setting.default is not None:
        default = setting.default
        entry["default"] = _plain_list(default) if isinstance(default, tuple) else default
    pages = ", ".join(f"docs/stages/{stage}.md" for stage in setting.stages[:3])
    help_text = {"help_text": f"See {pages}."} if pages else {}
    return entry | {"description": setting.text, **help_text}


def _mimetype(name: str) -> str:
    return "text/plain" if name == "positions" else "text/csv"


def render_page(groups: list[Group]) -> str:
    """Write docs/parameters.md."""
    lines = [
        "# Parameters",
        "",
        "<!-- Written by docs/generate_parameters.py from the stages' own declarations. -->",
        "",
        *textwrap.wrap(INTRODUCTION, 100, break_on_hyphens=False),
    ]
    for group in groups:
        lines += ["", f"## {group.title}", "", "| parameter | type | default | meaning | read by |"]
        lines += ["|---|---|---|---|---|"]
        lines += [_row(setting) for setting in group.settings]
    return "\n".join(lines) + "\n"


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
        ROOT / "main.nf": re.sub(r"^params \{.*?^\}", lambda _: block, main, flags=re.S | re.M),
        ROOT / "nextflow_schema.json": render_schema(groups),
        ROOT / "docs" / "parameters.md": render_page(groups),
    }


def main() -> int:
    """Write the files, or only compare them."""
    stale = [
        path
        for path, text in render_all().items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]
    if "--check" in sys.argv[1:]:
        for path in stale:
            sys.stderr.write(f"{path}: out of date, run python docs/generate_parameters.py\n")
        return 1 if stale else 0
    for path, text in render_all().items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
