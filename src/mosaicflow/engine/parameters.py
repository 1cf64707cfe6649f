"""One ``params.yml`` for both engines: names, types and defaults come from the stages."""

from __future__ import annotations

import difflib
import inspect
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_type_hints

from mosaicflow.engine.limits import LIMITS, choices_of, expected, plain_type
from mosaicflow.errors import FormatError, ParameterError
from mosaicflow.stages._table import STAGES

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "ENGINE_PARAMETERS",
    "EngineParameter",
    "Parameters",
    "default_values",
    "option_values",
    "read_locations",
    "stage_settings",
]


@dataclass(frozen=True, slots=True)
class EngineParameter:
    """A parameter that decides which stages run, rather than how one works.

    Parameters
    ----------
    default : object
        Value without a setting.
    type : type
        Type of the value.
    help : str
        One sentence for the documentation.
    """

    default: Any
    type: Any
    help: str


ENGINE_PARAMETERS: dict[str, EngineParameter] = {
    "fix_illum_enabled": EngineParameter(
        True, bool, "Estimate the flat field of all tiles and divide by it."
    ),
    "fix_curvature_enabled": EngineParameter(
        "auto",
        Literal["auto", "never"],
        "Make the field's curvature flat in every tile, where overlaps show it beyond doubt.",
    ),
    "compensate_psf_enabled": EngineParameter(
        True, bool, "Remove the axial profile of the beam, learnt from the gel."
    ),
    "detect_rehoming": EngineParameter(
        True, bool, "Find jumps of the stage between slices and correct single wrong positions."
    ),
    "graph_span": EngineParameter(
        3, int, "Register each slice with this many following ones; 0 uses the stage alone."
    ),
    "positions_channel": EngineParameter(
        0,
        int,
        "Channel of image tiles that is measured, counted from 0; all others become volumes by the "
        "same positions and transforms.",
    ),
    "positions_from": EngineParameter(
        None,
        Path | None,
        "Output folder of another run on the same tiles: places of tiles and slices, block faces "
        "and the field's curvature are taken from it, and none is measured; for channels that are "
        "recorded in folders of their own.",
    ),
    "channel_kind": EngineParameter(
        (),
        tuple[Literal["intensity", "angle"], ...],
        "What the other channels hold: brightness, or angles in degrees of period 180; one word "
        "for all, or one per channel in their order; intensity without a word.",
    ),
    "subject_name": EngineParameter(
        "", str, "Name of the specimen and so of the volume; empty: 3d_volume."
    ),
    "on_end": EngineParameter(
        "",
        str,
        "Command for the shell when the run has ended, well or not; it finds MOSAICFLOW_STATUS (ok,"
        " warning, error or failed), MOSAICFLOW_OUTPUT and MOSAICFLOW_REPORT in its environment.",
    ),
    "keep": EngineParameter(
        "all",
        Literal["all", "qc", "final"],
        "What stays in the output folder: everything; what shows how good it is (previews, "
        "finished slices, transforms, and the following); volume, tables, metrics and report.",
    ),
}

# What a preset settles beyond the stage that has it, whatever else is said: functions/settings.nf
# says the same to the other engine.
_OF_PRESET: dict[str, dict[str, Any]] = {
    "minimal": {
        "graph_span": 0,
        "use_expected_z_overlap": True,
        "normalize_enabled": False,
        "stack_overlap_z_gain": False,
    }
}

# Paths that name a folder; all others name a file.
_FOLDERS = frozenset({"positions_from"})
# What connects stages with each other is not a setting.
_NOT_SETTINGS = frozenset({"threads", "store", "channel"})
_PATH_SETTINGS = {
    "inspect_acquisition": {"positions", "tile_table", "slice_config"},
    "pool_tile_positions": {"distortion", "overrides"},
    "solve_alignment": {"overrides"},
}


@cache
def stage_settings(stage: str) -> dict[str, tuple[Any, Any]]:
    """List the settings of a stage.

    Parameters
    ----------
    stage : str
        The stage's stem.

    Returns
    -------
    dict
        Name -> (type, default): every argument that is neither a connection to another stage nor
        the number of threads, and the options of output stores.
    """
    function = STAGES[stage].function
    hints = get_type_hints(function)
    found: dict[str, tuple[Any, Any]] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if is_dataclass(parameter.default) and name == "store":
            types = get_type_hints(type(parameter.default))
            found |= {
                item.name: (types[item.name], item.default) for item in fields(parameter.default)
            }
        elif _is_setting(stage, name, hints[name]):
            found[name] = (hints[name], parameter.default)
    return found


