"""What a parameter may be: limits that stand at the option itself, and what its type says.

An option of a stage is declared once, as ``crop_depth_um: Annotated[float, ABOVE_0] = 600.0``; the
command line, both engines, the schema and the documents read it there.
"""

from __future__ import annotations

import re
import sys
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from mosaicflow.errors import ParameterError

__all__ = [
    "ABOVE_0",
    "FRACTION",
    "FROM_0",
    "FROM_1",
    "LEVELS",
    "MOST_SLICES",
    "Folder",
    "Limit",
    "check_limit",
    "checked",
    "choices_of",
    "expected",
    "is_folder",
    "is_optional",
    "item_choices_of",
    "limit_of",
    "plain_type",
]


@dataclass(frozen=True, slots=True)
class Limit:
    """Values allowed within a type.

    Parameters
    ----------
    least, above : float, optional
        Smallest value, or what every value must exceed.
    most, below : float, optional
        Largest value, or what no value may reach.
    also : float, optional
        One value outside the range that has a meaning of its own.
    pattern : str
        Regular expression of a text, with ``^`` and ``$``.
    words : str
        Says it in place of the words made from the numbers; of a text, what it must be.
    """

    least: float | None = None
    above: float | None = None
    most: float | None = None
    below: float | None = None
    also: float | None = None
    pattern: str = ""
    words: str = ""

    def allows(self, value: object) -> bool:
        """Whether a value of the right type is inside."""
        if isinstance(value, str):
            return not self.pattern or re.fullmatch(self.pattern, value) is not None
        if isinstance(value, tuple):
            return bool(value) and all(map(self.allows, value))
        if isinstance(value, bool) or not isinstance(value, int | float):
            return True
        return value == self.also or self._in_range(value)

    def _in_range(self, value: float) -> bool:
        return (
            abs(value) <= sys.float_info.max  # no NaN, and no whole number beyond all floats
            and (self.least is None or value >= self.least)
            and (self.above is None or value > self.above)
            and (self.most is None or value <= self.most)
            and (self.below is None or value < self.below)
        )

    def schema(self) -> dict[str, Any]:
        """Give it in the words of JSON schema."""
        names = {
            "minimum": self.least,
            "exclusiveMinimum": self.above,
            "maximum": self.most,
            "exclusiveMaximum": self.below,
            "pattern": self.pattern or None,
        }
        rules = {name: value for name, value in names.items() if value is not None}
        return rules if self.also is None else {"anyOf": [{"const": self.also}, rules]}

    def __str__(self) -> str:
        if self.words:
            return self.words
        if self.least is not None and self.most is not None:
            return f"from {self.least:g} to {self.most:g}"
        parts = (
            ("{:g} or more", self.least),
            ("above {:g}", self.above),
            ("at most {:g}", self.most),
            ("below {:g}", self.below),
        )
        said = [text.format(value) for text, value in parts if value is not None]
        return " and ".join(said)


FROM_0, FROM_1, ABOVE_0 = Limit(least=0), Limit(least=1), Limit(above=0)
FRACTION = Limit(least=0, most=1)  # of a whole
# 2**32 voxels along an axis are far beyond any disk; each level is an array of its own.
LEVELS = Limit(least=0, most=32)
# Slices from the first id to the last: 5 cm in sections of 5 um are a tenth of it. Doubled, a
# misread number is told later.
MOST_SLICES = 100_000


@dataclass(frozen=True, slots=True)
class _Folder:
    """Marks a path that names a folder."""


Folder = Annotated[Path | None, _Folder()]
"""Of an option that names a folder; every other path names a file."""

_NOUNS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    Path: "the path of a file",
}


def limit_of(hint: Any) -> Limit | None:  # noqa: ANN401  # a type
    """Give the limit that stands at an option; None where its type says all."""
    return next((one for one in getattr(hint, "__metadata__", ()) if isinstance(one, Limit)), None)


def is_folder(hint: Any) -> bool:  # noqa: ANN401  # a type
    """Whether a path names a folder."""
    return any(isinstance(one, _Folder) for one in getattr(hint, "__metadata__", ()))


def check_limit(name: str, value: object, hint: Any) -> None:  # noqa: ANN401  # a type
    """Raise ParameterError where a value of the right type is outside its limit.

    Parameters
    ----------
    name : str
        The option.
    value : object
        Its value; None is none.
    hint : type
        As declared at the option.
    """
    limit = limit_of(hint)
    if limit is not None and value is not None and not limit.allows(value):
        raise ParameterError(f"{name} is {value!r}, {expected(hint)}")


T = typing.TypeVar("T")


def checked(options: T) -> T:
    """Give back options whose fields are all inside their limits.

    Raises
    ------
    ParameterError
        One is not.
    """
    hints = typing.get_type_hints(type(options), include_extras=True)
    for name, hint in hints.items():
        check_limit(name, getattr(options, name), hint)
    return options


def _bare(hint: Any) -> Any:  # noqa: ANN401  # a type
    """Give the type without what is said beside it."""
    return typing.get_args(hint)[0] if typing.get_origin(hint) is typing.Annotated else hint


def is_optional(hint: Any) -> bool:  # noqa: ANN401  # a type
    """Whether a parameter of this type may have no value."""
    hint = _bare(hint)
    return isinstance(hint, types.UnionType) and type(None) in typing.get_args(hint)


def plain_type(hint: Any) -> Any:  # noqa: ANN401  # a type
    """Give the type without None; a word or the path of a file is a text."""
    hint = _bare(hint)
    if not is_optional(hint):
        return str if typing.get_origin(hint) in (types.UnionType, typing.Union) else hint
    return next(kind for kind in typing.get_args(hint) if kind is not type(None))


def choices_of(hint: Any) -> tuple[str, ...]:  # noqa: ANN401  # a type
    """List the values allowed, if only some are."""
    plain = plain_type(hint)
    return typing.get_args(plain) if typing.get_origin(plain) is typing.Literal else ()


def item_choices_of(hint: Any) -> tuple[str, ...]:  # noqa: ANN401  # a type
    """List the words that a list may have, if it is one of words."""
    plain = plain_type(hint)
    return choices_of(typing.get_args(plain)[0]) if typing.get_origin(plain) is tuple else ()


def expected(hint: Any) -> str:  # noqa: ANN401  # a type
    """Say what a parameter may be.

    Parameters
    ----------
    hint : type
        Its type, as declared at the option.

    Returns
    -------
    str
        Such as ``expected a whole number, 0 or more``.
    """
    rule = limit_of(hint) or Limit()
    choices = choices_of(hint)
    if choices:
        return f"expected one of: {', '.join(choice or chr(39) * 2 for choice in choices)}"
    if words := item_choices_of(hint):
        return f"expected a list of: {', '.join(words)}; such as [{', '.join(words[:2])}]"
    plain = plain_type(hint)
    limit = str(rule)
    if rule.pattern:
        return f"expected {limit}"
    if typing.get_origin(plain) is tuple:
        return f"expected a list of numbers {limit}, such as [10, 25]".replace("  ", " ")
    comma = "," if limit[:1].isdigit() else ""
    return f"expected {_NOUNS[plain]}{comma} {limit}".rstrip()
