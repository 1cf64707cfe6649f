"""What went in and what came out of a run, and what was left out or repaired on the way."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mosaicflow import names
from mosaicflow.io.tables import read_json
from mosaicflow.names import parse_slice_id
from mosaicflow.report.records import lost_slices

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mosaicflow.report.records import Lost, Measured, RunFiles

__all__ = ["Counts", "Repair", "check_counts", "count", "repairs"]


@dataclass(frozen=True, slots=True)
class Counts:
    """Slices, tiles and pairs of a run; None is "not measured".

    Parameters
    ----------
    slices, placed : int
        Slices with a tile list, and slices in the volume.
    lost : mapping of str to int
        Slices without image, by who decided.
    tiles, tiles_placed, tiles_unusable, tiles_unplaced : int or None
        Tiles found, in the grids, left out for a reason, without a position.
    pairs, pairs_used : int
        Pairs of slices compared; those used in full or in part.
    pairs_apart, pairs_failed : int
        Pairs that share no tissue; pairs that could not be compared.
    """

    slices: int
    placed: int
    lost: Mapping[str, int]
    tiles: int | None
    tiles_placed: int | None
    tiles_unusable: int | None
    tiles_unplaced: int | None
    pairs: int
    pairs_used: int | None
    pairs_apart: int
    pairs_failed: int


@dataclass(frozen=True, slots=True)
class Repair:
    """Something that was left out or changed on the way in, however often.

    Parameters
    ----------
    code : str
        Short name, as in the tables.
    action : str
        ``keep``, ``repair``, ``skip``, ``fail`` or ``stop``.
    text : str
        The first of its sentences.
    count : int
        How often.
    where : tuple of int
        Slices concerned.
    """

    code: str
    action: str
    text: str
    count: int
    where: tuple[int, ...]


def count(files: RunFiles, measured: Sequence[Measured], lost: Sequence[Lost]) -> Counts:
    """Count what went in and what came out.

    Parameters
    ----------
    files : RunFiles
        Of a run.
    measured : sequence of Measured
        All its metrics files.
    lost : sequence of Lost
        Slices without image.

    Returns
    -------
    Counts
    """
    stage = "create_mosaic_grid"
    grids = [one for one in measured if one.stage == stage and not one.channel]
    pairs = [one for one in measured if one.stage == "register_pairwise"]
    alignment = next((one for one in measured if one.stage == "solve_alignment"), None)
    used = None if alignment is None else alignment.number("links_used")
    return Counts(
        slices=len(files.of(names.TILES)),
        placed=len(files.json(names.ALIGNMENT.of()).get("slices", ())),
        lost=Counter(one.kind for one in lost),
        tiles=_sum(grids, "tiles_found"),
        tiles_placed=_sum(grids, "tiles_placed"),
        tiles_unusable=_sum(grids, "tiles_unusable"),
        tiles_unplaced=_sum(grids, "tiles_unplaced"),
        pairs=len(pairs),
        pairs_used=None if used is None else int(used),
        pairs_apart=sum(_is_apart(one) for one in pairs),
        pairs_failed=len(files.of(names.PAIR_FAILURE)),
    )


def _sum(measured: Sequence[Measured], name: str) -> int | None:
    values = [one.number(name) for one in measured]
    known = [value for value in values if value is not None]
    return int(sum(known)) if known else None


def _is_apart(one: Measured) -> bool:
    return "not_used" in (one.status, *(metric.status for metric in one.metrics.values()))


def check_counts(files: RunFiles) -> list[int]:
    """Name the slices that went in and neither came out nor left a record.

    Parameters
    ----------
    files : RunFiles
        Of a run.

    Returns
    -------
    list of int
        Ids, ascending; none where nothing was lost in silence.
    """
    arrived = {parse_slice_id(path.name) for path in files.of(names.TILES)}
    made = files.of(names.NORMALIZED_METRICS)
    done = {parse_slice_id(path.name) for path in made}
    return sorted(arrived - done - {one.slice_id for one in lost_slices(files)})


def repairs(files: RunFiles) -> tuple[Repair, ...]:
    """List what was left out or repaired among the raw data, grouped by kind.

    Parameters
    ----------
    files : RunFiles
        Of a run.

    Returns
    -------
    tuple of Repair
        What was left out first, then repairs, the most frequent first.
    """
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    seen = set()
    for problem in _problems(files):
        identity = tuple(str(problem.get(key)) for key in ("code", "slice", "tile", "path"))
        if problem.get("action") != "keep" and identity not in seen:
            seen.add(identity)
            found.setdefault((problem["action"], problem["code"]), []).append(problem)
    return tuple(
        sorted(
            (_repair(group) for group in found.values()),
            key=lambda one: (one.action == "repair", -one.count, one.code),
        )
    )


def _problems(files: RunFiles) -> list[dict[str, Any]]:
    found = list(files.json(names.ACQUISITION.of()).get("problems", ()))
    for path in files.named(r".*\.problems\.json"):
        listed = read_json(path)
        # 0.1.0 wrote the bare list.
        found += listed if isinstance(listed, list) else listed["problems"]
    return found


def _repair(group: Sequence[Mapping[str, Any]]) -> Repair:
    first = group[0]
    place = f"{first['path']}: " if first.get("path") else ""
    slices = {int(one["slice"]) for one in group if one.get("slice") is not None}
    return Repair(
        first["code"],
        first["action"],
        f"{place}{first['message']}",
        len(group),
        tuple(sorted(slices)),
    )
