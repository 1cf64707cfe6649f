"""From a raw folder to the tile table of the whole acquisition, without reading image data."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mosaicflow.acquisition.drafts import by_slice
from mosaicflow.acquisition.find.oct_source import collect_oct_tiles, read_overlap
from mosaicflow.acquisition.find.sbem_project import collect_project_tiles, image_lists
from mosaicflow.acquisition.find.table_source import TABLE_NAME, collect_table_tiles
from mosaicflow.acquisition.find.tiff_source import collect_tiff_tiles
from mosaicflow.acquisition.image_sources import has_source, refused_kinds
from mosaicflow.acquisition.place.assemble import SliceContext, assemble_slice
from mosaicflow.acquisition.place.run_checks import check_slices
from mosaicflow.acquisition.place.stage_model import with_signs
from mosaicflow.acquisition.problems import Problem, ProblemLog
from mosaicflow.acquisition.tiles import Reader, SliceTiles
from mosaicflow.errors import InputError
from mosaicflow.io.remote_files import at_address, is_remote
from mosaicflow.limits import MOST_SLICES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mosaicflow.acquisition.drafts import Draft
    from mosaicflow.acquisition.settings import InspectSettings

__all__ = ["Acquisition", "discover"]

# Names shown in a message, by judgement. Doubled, the line is longer than a terminal's.
_NAMES_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Acquisition:
    """All slices of an acquisition and all problems found in it.

    Parameters
    ----------
    root_name : str
        Name of the raw folder.
    layout : str
        Layouts met, joined by ``+``.
    slices : tuple of SliceTiles
        Sorted by id.
    problems : tuple of Problem
        Of the run and of every slice.
    """

    root_name: str
    layout: str
    slices: tuple[SliceTiles, ...]
    problems: tuple[Problem, ...]

    @property
    def stops(self) -> list[Problem]:
        """The problems that forbid a run."""
        return [problem for problem in self.problems if problem.action == "stop"]

    def raise_on_stop(self) -> None:
        """Raise an `InputError` for the first stopping problem."""
        ProblemLog(problems=list(self.problems)).raise_on_stop()

    def to_dict(self) -> dict[str, Any]:
        """Give the content of ``acquisition.json``."""
        return {
            "root": self.root_name,
            "layout": self.layout,
            "stage": _run_stage(self.slices),
            "slices": [tiles.to_dict(with_files=False) for tiles in self.slices],
            "problems": [problem.to_dict() for problem in self.problems],
        }


def discover(raw: Path, settings: InspectSettings) -> Acquisition:
    """Find every tile below a raw folder and check names, parameters, positions and sizes.

    Parameters
    ----------
    raw : Path
        Folder of an acquisition, or a tile table (CSV) that lies in it.
    settings : InspectSettings
        What the user decided.

    Returns
    -------
    Acquisition
        Problems that forbid a run are listed in it, not raised.

    Raises
    ------
    InputError
        When the folder does not exist or holds no tile.
    """
    root, table = _root_and_table(at_address(raw, whole=True), settings)
    log = ProblemLog(strict=settings.strict)
    drafts = _collect(root, table, settings, log)
    if not drafts:
        raise _nothing_found(root, settings)
    _check_ids(drafts)
    # A link keeps its own name.
    root_name = root.name if is_remote(root) else Path(os.path.abspath(root)).name
    slices = []
    for slice_id, members in by_slice(drafts):
        context = _context(root, root_name, slice_id, members, settings)
        slices.append(assemble_slice(members, context, settings, log))
    slices = _share_signs(slices)
    own = _with_lattice_index(log.problems, slices)
    slices = _with_problems(slices, own)
    # What depends on other slices stays out of a slice's list, which is its cache key.
    across = ProblemLog(strict=settings.strict)
    check_slices(slices, settings, across)
    _stop_without_slice(slices, across)
    problems = [*own, *across.problems]
    layouts = sorted({draft.layout for draft in drafts})
    return Acquisition(root_name, "+".join(layouts), tuple(slices), tuple(problems))


def _root_and_table(raw: Path, settings: InspectSettings) -> tuple[Path, Path | None]:
    if raw.is_file() and raw.suffix.lower() == ".csv":
        return raw.parent, raw
    if not raw.is_dir():
        raise InputError(
            f"{raw}: not found or not a folder",
            remedy="give the folder that holds the tiles of the acquisition",
        )
    if settings.tile_table is not None:
        return raw, settings.tile_table
    if not is_remote(raw) and not os.access(raw, os.R_OK | os.X_OK):
        raise InputError(f"{raw}: the folder cannot be read", remedy="change its permissions")
    beside = raw / TABLE_NAME
    return raw, beside if beside.is_file() else None


def _collect(
    root: Path, table: Path | None, settings: InspectSettings, log: ProblemLog
) -> list[Draft]:
    if settings.layout == "table" and table is None:
        raise InputError(f"{root}: has no {TABLE_NAME}", remedy="name the table with --tile_table")
    if table is not None and settings.layout in ("auto", "table"):
        return collect_table_tiles(root, table, settings, log)
    if settings.layout == "auto" and (lists := image_lists(root)):
        return collect_project_tiles(root, lists, settings, log)
    if settings.layout != "tiff" and (drafts := collect_oct_tiles(root, settings, log)):
        return drafts
    if settings.layout in ("auto", "tiff"):
        return collect_tiff_tiles(root, settings, log)
    return []


def _nothing_found(root: Path, settings: InspectSettings) -> InputError:
    entries = itertools.islice(root.iterdir(), 10_000)
    names = sorted(entry.name for entry in entries if not entry.name.startswith("."))
    seen = ", ".join(names[:_NAMES_SHOWN]) + (" ..." if len(names) > _NAMES_SHOWN else "")
    only = f" among slices {settings.debug_slices}" if settings.debug_slices else ""
    return InputError(
        f"{root}: no tile found{only}; looked for tile_xX_yY_zZ folders (also in zNN/ and "
        "slice_zNN/tiles/), TIFF, CZI, LIF, ND2, NIfTI, MAT, OME-Zarr, PNG and JPEG files (also "
        f"in zNN/), SBEMimage projects and {TABLE_NAME}; found: {seen or 'nothing'}",
        remedy=refused_kinds(names),
    )


def _check_ids(drafts: Sequence[Draft]) -> None:
    # Every id between the first and the last gets a row in the ledger.
    ids = sorted(draft.slice_id for draft in drafts)
    if ids[-1] - ids[0] < MOST_SLICES:
        return
    odd = max(drafts, key=lambda draft: abs(draft.slice_id - ids[len(ids) // 2]))
    raise InputError(
        f"{odd.path}: slice {odd.slice_id} lies far from the others; slices {ids[0]} to {ids[-1]} "
        f"were found, expected less than {MOST_SLICES}",
        remedy="correct the name, or choose slices with --debug_slices",
    )


def _context(
    root: Path, root_name: str, slice_id: int, drafts: Sequence[Draft], settings: InspectSettings
) -> SliceContext:
    layouts = [draft.layout for draft in drafts]
    layout = max(sorted(set(layouts)), key=layouts.count)
    if layout == "tiff" or any(has_source(n) for d in drafts for n in _names(d)):
        reader = Reader("tiff", "", settings.image_orientation)
    else:
        reader = Reader("oct", settings.sample_type, settings.oct_orientation)
    noted = read_overlap(root, slice_id) if reader.format == "oct" else None
    overlap = settings.overlap_fraction if noted is None else noted
    return SliceContext(slice_id, root_name, layout, reader, overlap)


def _names(draft: Draft) -> list[str]:
    return [draft.path.rpartition("/")[2], *(file.name for file in draft.files)]


def _stop_without_slice(slices: Sequence[SliceTiles], log: ProblemLog) -> None:
    # Archived metadata gives no image either, but tells how far the stage moved.
    if any(not tiles.failure or tiles.layout == "archived" for tiles in slices):
        return
    log.add(
        "no_usable_slice", "stop",
        f"none of the {len(slices)} slices can be built; the first: {slices[0].failure}",
        remedy=slices[0].remedy,
    )  # fmt: skip


def _share_signs(slices: Sequence[SliceTiles]) -> list[SliceTiles]:
    # A single row cannot tell its direction, but the same stage moved for every slice.
    signs = []
    for axis in ("y", "x"):
        counts = Counter(getattr(tiles.stage, axis).sign for tiles in slices)
        counts.pop(0, None)
        signs.append(counts.most_common(1)[0][0] if len(counts) == 1 else 0)
    pair = (signs[0], signs[1])
    return [
        dataclasses.replace(tiles, stage=with_signs(tiles.stage, pair))
        if tiles.positions != "nominal"
        else tiles
        for tiles in slices
    ]


def _with_lattice_index(problems: Sequence[Problem], slices: Sequence[SliceTiles]) -> list[Problem]:
    origins: dict[int | None, tuple[int, int]] = {t.slice_id: t.index_origin for t in slices}
    moved = []
    for problem in problems:
        iy, ix = origins.get(problem.slice_id, (0, 0))
        if problem.tile is not None and (iy, ix) != (0, 0):
            tile = (problem.tile[0] - iy, problem.tile[1] - ix)
            problem = dataclasses.replace(problem, tile=tile)
        moved.append(problem)
    return moved


def _with_problems(slices: Sequence[SliceTiles], problems: Sequence[Problem]) -> list[SliceTiles]:
    own: dict[int | None, list[Problem]] = defaultdict(list)
    for problem in problems:
        own[problem.slice_id].append(problem)
    return [dataclasses.replace(one, problems=tuple(own[one.slice_id])) for one in slices]


def _run_stage(slices: Sequence[SliceTiles]) -> dict[str, Any]:
    stage: dict[str, Any] = {}
    for name in ("y", "x"):
        axes = [getattr(tiles.stage, name) for tiles in slices]
        steps = sorted(axis.step_mm for axis in axes if axis.step_mm is not None)
        overlaps = sorted(axis.overlap for axis in axes if axis.overlap is not None)
        signs = {axis.sign for axis in axes} - {0}
        stage[name] = {
            "sign": signs.pop() if len(signs) == 1 else 0,
            "step_mm": steps[len(steps) // 2] if steps else None,
            "overlap": overlaps[len(overlaps) // 2] if overlaps else None,
        }
    return stage
