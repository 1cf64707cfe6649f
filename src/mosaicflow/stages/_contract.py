"""What a stage is, said once: `stage` makes the contract of the function that it stands on.

The function's signature gives what is read, where the output goes and the options, each with its
limit; its docstring gives the words; the rest stands in the decorator. Commands, both engines,
the generated files and the documents read contracts and nothing else (see CONTRIBUTING.md).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Concatenate,
    Literal,
    ParamSpec,
    get_origin,
    get_type_hints,
)

from mosaicflow.errors import InputError
from mosaicflow.limits import check_limit, checked, plain_type

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from docstring_parser import Docstring

    from mosaicflow.io.report import StageReport
    from mosaicflow.measures import Measure
    from mosaicflow.names import Kind

__all__ = [
    "CONTRACTS",
    "Chosen",
    "ChosenTable",
    "Contract",
    "Option",
    "Reads",
    "Wired",
    "chosen_of",
    "stage",
]

P = ParamSpec("P")
Per = Literal["run", "slice", "pair"]
# What a task of a workflow may use; conf/base.config says how much that is.
Label = Literal["table", "pair", "slice", "tiles", "pool", "volume"]


@dataclass(frozen=True, slots=True)
class Chosen:
    """Marks a file that users name; a path without it comes from another stage.

    Parameters
    ----------
    mimetype : str
        For forms that are made of the schema.
    """

    mimetype: str = "text/csv"


@dataclass(frozen=True, slots=True)
class _Wired:
    """Marks a value that connects stages and is no setting."""


class Reads:
    """Marks files that other stages make.

    Parameters
    ----------
    *kinds : Kind
        Of those about one slice, pair or run the first that there is counts.
    newest : str
        In place of kinds: folder of the output tree; what the last stage before this one made of
        those that go there counts.
    """

    def __init__(self, *kinds: Kind, newest: str = "") -> None:
        self.kinds = kinds
        self.newest = newest


ChosenTable = Annotated[Path | None, Chosen()]
Wired = Annotated[str, _Wired()]


@dataclass(frozen=True, slots=True)
class Option:
    """One setting of a stage.

    Parameters
    ----------
    hint : type
        Its type, with its limit beside it.
    default : object
        Value without a setting.
    """

    hint: Any
    default: Any

    @property
    def is_staged(self) -> bool:
        """Whether it is a file and nothing else: a workflow stages it as an input."""
        return plain_type(self.hint) is Path


@dataclass(frozen=True)  # without slots: what is made of the parameters is made once
class Contract:
    """What one stage reads, makes and can be told.

    Parameters
    ----------
    name : str
        The stem of its module, command, page and function.
    per : {'run', 'slice', 'pair'}
        What one task of it works on. A stage that works on one slice or pair may fail on it
        without stopping the others.
    label : str
        Resources of a task, by a name of conf/base.config.
    title, icon : str
        Of its group of parameters, in the documents and in forms; empty without own parameters.
    makes : tuple of Kind
        What it writes, but for metrics and checksums and what has the name of a volume; of a stage
        with one output that comes first, and what lies beside it follows.
    metrics : tuple of Measure
        The numbers that its metrics files may hold.
    doc : str
        The function's docstring.
    parameters : mapping
        All arguments, with evaluated types.
    """

    name: str
    per: Per
    label: Label
    title: str
    icon: str
    makes: tuple[Kind, ...]
    metrics: tuple[Measure, ...]
    doc: str
    parameters: Mapping[str, inspect.Parameter]

    @property
    def signature(self) -> inspect.Signature:
        """How the function is called."""
        return inspect.Signature(list(self.parameters.values()), return_annotation=None)

    @property
    def summary(self) -> str:
        """Its first sentence."""
        return _document_of(self.doc).short_description or ""

    def texts(self) -> dict[str, str]:
        """Say what each argument and each option means."""
        groups = (one.default for one in self.parameters.values() if is_dataclass(one.default))
        docs = [self.doc, *(type(group).__doc__ or "" for group in groups)]
        return {
            item.arg_name: " ".join((item.description or "").split())
            for doc in docs
            for item in _document_of(doc).params
        }

    @functools.cached_property
    def options(self) -> dict[str, Option]:
        """The settings: what neither connects stages nor says where, or how fast."""
        return _options(self.parameters.values())

    def bind(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Give all arguments: options by their own names go into their groups, others are usual.

        Raises
        ------
        TypeError
            An argument is missing, or is none.
        """
        flat = dict(given)
        for name, parameter in self.parameters.items():
            own = _fields(parameter) & flat.keys()
            if own:
                values = {one: flat.pop(one) for one in own}
                flat[name] = replace(flat.get(name, parameter.default), **values)
        bound = self.signature.bind(**flat)
        bound.apply_defaults()
        return dict(bound.arguments)

    @functools.cached_property
    def reads(self) -> dict[str, Reads]:
        """The files that other stages make, by argument."""
        marks = {name: _marked(one.annotation, Reads) for name, one in self.parameters.items()}
        return {name: mark for name, mark in marks.items() if mark is not None}

    @property
    def arguments(self) -> tuple[str, ...]:
        """All other arguments: what it reads and where the output goes."""
        return tuple(name for name in self.parameters if name not in self.options)

    @functools.cached_property
    def several(self) -> frozenset[str]:
        """Those of them that are lists: of one file for each slice, channel or pair."""
        types = {name: plain_type(self.parameters[name].annotation) for name in self.arguments}
        return frozenset(
            name for name, one in types.items() if get_origin(one) in (tuple, Sequence)
        )

    def refuse_nothing(self, arguments: Mapping[str, Any]) -> None:
        """Refuse a call without a file to work on: the first list of those that must be given.

        Raises
        ------
        InputError
            The list is empty.
        """
        needed = (n for n in self.several & self.reads.keys() if self._must_be_given(n))
        first = min(needed, key=list(self.parameters).index, default=None)
        if first is not None and not arguments[first]:
            raise InputError(f"{self.name}: {first} names no file, expected at least one")

    def _must_be_given(self, name: str) -> bool:
        return self.parameters[name].default is inspect.Parameter.empty


