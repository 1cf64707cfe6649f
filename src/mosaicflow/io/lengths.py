"""Units of length as files of other programs spell them: the one table of the house."""

from __future__ import annotations

import html
import re

__all__ = ["micrometers_per_unit"]

# International units with their prefixes, by symbol (where case tells mega from milli) and by name.
_PREFIXES = {
    "yotta": ("Y", 24), "zetta": ("Z", 21), "exa": ("E", 18), "peta": ("P", 15), "tera": ("T", 12),
    "giga": ("G", 9), "mega": ("M", 6), "kilo": ("k", 3), "hecto": ("h", 2), "deca": ("da", 1),
    "deci": ("d", -1), "centi": ("c", -2), "milli": ("m", -3), "micro": ("\u00b5", -6),
    "nano": ("n", -9), "pico": ("p", -12), "femto": ("f", -15), "atto": ("a", -18),
    "zepto": ("z", -21), "yocto": ("y", -24),
}  # fmt: skip
# The other lengths that OME (UnitsLength) and NGFF list, in micrometres.
_OTHERS = {
    ("A", "\u00c5", "\u212b", "angstrom", "\u00e5ngstr\u00f6m"): 1e-4,
    ("thou", "mil"): 25.4,
    ("li", "line"): 25400 / 12,
    ("in", "inch", "inches", '"'): 25400.0,
    ("ft", "foot", "feet"): 304800.0,
    ("yd", "yard"): 914400.0,
    ("mi", "mile"): 1609344000.0,
    ("pt", "point"): 25400 / 72,
    ("ua", "au", "astronomicalunit"): 1.495978707e17,
    ("ly", "lightyear"): 9.4607304725808e21,
    ("pc", "parsec"): 3.0856775814913673e22,
    ("micron",): 1.0,
}
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")


def _symbols_and_names() -> tuple[dict[str, float], dict[str, float]]:
    symbols = {"m": 1e6}
    names = {"meter": 1e6, "metre": 1e6}
    for prefix, (symbol, power) in _PREFIXES.items():
        factor = float(f"1e{6 + power}")
        symbols[f"{symbol}m"] = factor
        names |= {f"{prefix}meter": factor, f"{prefix}metre": factor}
    symbols |= {"um": 1.0, "\u03bcm": 1.0, "mum": 1.0}
    for spellings, factor in _OTHERS.items():
        symbols |= {text: factor for text in spellings if len(text) <= 2}
        names |= dict.fromkeys(spellings, factor)
    names["dekameter"] = names["decameter"]
    return symbols, names


_SYMBOLS, _NAMES = _symbols_and_names()


def micrometers_per_unit(unit: str | None) -> float | None:
    r"""Return the factor from a unit of length to micrometres, or None for an unknown one.

    Parameters
    ----------
    unit : str or None
        A symbol (``um``, ``Mm`` unlike ``mm``) or a name in either spelling, singular or plural;
        entities (``&#181;m``) and escapes (``\u00B5m``) are understood, and so is the lower case
        or upper case of a symbol that only one unit has.
    """
    if not unit:
        return None
    text = html.unescape(_ESCAPE.sub(lambda match: chr(int(match[1], 16)), unit)).strip().strip(".")
    if text in _SYMBOLS:
        return _SYMBOLS[text]
    name = "".join(text.casefold().replace("\u03bc", "\u00b5").split())
    for spelling in (name, name.removesuffix("s"), name.replace("\u00b5", "u")):
        if spelling in _NAMES:
            return _NAMES[spelling]
    same = {factor for symbol, factor in _SYMBOLS.items() if symbol.casefold() == text.casefold()}
    return same.pop() if len(same) == 1 else None
