"""The scan parameters that an OCT system leaves in each tile's ``info.txt``."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mosaicflow.acquisition.settings import ScanOverrides
from mosaicflow.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mosaicflow.acquisition.settings import Value

__all__ = ["ScanInfo", "parse_scan_info", "read_values"]

_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")


@dataclass(frozen=True, slots=True)
class ScanInfo:
    """One tile's scan parameters.

    Parameters
    ----------
    n_alines, n_bscans, n_z : int
        Kept A-lines per B-scan, B-scans, depth samples.
    n_extra : int
        A-lines recorded while the fast mirror flies back.
    n_repeat : int
        Times each B-scan was recorded.
    width_um, height_um : float
        Field of view along the fast and slow axis.
    top_z : int
        First stored depth sample.
    stage_xyz : tuple of float or None
        Motor position as written (x, y, z), None where the file has none.
    notes : tuple of (code, text)
        Things worth a warning.
    """

    n_alines: int
    n_bscans: int
    n_z: int
    n_extra: int
    n_repeat: int
    width_um: float
    height_um: float
    top_z: int
    stage_xyz: tuple[float | None, float | None, float | None]
    notes: tuple[tuple[str, str], ...] = ()


def read_values(text: str) -> tuple[dict[str, Value], list[tuple[str, str]]]:
    """Split ``key: value`` lines.

    Parameters
    ----------
    text : str
        Content of ``info.txt``; LF or CRLF, header lines and blank lines allowed.

    Returns
    -------
    values : dict
        Lower-case keys; a value is an int, else a float, else the text itself. Of a repeated key
        the last value counts, because a second attempt is appended to the file.
    notes : list of (code, text)
        Repeated keys whose values differ, and decimal commas.
    """
    values: dict[str, Value] = {}
    notes = []
    for line in text.lstrip("\ufeff").splitlines():
        key, separator, raw = line.partition(":")
        key, raw = key.strip().lower(), raw.strip()
        if not separator or not key or not raw:
            continue
        value, comma = _number(raw)
        if comma:
            notes.append(("decimal_comma", f"{key} is written with a decimal comma: {raw}"))
        if key in values and values[key] != value:
            notes.append(
                ("repeated_key", f"{key} appears as {values[key]} and {value}; the last is used")
            )
        values[key] = value
    return values, notes


def _number(raw: str) -> tuple[Value, bool]:
    comma = _DECIMAL_COMMA.fullmatch(raw) is not None
    text = raw.replace(",", ".") if comma else raw
    for convert in (int, float):
        try:
            return convert(text), comma
        except ValueError:
            continue
    return raw, False


def parse_scan_info(text: str, overrides: ScanOverrides | None = None) -> ScanInfo:
    """Read the content of an ``info.txt``.

    Parameters
    ----------
    text : str
        Content of the file; empty when only the overrides are known.
    overrides : ScanOverrides, optional
        Values given by the user.

    Returns
    -------
    ScanInfo

    Raises
    ------
    FormatError
        When a needed value is missing, not a number or out of range.
    """
    values, notes = read_values(text)
    values |= (overrides or ScanOverrides()).values()
    return ScanInfo(
        n_alines=_whole(values, "nx", minimum=1),
        n_bscans=_whole(values, "ny", minimum=1),
        n_z=_depth(values),
        n_extra=_whole(values, "n_extra", default=0),
        n_repeat=_whole(values, "n_repeat", default=1, minimum=1),
        width_um=_positive(values, "width"),
        height_um=_positive(values, "height"),
        top_z=_whole(values, "top_z", default=0),
        stage_xyz=(_position(values, "x"), _position(values, "y"), _position(values, "z")),
        notes=tuple(notes),
    )


def _depth(values: Mapping[str, Value]) -> int:
    if "nz" in values:
        return _whole(values, "nz", minimum=1)
    if "top_z" in values and "bottom_z" in values:
        depth = _whole(values, "bottom_z") - _whole(values, "top_z") + 1
        if depth < 1:
            raise FormatError(f"bottom_z {values['bottom_z']} lies above top_z {values['top_z']}")
        return depth
    if "n_samples" in values:
        return _whole(values, "n_samples", minimum=2) // 2
    raise FormatError("no top_z and bottom_z, and no n_samples: the depth is unknown")


def _whole(
    values: Mapping[str, Value], key: str, *, default: int | None = None, minimum: int = 0
) -> int:
    value = values.get(key, default)
    if value is None:
        raise FormatError(f"{key} is missing")
    if isinstance(value, str) or not float(value).is_integer() or value < minimum:
        raise FormatError(f"{key} is {value!r}, expected a whole number of at least {minimum}")
    return int(value)


def _positive(values: Mapping[str, Value], key: str) -> float:
    value = values.get(key)
    if value is None:
        raise FormatError(f"{key} is missing")
    if isinstance(value, str) or not (math.isfinite(value) and value > 0):
        raise FormatError(f"{key} is {value!r}, expected a length in um above 0")
    return float(value)


def _position(values: Mapping[str, Value], axis: str) -> float | None:
    value = values.get(f"stage_{axis}_pos_mm")
    # A position that cannot be read is the same as none: the lattice still places the tile.
    return None if value is None or isinstance(value, str) or not math.isfinite(value) else value