def _is_setting(stage: str, name: str, hint: Any) -> bool:  # noqa: ANN401  # a type
    if name in _NOT_SETTINGS:
        return False
    is_path = "Path" in str(hint)
    return not is_path or name in _PATH_SETTINGS.get(stage, ())


def option_values(options: Mapping[str, str]) -> dict[str, Any]:
    """Read command-line values the way a parameters file is read: numbers, true, lists.

    Parameters
    ----------
    options : mapping
        Option names, with dashes or underscores, and their text.
    """
    import yaml

    values: dict[str, Any] = {}
    for option, text in options.items():
        name = option.replace("-", "_")
        try:
            # A subject called 007 or true is a name.
            values[name] = text if _known_types().get(name) is str else yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ParameterError(f"--{name} is {text!r}: cannot be read as a value") from error
    return values


class Parameters:
    """Checked settings of one run.

    Parameters
    ----------
    given : mapping
        Names and values as the user wrote them.
    source : str
        Where they come from, for error messages.
    """

    def __init__(self, given: Mapping[str, Any], source: str = "") -> None:
        self.given = _with_preset(_all_checked(given, source))

    @classmethod
    def read(cls, path: Path | None, overrides: Mapping[str, Any]) -> Parameters:
        """Read ``params.yml``; command-line values win.

        Parameters
        ----------
        path : Path or None
            YAML file with one mapping; ``input`` and ``output`` in it are left to the caller.
        overrides : mapping
            Settings from the command line.
        """
        read = cls({})
        loaded = _all_checked(_settings_of(_read_file(path), str(path)), str(path))
        given = _all_checked(_settings_of(overrides, "--schema"), "")
        read.given = _with_preset(loaded | given)
        return read

    def engine(self, name: str) -> Any:  # noqa: ANN401  # typed by ENGINE_PARAMETERS
        """Give a parameter of the engine."""
        return self.given.get(name, ENGINE_PARAMETERS[name].default)

    def setting(self, stage: str, name: str) -> Any:  # noqa: ANN401  # typed by the stage
        """Give a setting as a stage will see it."""
        return self.given.get(name, stage_settings(stage)[name][1])

    def effective(self) -> dict[str, Any]:
        """Give every parameter that has a value, defaults included, as JSON has it, by name."""
        values = {**default_values(), **self.given}
        del values["on_end"]  # it decides nothing, and may hold the address of a chat
        return {name: _plain(values[name]) for name in sorted(values) if values[name] is not None}

    def for_stage(self, stage: str) -> dict[str, Any]:
        """Give the keyword arguments of a stage that differ from its defaults."""
        from mosaicflow.io.store_options import StoreOptions

        known = stage_settings(stage)
        mine = {name: value for name, value in self.given.items() if name in known}
        options = {item.name for item in fields(StoreOptions)}
        store = {name: mine.pop(name) for name in list(mine) if name in options}
        return mine | ({"store": StoreOptions(**store)} if store else {})


def default_values() -> dict[str, Any]:
    """Give the value of every parameter that nobody set."""
    defaults = {name: item.default for name, item in ENGINE_PARAMETERS.items()}
    for stage in STAGES:
        defaults |= {name: default for name, (_, default) in stage_settings(stage).items()}
    return defaults


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return list(value)
    return str(value.resolve()) if isinstance(value, Path) else value


def _all_checked(given: Mapping[str, Any], source: str) -> dict[str, Any]:
    return {name: _checked(name, value, source) for name, value in given.items()}


def _with_preset(given: Mapping[str, Any]) -> dict[str, Any]:
    return {**given, **_OF_PRESET.get(given.get("alignment_preset", ""), {})}


