"""What each parameter may be: one table for the embedded engine, the schema and the workflow."""

from __future__ import annotations

import re
import sys
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mosaicflow.io.tables import SCHEMA

__all__ = [
    "LIMITS",
    "Limit",
    "choices_of",
    "expected",
    "is_optional",
    "item_choices_of",
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


_FROM_0, _FROM_1, _ABOVE_0 = Limit(least=0), Limit(least=1), Limit(above=0)
_FRACTION, _TURN = Limit(least=0, most=1), Limit(least=0, most=180)
# 2**32 voxels along an axis are far beyond any disk; each level is an array of its own.
_LEVELS = Limit(least=0, most=32)
_SLICES = r"z?\d+(\s*-\s*z?\d+)?"

LIMITS: dict[str, Limit] = {
    "schema": Limit(least=SCHEMA, most=SCHEMA, words=f"{SCHEMA}: no other form is known"),
    # A file name on every system and in every shell, which no other output could have.
    "subject_name": Limit(
        pattern=r"^(?!mosaic_grid_|slice_z)([A-Za-z0-9_][A-Za-z0-9_.-]*)?$",
        words="a name of letters, digits, '_', '-' and '.', not the name of another output",
    ),
    "debug_slices": Limit(
        pattern=rf"^\s*({_SLICES}(\s*,\s*{_SLICES})*)?\s*$", words="slice ids such as '3,5-8'"
    ),
    "exclude_first_slices": Limit(pattern=r"^(auto|\d+)$", words="'auto' or a whole number"),
    "orientation": Limit(
        pattern=r"^(\s*[+-]?fast\s*,\s*[+-]?slow\s*|\s*[+-]?slow\s*,\s*[+-]?fast\s*)?$",
        words="the two scan axes for Y and X, such as '-fast,-slow'",
    ),
    "tile_grid": Limit(
        pattern=r"^(\s*0*[1-9]\d*\s*[xX,]\s*0*[1-9]\d*\s*)?$", words="rows x columns such as '7x9'"
    ),
    "tile_order": Limit(
        pattern=r"^((left|right)-(up|down)|(up|down)-(left|right))$",
        words="two directions such as 'right-down'",
    ),
    "slice_digits": Limit(least=2, most=9),
    "graph_span": _FROM_0,
    "positions_channel": _FROM_0,
    "axial_resolution_um": _ABOVE_0,
    "pixel_size_um": _ABOVE_0,
    "tile_first_number": _FROM_0,
    "nx": _FROM_1,
    "ny": _FROM_1,
    "nz": _FROM_1,
    "n_extra": _FROM_0,
    "width_um": _ABOVE_0,
    "height_um": _ABOVE_0,
    "stitch_overlap_fraction": Limit(least=0, below=1),
    "max_missing_fraction": _FRACTION,
    "galvo_confidence_threshold": _FRACTION,
    "resolution_um": Limit(above=0, also=-1, words="above 0, or -1 for the native pitch"),
    "fit_max_samples": _FROM_1,
    "clip_percentile_upper": Limit(above=0, most=100),
    "seed": _FROM_0,
    "max_blend_refinement_px": _FROM_0,
    "distortion": Limit(pattern=r"^.+$", words="auto, none or the path of a tile_distortion.csv"),
    "crop_depth_um": _ABOVE_0,
    "normalize_min_contrast": _FRACTION,
    "rehoming_max_shift_mm": _ABOVE_0,
    "rehoming_return_fraction": _FRACTION,
    "tile_fov_mm": _ABOVE_0,
    "tile_fov_tolerance": Limit(least=0, most=0.5),
    "slicing_interval_mm": _ABOVE_0,
    "allowed_drift_mm": _FROM_0,
    "moving_slice_first_index": _FROM_0,
    "registration_max_translation": _ABOVE_0,
    "registration_max_rotation": _TURN,
    "max_rotation_deg": _TURN,
    "load_transform_min_zcorr": _FRACTION,
    "stage_sigma_um": _ABOVE_0,
    "common_space_excluded_slice_window": _FROM_1,
    "auto_exclude_consecutive": _FROM_1,
    "auto_exclude_z_corr": Limit(least=-1, most=1),
    "stack_blend_depth_um": _FROM_0,
    "pyramid_resolutions": _ABOVE_0,
    "export_level": _FROM_0,
    "pyramid_n_levels": _LEVELS,
    "n_levels": _LEVELS,
    "sharding_factor": _FROM_1,
}

_NOUNS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    Path: "the path of a file",
}


def is_optional(hint: Any) -> bool:  # noqa: ANN401  # a type
    """Whether a parameter of this type may have no value."""
    return isinstance(hint, types.UnionType) and type(None) in typing.get_args(hint)


def plain_type(hint: Any) -> Any:  # noqa: ANN401  # a type
    """Give the type without None; a word or the path of a file is a text."""
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


def expected(name: str, hint: Any) -> str:  # noqa: ANN401  # a type
    """Say what a parameter may be.

    Parameters
    ----------
    name : str
        The parameter.
    hint : type
        Its type.

    Returns
    -------
    str
        Such as ``expected a whole number, 0 or more``.
    """
    choices = choices_of(hint)
    if choices:
        return f"expected one of: {', '.join(choice or chr(39) * 2 for choice in choices)}"
    if words := item_choices_of(hint):
        return f"expected a list of: {', '.join(words)}"
    plain = plain_type(hint)
    limit = str(LIMITS.get(name, ""))
    if name in LIMITS and LIMITS[name].pattern:
        return f"expected {limit}"
    if typing.get_origin(plain) is tuple:
        return f"expected a list of numbers {limit}, such as [10, 25]".replace("  ", " ")
    comma = "," if limit[:1].isdigit() else ""
    return f"expected {_NOUNS[plain]}{comma} {limit}".rstrip()
