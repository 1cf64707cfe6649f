"""Plots of a run as SVG that takes the page's colours."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mosaicflow.spread import spread_about

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mosaicflow.report.slices import SliceRow

__all__ = ["Plot", "Vectors", "shift_plot", "trend_plots", "vector_plot"]

# Stand for colours of the page, which knows whether it is light or dark.
_INK, _LINE, _GOOD, _BAD = "#010203", "#040506", "#070809", "#0a0b0c"
_COLOURS = {_INK: "ink", _LINE: "line", _GOOD: "accent", _BAD: "bad"}
# A value this many times the usual spread away from the median is marked; 3.5 is the usual choice
# for a robust score (one in 2 000 of normal values). At 7 only gross faults would show.
_OUTLIER = 3.5
# Points from which a trend is one, and from which a median tells what is usual. Of 40 000 drawn
# series of pure noise 20 % have an "outlier" among five points, 17 % among seven, 12 % among 12.
_FEWEST, _USUAL = 3, 7


@dataclass(frozen=True, slots=True)
class Plot:
    """One drawing.

    Parameters
    ----------
    title, text : str
        What it shows.
    svg : str
        The drawing.
    """

    title: str
    text: str
    svg: str


@dataclass(frozen=True, slots=True)
class Vectors:
    """Arrows at places, in px.

    Parameters
    ----------
    title, text : str
        What they show.
    places, arrows : sequence of (float, float)
        Starts and lengths (y, x).
    """

    title: str
    text: str
    places: Sequence[tuple[float, float]]
    arrows: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class _Trend:
    title: str
    unit: str
    value: Callable[[SliceRow], float | None]
    bad: float | None = None


_TRENDS = (
    _Trend("Residual of tile links", "px", lambda row: row.residual_px),
    _Trend("Seam ratio", "", lambda row: row.seam_ratio),
    _Trend("Shading that the flat field left", "%", lambda row: row.shading_percent),
    _Trend("Correlation with the next slice", "", lambda row: row.correlation),
    _Trend("Held-out correlation, registered", "", lambda row: row.held_out),
    _Trend("Rotation", "deg", lambda row: row.rotation_deg),
    _Trend("Thickness of the section above", "µm", lambda row: row.thickness_um),
    _Trend("Below the display", "share", lambda row: row.below_display),
    _Trend("Above the display", "share", lambda row: row.above_display),
)


def trend_plots(
    rows: Sequence[SliceRow], extra: Sequence[tuple[str, str, dict[int, float]]]
) -> tuple[Plot, ...]:
    """Draw each number over the slices, outliers marked.

    Parameters
    ----------
    rows : sequence of SliceRow
        Of the slices, by id.
    extra : sequence of (title, unit, values by slice id)
        Numbers that are in no row.

    Returns
    -------
    tuple of Plot
        Of those numbers that at least three slices have.
    """
    series = [
        (
            one.title,
            one.unit,
            {row.slice_id: value for row in rows if (value := one.value(row)) is not None},
        )
        for one in _TRENDS
    ]
    drawn = [
        (title, unit, values) for title, unit, values in (*series, *extra) if len(values) >= _FEWEST
    ]
    return tuple(_trend(*one) for one in drawn)


def outliers(values: dict[int, float]) -> list[int]:
    """Name the slices whose value is unlike the others'.

    Parameters
    ----------
    values : dict of int to float
        By slice id.

    Returns
    -------
    list of int
        Ids, ascending.
    """
    import numpy as np

    if len(values) < _USUAL:
        return []
    numbers = np.array(list(values.values()))
    middle = float(np.median(numbers))
    spread = spread_about(numbers, middle)
    # Of equal values any other would stand out: a hundredth of the value is no difference.
    least = max(_OUTLIER * spread, 0.01 * abs(middle), 1e-6)
    return sorted(one for one, value in values.items() if abs(value - middle) > least)


def _trend(title: str, unit: str, values: dict[int, float]) -> Plot:
    figure, axes = _figure(3.3, 1.7)
    ids = sorted(values)
    axes.plot(ids, [values[one] for one in ids], color=_GOOD, lw=1.2, marker="o", ms=2.6)
    odd = outliers(values)
    axes.plot(odd, [values[one] for one in odd], "o", mfc="none", color=_BAD, ms=7, mew=1.4)
    for one in odd[:6]:
        axes.annotate(
            str(one), (one, values[one]), (5, 3), textcoords="offset points", color=_BAD, fontsize=8
        )
    # Beside the axis the numbers would cover it, which are as wide as they have digits.
    figure.text(0.02, 0.98, unit, color=_INK, fontsize=8, va="top")
    axes.set_xlabel("slice")
    _whole_numbers(axes)
    few = "too few slices to say which stands out"
    text = few if len(values) < _USUAL else "no slice stands out"
    text = f"unlike the others: {', '.join(map(str, odd))}" if odd else text
    return Plot(title, text, _svg(figure))


def shift_plot(rows: Sequence[SliceRow]) -> Plot | None:
    """Draw how far each slice was moved from where the stage has it.

    Parameters
    ----------
    rows : sequence of SliceRow
        Of the slices, by id.

    Returns
    -------
    Plot or None
        None of fewer than two slices: all places are counted from one.
    """
    moved = {row.slice_id: row.moved_px for row in rows if row.moved_px is not None}
    if len(moved) < 2:
        return None
    figure, axes = _figure(6.8, 2.1)
    for axis, (name, style) in enumerate((("y", "-"), ("x", "--"))):
        line = [moved[one][axis] for one in moved]
        axes.plot(
            list(moved), line, style, color=_GOOD, lw=1.2, marker="o", ms=2.6, label=f"along {name}"
        )
    axes.axhline(0, color=_LINE, lw=0.8)
    axes.set_ylabel("px")
    axes.set_xlabel("slice")
    axes.legend(frameon=False, fontsize=8, loc="best", labelcolor=_INK)
    _whole_numbers(axes)
    text = "registered minus reported by the stage; a slice at 0 lies where the stage has it"
    return Plot("Stage against registered positions of slices", text, _svg(figure))


def vector_plot(vectors: Vectors) -> Plot | None:
    """Draw arrows at places; their length is magnified as the text says.

    Parameters
    ----------
    vectors : Vectors
        Places and arrows.

    Returns
    -------
    Plot or None
        None without arrows.
    """
    import numpy as np

    if not vectors.places:
        return None
    places, arrows = np.array(vectors.places, float), np.array(vectors.arrows, float)
    largest = float(np.hypot(*arrows.T).max())
    extent = float(np.ptp(places, axis=0).max()) or 1.0
    factor = _round_factor(0.12 * extent / largest) if largest > 0 else 1.0
    figure, axes = _figure(3.3, 3.0)
    axes.plot(places[:, 1], places[:, 0], ".", color=_LINE, ms=4)
    axes.quiver(
        places[:, 1], places[:, 0], factor * arrows[:, 1], factor * arrows[:, 0],
        color=_GOOD, angles="xy", scale_units="xy", scale=1, width=0.006,
    )  # fmt: skip
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.15)
    axes.invert_yaxis()
    axes.set_xlabel("x [px]")
    axes.set_ylabel("y [px]")
    scale = f"arrows {factor:g} times as long as they are, the longest is {largest:.2g} px"
    text = f"{vectors.text}; {scale}"
    return Plot(vectors.title, text, _svg(figure))


def _round_factor(value: float) -> float:
    """Give the next smaller of 1, 2, 5, 10, ... so that people can divide by it."""
    import math

    power = 10.0 ** math.floor(math.log10(value))
    return max(step * power for step in (1, 2, 5) if step * power <= value * (1 + 1e-9))


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    """Make an empty drawing without frame; sizes in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    # Room for ticks and names in inches; a layout engine would draw everything twice.
    left, right, below, above = 0.62, 0.12, 0.42, 0.2
    axes = figure.add_axes(
        (
            left / width,
            below / height,
            (width - left - right) / width,
            (height - below - above) / height,
        )
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_LINE)
    axes.tick_params(colors=_INK, labelsize=8, length=3, color=_LINE)
    axes.xaxis.label.set_color(_INK)
    axes.yaxis.label.set_color(_INK)
    axes.xaxis.label.set_fontsize(8)
    axes.yaxis.label.set_fontsize(8)
    return figure, axes


def _whole_numbers(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4))


def _svg(figure: Figure) -> str:
    """Write a drawing without anything that differs from run to run."""
    import matplotlib as mpl

    text = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "mosaicflow"}):
        figure.savefig(
            text, format="svg", transparent=True, metadata={"Date": None, "Creator": None}
        )
    found = text.getvalue()
    found = found[found.index("<svg") :]
    for colour, name in _COLOURS.items():
        found = found.replace(colour, f"var(--{name})")
    found = re.sub(r"font: ([\d.]+)px [^\";]*", r"font: \1px inherit", found)
    return re.sub(r"<metadata>.*?</metadata>", "", found, flags=re.S).strip()