def _settings_of(given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Leave out what is no setting, and refuse what a later program wrote."""
    from mosaicflow.io.tables import check_schema

    try:
        check_schema(given, where)
    except FormatError as error:
        raise ParameterError(error.args[0], remedy=error.remedy) from None
    return {name: value for name, value in given.items() if name not in _NO_SETTINGS}


def _checked(name: str, value: object, source: str) -> Any:  # noqa: ANN401  # any setting
    where = f"{source}: {name}" if source else f"--{name}"
    types = _known_types()
    if name not in types:
        near = difflib.get_close_matches(name, [*types, *_OF_THE_COMMAND], n=1)
        hint = f"did you mean {near[0]}?" if near else "see docs/parameters.md"
        raise ParameterError(f"{where} is no parameter", remedy=hint)
    hint = types[name]
    try:
        checked = _converted(value, hint)
    except ValueError:
        checked = _WRONG
    limit = LIMITS.get(name)
    outside = checked is not None and limit is not None and not limit.allows(checked)
    if checked is _WRONG or outside:
        raise ParameterError(f"{where} is {_shown(value)}, {expected(name, hint)}")
    if name in _FOLDERS and isinstance(checked, Path):
        if not checked.is_dir():
            raise ParameterError(f"{where} is '{checked}', which is not a folder")
    elif isinstance(checked, Path) and not checked.is_file():
        raise ParameterError(f"{where} is '{checked}', which is not a file")
    return checked


def _shown(value: object) -> str:
    """Write a value as the parameters file has it."""
    if isinstance(value, bool) or value is None:
        return "empty" if value is None else str(value).lower()
    return repr(value)


_WRONG = object()


def _converted(value: object, hint: Any) -> object:  # noqa: ANN401  # a type
    from pydantic import ConfigDict, TypeAdapter

    # YAML reads `exclude_first_slices: 1` and `ngff_version: 0.5` as numbers.
    if choices_of(hint) and isinstance(value, int | float):
        value = str(value)
    if isinstance(value, bool) and plain_type(hint) in (int, float):
        return _WRONG
    adapter = TypeAdapter(hint, config=ConfigDict(coerce_numbers_to_str=True))
    return adapter.validate_python(value)


def read_locations(path: Path | None, raw: Path | None, output: Path | None) -> tuple[Path, Path]:
    """Find the raw folder and the output folder on the command line or in ``params.yml``.

    Parameters
    ----------
    path : Path or None
        Parameters file.
    raw, output : Path or None
        What the command line says; it wins.

    Returns
    -------
    (Path, Path)
        Raw folder and output folder.

    Raises
    ------
    ParameterError
        When either is missing.
    """
    loaded = _read_file(path)
    return _location(path, "input", raw, loaded), _location(path, "output", output, loaded)


def _location(path: Path | None, name: str, given: Path | None, loaded: Mapping[str, Any]) -> Path:
    value = loaded.get(name) if given is None else given
    if value is None or value == "":
        raise ParameterError(f"--{name} is missing", remedy=f"give --{name} FOLDER")
    if not isinstance(value, str | Path):
        raise ParameterError(f"{path}: {name} is {_shown(value)}, expected the path of a folder")
    return Path(value)


def _read_file(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    import yaml

    if not path.is_file():
        found = "is a folder" if path.is_dir() else "not found"
        raise ParameterError(f"{path}: {found}, expected a YAML file with parameters")
    try:
        text = path.read_text(encoding="utf-8")
        _check_depth(path, text)
        loaded, node = yaml.safe_load(text), yaml.compose(text, Loader=yaml.SafeLoader)
    except (OSError, ValueError, yaml.YAMLError) as error:  # or thousands of digits
        raise ParameterError(f"{path}: cannot be read as YAML ({error})") from error
    if loaded is None or node is None:
        remedy = "leave the file out to run on the defaults"
        raise ParameterError(f"{path}: is empty, expected name: value", remedy=remedy)
    if not isinstance(loaded, dict):
        raise ParameterError(f"{path}: found a {type(loaded).__name__}, expected name: value")
    # YAML would take the last one without a word.
    names = [str(key.value) for key, _ in node.value]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ParameterError(f"{path}: {twice[0]} is set more than once, expected one value")
    return {str(name): value for name, value in loaded.items()}


def _check_depth(path: Path, text: str) -> None:
    """Refuse what is nested so deep that reading it would never end."""
    import yaml

    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _MOST_DEPTH:
            raise ParameterError(f"{path}: values nested {depth} deep, expected name: value")


# A list of numbers is two deep; PyYAML is slow, and recurses, with depth.
_MOST_DEPTH = 20
# Of the folders `read_locations` takes care; the others are Nextflow's business.
_NO_SETTINGS = frozenset(
    {"schema", "input", "output", "simulate", "publish_mode", "container", "granularity", "help"}
    | {"version"}
)


# Options of `mosaicflow run` that are no parameters: for suggestions.
_OF_THE_COMMAND = ("input", "output", "params_file", "threads", "quiet", "json", "dry_run")


@cache
def _known_types() -> dict[str, Any]:
    known: dict[str, Any] = {name: item.type for name, item in ENGINE_PARAMETERS.items()}
    for stage in STAGES:
        known |= {name: kind for name, (kind, _) in stage_settings(stage).items()}
    return known
