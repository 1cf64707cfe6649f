"""One ``params.yml`` for both engines: names, types and defaults come from the stages."""

from __future__ import annotations

import difflib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mosaicflow.engine.declared import ENGINE_PARAMETERS, PRESETS, RUN_PARAMETERS, UNTOLD
from mosaicflow.errors import FormatError, ParameterError
from mosaicflow.io.remote_files import at_address
from mosaicflow.limits import choices_of, expected, is_folder, limit_of, plain_type
from mosaicflow.stages._table import STAGES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "Parameters",
    "default_values",
    "option_values",
    "read_locations",
    "stage_settings",
]


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
        Name -> (type, with its limit; default).
    """
    options = STAGES[stage].contract.options
    return {name: (option.hint, option.default) for name, option in options.items()}


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
            is_text = plain_type(_known_types().get(name)) is str
            values[name] = text if is_text else yaml.safe_load(text)
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

    def with_slices(self, slice_ids: Iterable[int]) -> Parameters:
        """Give the same settings for some slices only."""
        narrowed = Parameters({})
        chosen = ",".join(map(str, sorted(slice_ids)))
        narrowed.given = {**self.given, "debug_slices": chosen}
        return narrowed

    def engine(self, name: str) -> Any:  # noqa: ANN401  # typed by ENGINE_PARAMETERS
        """Give a parameter of the engine."""
        return self.given.get(name, ENGINE_PARAMETERS[name].default)

    def setting(self, stage: str, name: str) -> Any:  # noqa: ANN401  # typed by the stage
        """Give a setting as a stage will see it."""
        return self.given.get(name, stage_settings(stage)[name][1])

    def effective(self) -> dict[str, Any]:
        """Give every parameter that has a value, defaults included, as JSON has it, by name."""
        values = {**default_values(), **self.given}
        told = sorted(name for name in values.keys() - UNTOLD if values[name] is not None)
        return {name: _plain(values[name]) for name in told}

    def for_stage(self, stage: str) -> dict[str, Any]:
        """Give the keyword arguments of a stage that differ from its defaults."""
        known = stage_settings(stage)
        return {name: value for name, value in self.given.items() if name in known}


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
    return {**given, **PRESETS.get(given.get("alignment_preset", ""), {})}


def _settings_of(given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Leave out what is no setting, and refuse what a later program wrote."""
    from mosaicflow.io.tables import check_schema

    try:
        check_schema(given, where)
    except FormatError as error:
        raise ParameterError(error.args[0], remedy=error.remedy) from None
    return {name: value for name, value in given.items() if name not in RUN_PARAMETERS}


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
    limit = limit_of(hint)
    outside = checked is not None and limit is not None and not limit.allows(checked)
    if checked is _WRONG or outside:
        raise ParameterError(f"{where} is {_shown(value)}, {expected(hint)}")
    if isinstance(checked, Path) and not _is_there(checked, hint):
        what = "folder" if is_folder(hint) else "file"
        raise ParameterError(f"{where} is '{checked}', which is not a {what}")
    return checked


def _is_there(path: Path, hint: Any) -> bool:  # noqa: ANN401  # a type
    try:
        return path.is_dir() if is_folder(hint) else path.is_file()
    except OSError:  # a name longer than any file's
        return False


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
    source = at_address(_location(path, "input", raw, loaded))
    return source, at_address(_location(path, "output", output, loaded))


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
        _check_size(path, text)
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


def _check_size(path: Path, text: str) -> None:
    """Refuse what is nested so deep, or refers to itself so often, that it would never end."""
    import yaml

    depth, aliases = 0, 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _MOST_DEPTH:
            raise ParameterError(f"{path}: values nested {depth} deep, expected name: value")
        aliases += isinstance(event, yaml.AliasEvent)
        if aliases > _MOST_ALIASES:
            raise ParameterError(f"{path}: repeats values by more than {_MOST_ALIASES} aliases (*)")


# A list of numbers is two deep; PyYAML is slow, and recurses, with depth.
_MOST_DEPTH = 20
# Ten aliases of aliases repeat a value 40 times at most (3 * 3 * 4 and so on), 90 a billion times.
_MOST_ALIASES = 10


# Options of `mosaicflow run` that are no parameters: for suggestions.
_OF_THE_COMMAND = (
    "input",
    "output",
    "params_file",
    "threads",
    "quiet",
    "json",
    "dry_run",
    "watch",
    "still_for",
)


@cache
def _known_types() -> dict[str, Any]:
    known: dict[str, Any] = {name: item.type for name, item in ENGINE_PARAMETERS.items()}
    for stage in STAGES:
        known |= {name: kind for name, (kind, _) in stage_settings(stage).items()}
    return known