CONTRACTS: dict[str, Contract] = {}
"""Contracts of the stages whose modules are loaded; `mosaicflow.stages._table` knows them all."""


def stage(
    per: Per,
    *,
    label: Label,
    title: str = "",
    icon: str = "",
    makes: tuple[Kind, ...] = (),
    metrics: tuple[Measure, ...] = (),
    with_inputs: bool = True,
) -> Callable[[Callable[Concatenate[StageReport, P], None]], Callable[P, None]]:
    """Make the contract of a stage's function, and hold the function to it.

    The function takes a report before its own arguments, which are named. Whoever calls it gives
    the named ones; each option outside its limit is refused, in the same words everywhere.

    Parameters
    ----------
    per, label, title, icon, makes, metrics
        See `Contract`.
    with_inputs : bool
        Whether the report lists the digests of what is read.
    """

    def declare(body: Callable[Concatenate[StageReport, P], None]) -> Callable[P, None]:
        parameters = _parameters(body)
        own = Contract(
            body.__name__, per, label, title, icon, makes, metrics, body.__doc__ or "", parameters
        )

        @functools.wraps(body)
        def run(*args: P.args, **given: P.kwargs) -> None:
            from mosaicflow.io.report import StageReport

            arguments = own.bind(given)
            own.refuse_nothing(arguments)
            for name, value in arguments.items():
                check_limit(name, value, parameters[name].annotation)
                if is_dataclass(value):
                    checked(value)
            report = StageReport.of(own.name, arguments if with_inputs else {}, own.metrics)
            body(report, *args, **arguments)

        # The report is the body's own affair: callers see the arguments that they give.
        del run.__wrapped__
        run.__signature__ = own.signature  # type: ignore[attr-defined]
        run.__annotations__ = {one.name: one.annotation for one in parameters.values()}
        CONTRACTS[own.name] = own
        return run

    return declare


def _parameters(body: Callable[..., None]) -> dict[str, inspect.Parameter]:
    """Give the named arguments of a stage's function with their types."""
    # The report's class would cost its import at every start; nobody asks for its type.
    hints = get_type_hints(body, localns={"StageReport": object}, include_extras=True)
    return {
        one.name: one.replace(annotation=hints[one.name])
        for one in inspect.signature(body).parameters.values()
        if one.kind is one.KEYWORD_ONLY
    }


def _document_of(text: str) -> Docstring:
    from docstring_parser import parse

    return parse(inspect.cleandoc(text))


def _fields(parameter: inspect.Parameter) -> set[str]:
    """List the options that an argument groups; none where it is one value."""
    group = parameter.default
    return {one.name for one in fields(group)} if is_dataclass(group) else set()


def _options(parameters: Iterable[inspect.Parameter]) -> dict[str, Option]:
    found: dict[str, Option] = {}
    for parameter in parameters:
        if is_dataclass(parameter.default):
            hints = get_type_hints(type(parameter.default), include_extras=True)
            found |= {
                item.name: Option(hints[item.name], item.default)
                for item in fields(parameter.default)
            }
        elif _is_option(parameter):
            found[parameter.name] = Option(parameter.annotation, parameter.default)
    return found


def _is_option(parameter: inspect.Parameter) -> bool:
    hint = parameter.annotation
    if parameter.name == "threads" or _marked(hint, _Wired) is not None:
        return False
    return "Path" not in str(hint) or _marked(hint, Chosen) is not None


def chosen_of(hint: Any) -> Chosen | None:  # noqa: ANN401  # a type
    """How a file that users name is marked; None for any other value."""
    found: Chosen | None = _marked(hint, Chosen)
    return found


def _marked(hint: Any, kind: type[Any]) -> Any:  # noqa: ANN401  # types
    return next((one for one in getattr(hint, "__metadata__", ()) if isinstance(one, kind)), None)
