"""List the tiles of an SBEMimage project by the image lists that the program keeps of its runs."""

from __future__ import annotations

import ast
import math
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from mosaicflow.acquisition.drafts import Draft, by_slice
from mosaicflow.acquisition.find.tiff_source import describe_image
from mosaicflow.acquisition.place.image_places import index_by_centre
from mosaicflow.errors import InputError
from mosaicflow.io.tables import natural_order, read_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mosaicflow.acquisition.problems import ProblemLog
    from mosaicflow.acquisition.settings import InspectSettings

__all__ = ["collect_project_tiles", "image_lists"]

_LOGS = "meta/logs"
_GRID = re.compile(r"(?:^|/)g(\d+)/t\d+/")
_NM_PER_UM = 1000.0
_NM_PER_MM = 1e6
_ONE_GRID = (
    "move the tiles of one grid to a folder of their own, with their lines of the image lists"
)


@dataclass(frozen=True, slots=True)
class _Row:
    """One line of an image list: a tile, its grid, slice and upper left corner."""

    path: str
    grid: int
    slice_id: int
    corner_nm: tuple[float, float]
    z_nm: float
    place: str


@dataclass(frozen=True, slots=True)
class _StageGrid:
    """What the program noted of a grid of tiles when a run began."""

    pixel_nm: float | None = None
    angle_deg: float = 0.0
    section_nm: float | None = None


def image_lists(root: Path) -> list[Path]:
    """Return the image lists of a project, oldest first; none where a folder is no project."""
    found = (root / _LOGS).glob("imagelist_*.txt")
    return sorted(found, key=lambda path: natural_order(path.name))


def collect_project_tiles(
    root: Path, lists: Sequence[Path], settings: InspectSettings, log: ProblemLog
) -> list[Draft]:
    """List the tiles of a project, a slice for each cut.

    Parameters
    ----------
    root : Path
        Base folder of the project.
    lists : sequence of Path
        What `image_lists` found: a run each. A tile that was taken again counts once, as the
        later list has it.
    settings : InspectSettings
        A given pixel size wins over that of the program's own notes.
    log : ProblemLog
        Takes what was wrong.

    Returns
    -------
    list of Draft
        One per tile.

    Raises
    ------
    InputError
        When a line cannot be read, or the tiles are of several grids or of one that was turned
        against the coordinates of the lists.
    """
    rows: dict[str, tuple[_Row, _StageGrid]] = {}
    for path in lists:
        notes = _grids(path.with_name(path.name.replace("imagelist", "metadata", 1)))
        for row in _rows(root, path):
            if settings.wants(row.slice_id):
                rows[row.path] = (row, notes.get(row.grid, _StageGrid()))
    _check_grids([row for row, _ in rows.values()], [grid for _, grid in rows.values()])
    drafts = [_described(root, row, grid, settings, log) for row, grid in rows.values()]
    for _, tiles in by_slice(drafts):
        index_by_centre(tiles)
    for draft in drafts:
        if draft.index is None and draft.status != "skipped":
            draft.unplace(log, "its image has no size, and so no centre")
    return drafts


def _rows(root: Path, path: Path) -> Iterator[_Row]:
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        place = f"{path.name}, line {number}"
        cells = [cell.strip() for cell in line.split(";")]
        try:
            x_nm, y_nm, z_nm, slice_id = (float(cell) for cell in cells[1:])
        except ValueError:
            x_nm = y_nm = z_nm = slice_id = math.nan
        if not all(map(math.isfinite, (x_nm, y_nm, z_nm, slice_id))) or slice_id != int(slice_id):
            raise InputError(
                f"{place}: is {line[:80]!r}, expected a path, x, y, z in nm and the slice"
            )
        name = PurePosixPath(cells[0].replace("\\", "/"))
        grid = _GRID.search(str(name))
        if name.is_absolute() or ".." in name.parts or "\0" in cells[0] or grid is None:
            raise InputError(f"{place}: is {cells[0]!r}, expected tiles/gN/tN/NAME in the project")
        if not Path(os.path.realpath(root / name)).is_relative_to(os.path.realpath(root)):
            raise InputError(f"{place}: {name} is a link out of the project")
        yield _Row(str(name), int(grid[1]), int(slice_id), (y_nm, x_nm), z_nm, place)


def _grids(path: Path) -> dict[int, _StageGrid]:
    """Read what a run noted of its grids; nothing where the file is absent or tells nothing."""
    if not path.is_file():
        return {}
    sessions = [line for line in read_text(path).splitlines() if line.startswith("SESSION:")]
    try:
        session = ast.literal_eval(sessions[-1].partition(":")[2].strip()) if sessions else {}
        numbers = [int(number) for number in session.get("grids", ())]
        return {number: _grid(session, k) for k, number in enumerate(numbers)}
    except (
        SyntaxError,
        ValueError,
        TypeError,
        AttributeError,
        RecursionError,
        MemoryError,
    ) as error:
        raise InputError(f"{path.name}: its line SESSION cannot be read ({error})") from error


def _grid(session: dict[str, Any], k: int) -> _StageGrid:
    sizes, angles = session.get("pixel_sizes", ()), session.get("rotation_angles", ())
    section = session.get("slice_thickness")
    return _StageGrid(
        _length(sizes[k]) if k < len(sizes) else None,
        float(angles[k]) if k < len(angles) else 0.0,
        _length(section) if section is not None else None,
    )


def _length(value: Any) -> float | None:  # noqa: ANN401  # whatever the file holds
    return float(value) if 0 < float(value) < math.inf else None


def _check_grids(rows: Sequence[_Row], grids: Sequence[_StageGrid]) -> None:
    numbers = sorted({row.grid for row in rows})
    if len(numbers) > 1:
        raise InputError(
            f"{rows[0].place}: the tiles are of the grids {', '.join(map(str, numbers))},"
            " expected one: each is a mosaic of its own",
            remedy=_ONE_GRID,
        )
    for row, grid in zip(rows, grids, strict=True):
        if grid.angle_deg % 360:
            raise InputError(
                f"{row.place}: grid {row.grid} was turned by {grid.angle_deg:g} deg against the"
                " coordinates of the list, expected 0",
                remedy="give the places of its tiles along the image in a tile_table",
            )


def _described(
    root: Path, row: _Row, grid: _StageGrid, settings: InspectSettings, log: ProblemLog
) -> Draft:
    draft = Draft(row.slice_id, row.path, "sbemimage", z_mm=row.z_nm / _NM_PER_MM)
    if settings.pixel_size_um is None and grid.pixel_nm is not None:
        settings = replace(settings, pixel_size_um=grid.pixel_nm / _NM_PER_UM)
    describe_image(draft, root / row.path, settings, log)
    if draft.geometry is not None:
        y_nm, x_nm = row.corner_nm
        draft.centre_mm = (
            y_nm / _NM_PER_MM + draft.geometry.n_bscans * draft.geometry.pitch_slow_um / 2000,
            x_nm / _NM_PER_MM + draft.geometry.n_alines * draft.geometry.pitch_fast_um / 2000,
        )
        draft.positions = "stage"
    if grid.section_nm is not None:
        draft.pitch_z_um = grid.section_nm / _NM_PER_UM
    return draft
