"""Options that a command shares with a dataclass, of which only those count that were given."""

from __future__ import annotations

import inspect
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Annotated, Any, TypedDict, get_type_hints

from cyclopts import Parameter

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["given_of"]


def given_of(*owners: type, groups: Mapping[type, str] | None = None) -> Any:  # noqa: ANN401  # a type
    """Make the type of an argument that takes the fields of dataclasses as options.

    Parameters
    ----------
    *owners : type
        Dataclasses whose fields have the type, the default and the words of the options.
    groups : mapping of type to str, optional
        Heading of the options of a dataclass. With it no defaults are told: something else, such
        as a preset, decides about them.

    Returns
    -------
    type
        For the annotation of one argument, whose default is an empty dictionary: a mapping of
        the options that a command line names to their values; no others are in it.
    """
    options: dict[str, Any] = {}
    for owner in owners:
        hints = get_type_hints(owner, include_extras=True)
        texts = _texts(owner)
        heading = Parameter(group=groups[owner]) if groups and owner in groups else Parameter()
        for one in fields(owner):
            if one.name in texts:
                text = texts[one.name] + ("" if groups else _default(one.default))
                options[one.name] = Annotated[hints[one.name], heading, Parameter(help=text)]
    # Made of names that a type checker cannot know.
    return Annotated[TypedDict("Options", options, total=False), Parameter(name="*")]  # type: ignore[operator]


def _texts(owner: type) -> dict[str, str]:
    from docstring_parser import parse

    told = parse(inspect.getdoc(owner) or "").params
    return {one.arg_name: " ".join((one.description or "").split()) for one in told}


def _default(value: object) -> str:
    """Say what counts without the option, as the help does for others."""
    return "" if value in (None, "", (), MISSING) else f" [default: {value}]"
