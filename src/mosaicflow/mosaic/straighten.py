"""The common tile distortion between the stages: windows along seams, the table, its picture."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.errors import InputError
from mosaicflow.io.tables import read_csv, write_csv
from mosaicflow.mosaic.distortion import TileDistortion
from mosaicflow.mosaic.distortion_fit import (
    DistortionFit,
    fit_distortion,
    no_distortion,
    straightened,
)
from mosaicflow.mosaic.seam_windows import SeamWindow, measure_windows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray
    from PIL.Image import Image as PngImage

    from mosaicflow.io.report import StageReport
    from mosaicflow.mosaic.link import Link, Tile
    from mosaicflow.mosaic.tables import SliceLinks

    Image = NDArray[np.float32]

__all__ = [
    "describe_distortion",
    "read_distortion",
    "read_windows",
    "seam_windows",
    "straighten",
    "write_distortion",
    "write_windows",
]

# Windows of a slice that hint at whether its tiles are bent at all, and those that tell how: the
# first take 0.1 s; the second leave 0.07 px inside the seams of a lens of 3 px, and put 54 tiles
# within 0.02 px of their lattice, the first within 0.06.
_FIRST_WINDOWS, _MOST_WINDOWS = 96, 400
# Standard errors by which left-out seams must agree better for the second look, which decides.
# Three were reached by chance where a lens of 0.17 px bends one slice of 54 tiles.
_HINT_ERRORS = 1.0
_WINDOW_COLUMNS = (
    *("iy_a", "ix_a", "iy_b", "ix_b", "row_a_px", "col_a_px", "row_b_px", "col_b_px"),
    *("dy_px", "dx_px", "sigma_px", "ncc"),
)
_COLUMNS = ("row_px", "col_px", "dy_px", "dx_px")
# Side of the picture, its border, and how long the longest displacement is drawn [px].
_PICTURE_PX, _BORDER_PX, _SHOWN_PX = 600, 40, 24


def seam_windows(
    links: Sequence[Link],
    logs: Callable[[Tile], Image],
    tile_yx: tuple[int, int],
    map_all: Callable[[Callable[..., Any], Sequence[Any]], list[Any]],
) -> list[SeamWindow]:
    """Measure as many windows of a slice as its tiles are worth.

    Parameters
    ----------
    links : sequence of Link
        Measured shifts.
    logs : callable
        Gives the logarithm of a tile, shape (bands, y, x).
    tile_yx : (int, int)
        Lateral shape of a tile.
    map_all : callable
        ``map_all(function, items)`` applies a function to all items, possibly side by side.
    """
    if not any(link.common_px for link in links):  # whose middles have not shown a bend yet
        few = measure_windows(links, logs, map_all, _FIRST_WINDOWS)
        if not fit_distortion([few], tile_yx).gain_errors > _HINT_ERRORS:
            return few
    return measure_windows(links, logs, map_all, _MOST_WINDOWS)


def write_windows(path: Path, windows: Sequence[SeamWindow]) -> None:
    """Write zNN_tile_windows.csv."""
    write_csv(
        path,
        list(_WINDOW_COLUMNS),
        (
            dict(
                zip(
                    _WINDOW_COLUMNS,
                    (
                        *(*w.a, *w.b, *w.at_a, *w.at_b),
                        *(round(v, 6) for v in (*w.shift_px, w.sigma_px, w.ncc)),
                    ),
                    strict=True,
                )
            )
            for w in windows
        ),
    )


def read_windows(path: Path) -> list[SeamWindow]:
    """Read zNN_tile_windows.csv."""
    found = []
    for row in read_csv(path, list(_WINDOW_COLUMNS)):
        index = [int(row[name]) for name in _WINDOW_COLUMNS[:4]]
        value = [float(row[name]) for name in _WINDOW_COLUMNS[4:]]
        found.append(
            SeamWindow(
                (index[0], index[1]),
                (index[2], index[3]),
                (value[0], value[1]),
                (value[2], value[3]),
                (value[4], value[5]),
                value[6],
                value[7],
            )
        )
    return found


def straighten(
    slices: Sequence[SliceLinks],
    windows: Mapping[str, Sequence[SeamWindow]],
    wanted: str | Path,
) -> tuple[DistortionFit, list[SliceLinks]]:
    """Learn what bends all tiles and take it off the measured shifts of all slices.

    Parameters
    ----------
    slices : sequence of SliceLinks
        What is known of the tiles of each slice.
    windows : mapping
        Name of a slice -> its windows.
    wanted : 'auto', 'none' or Path
        Learn the distortion, leave it out, or take it from a table.
    """
    shapes = Counter(one.tile_shape[1:] for one in slices)
    usual = shapes.most_common(1)[0][0]
    mine = [one for one in slices if one.tile_shape[1:] == usual]
    fit = _fit(wanted, [windows.get(one.name, ()) for one in mine], usual)
    links = {
        one.name: straightened(one.links, windows.get(one.name, ()), fit, usual) for one in mine
    }
    return fit, [replace(one, links=tuple(links.get(one.name, one.links))) for one in slices]


def _fit(
    wanted: str | Path, slices: Sequence[Sequence[SeamWindow]], tile_yx: tuple[int, int]
) -> DistortionFit:
    if wanted == "auto":
        return fit_distortion(slices, tile_yx)
    if not isinstance(wanted, Path):
        return DistortionFit(no_distortion(tile_yx), 0, 0)
    given = read_distortion(wanted)
    if not given.spans(tile_yx):
        rows, columns = (f"{places[-1] + 1:g}" for places in (given.rows_px, given.columns_px))
        raise InputError(
            f"{wanted}: spans {rows} x {columns} px (y, x), the tiles are {tile_yx[0]} x "
            f"{tile_yx[1]} px",
            remedy="take the tile_distortion.csv of a run with tiles of this size",
        )
    return DistortionFit(given, 0, 0, found_px=given.rms_px)


def write_distortion(path: Path, distortion: TileDistortion) -> None:
    """Write tile_distortion.csv, and a picture of it beside the table."""
    rows = [
        dict(zip(_COLUMNS, (round(v, 6) for v in (y, x, *shift)), strict=True))
        for i, y in enumerate(distortion.rows_px.tolist())
        for (x, shift) in zip(
            distortion.columns_px.tolist(), distortion.shift_px[:, i].T.tolist(), strict=True
        )
    ]
    write_csv(path, list(_COLUMNS), rows)
    _draw(distortion).save(path.with_suffix(".png"))


def read_distortion(path: Path) -> TileDistortion:
    """Read a displacement on a regular grid of the tile.

    Raises
    ------
    InputError
        When the table holds no complete grid of numbers.
    """
    try:
        table = np.array(
            [[float(row[name]) for name in _COLUMNS] for row in read_csv(path, list(_COLUMNS))]
        ).reshape(-1, len(_COLUMNS))
    except ValueError as error:
        raise InputError(f"{path}: expected numbers in {', '.join(_COLUMNS)}: {error}") from error
    rows, columns = np.unique(table[:, 0]), np.unique(table[:, 1])
    order = np.lexsort((table[:, 1], table[:, 0]))
    complete = len(table) == len(rows) * len(columns) and min(len(rows), len(columns)) >= 2
    grid = table[order].reshape(len(rows), len(columns), -1) if complete else table[:0]
    if not complete or not np.isfinite(table).all() or (grid[:, :1, 0] != grid[:, :, 0]).any():
        raise InputError(
            f"{path}: {len(table)} rows for {len(rows)} x {len(columns)} places, expected one "
            "finite displacement for each",
            remedy="write every row_px with every col_px once",
        )
    return TileDistortion(rows, columns, np.moveaxis(grid[..., 2:], -1, 0))


def describe_distortion(report: StageReport, fit: DistortionFit) -> None:
    """Add what was found, and whether it is used, to the metrics."""
    report.metric("distortion_used", fit.distortion.kept)
    report.metric("distortion_windows", fit.n_windows)
    values = {
        "distortion_rms": fit.found_px,
        "distortion_error": fit.error_px,
        "seam_departure_before": fit.before_px,
        "seam_departure_after": fit.after_px,
    }
    for name, value in values.items():
        if np.isfinite(value):
            report.metric(name, value)


def _draw(distortion: TileDistortion) -> PngImage:
    """Draw the grid of a tile as it is seen and, so enlarged that it shows, where it belongs."""
    from PIL import Image, ImageDraw

    size = max(distortion.rows_px[-1], distortion.columns_px[-1])
    scale = (_PICTURE_PX - 2 * _BORDER_PX) / size
    enlarged = _SHOWN_PX / max(distortion.largest_px * scale, 1e-9) if distortion.kept else 1.0
    picture = Image.new("RGB", (_PICTURE_PX, _PICTURE_PX), (255, 255, 255))
    draw = ImageDraw.Draw(picture)
    y, x = np.meshgrid(distortion.rows_px, distortion.columns_px, indexing="ij")
    for moved, colour in ((0.0, (190, 190, 190)), (enlarged, (30, 90, 170))):
        at = np.stack(
            [x + moved * distortion.shift_px[1], y + moved * distortion.shift_px[0]], axis=-1
        )
        lines = _BORDER_PX + at * scale
        for line in (*lines[::2], *lines.transpose(1, 0, 2)[::2]):
            draw.line([tuple(point) for point in line.tolist()], fill=colour)
    said = f"longest {distortion.largest_px:.2f} px, drawn {enlarged:.0f} x as large"
    draw.text((_BORDER_PX, 8), said if distortion.kept else "tiles are not bent", fill=(0, 0, 0))
    return picture
