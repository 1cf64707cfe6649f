"""Filling the page templates: the frame that all pages share, and how numbers are written."""

from __future__ import annotations

import math

from rich.filesize import decimal

from mosaicflow import __version__
from mosaicflow.report.verdict import listed

__all__ = ["NOT_MEASURED", "fill", "number", "share", "size"]

_DOCS = "https://github.com/mosaicflow/mosaicflow/blob/main/docs"
NOT_MEASURED = "not measured"


def fill(template: str, /, **values: object) -> str:
    """Fill a page template of this package.

    Parameters
    ----------
    template : str
        File name of the template.
    **values : object
        What it shows, by name.

    Returns
    -------
    str
        HTML with all styles and pictures in it.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("mosaicflow.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"number": number, "share": share, "size": size, "slices": listed}
    page = environment.get_template(template)
    return page.render(docs=_DOCS, software=f"mosaicflow {__version__}", **values)


def number(value: object, digits: int = 3) -> str:
    """Write a number for people; what was not measured says so.

    Parameters
    ----------
    value : object
        A number, a word or None.
    digits : int
        Significant digits.

    Returns
    -------
    str
    """
    if isinstance(value, bool) or value is None:
        return NOT_MEASURED if value is None else "yes" if value else "no"
    if not isinstance(value, int | float):
        return str(value)
    if not math.isfinite(value):
        return NOT_MEASURED
    if isinstance(value, int):
        return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    small = value != 0 and abs(value) < 1e-4
    return f"{value:.1e}" if small else f"{value:.{_decimals(value, digits)}f}"


def _decimals(value: float, digits: int) -> int:
    size = 0 if value == 0 else math.floor(math.log10(abs(value)))
    return max(0, min(digits - 1 - size, 4 if abs(value) < 1 else digits))


def share(value: float | None) -> str:
    """Write a share as a percentage."""
    return NOT_MEASURED if value is None else f"{number(100 * value, 2)} %"


def size(n_bytes: int | None) -> str:
    """Write bytes for people."""
    return NOT_MEASURED if n_bytes is None else decimal(n_bytes)
