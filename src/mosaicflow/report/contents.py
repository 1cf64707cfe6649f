"""Everything that the page of a run shows, gathered before any of it is drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mosaicflow import names
from mosaicflow.report.causes import Finding, by_severity, findings
from mosaicflow.report.counts import Counts, Repair, count, repairs
from mosaicflow.report.joints import failed_below, joint_findings, joints_of, unlike_slices
from mosaicflow.report.plots import Vectors
from mosaicflow.report.records import Lost, Measured, RunFiles, lost_slices, read_measured, worst
from mosaicflow.report.slices import SliceRow, slice_rows
from mosaicflow.report.verdict import Verdict, judge

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mosaicflow.report.about import Facts

__all__ = ["Contents", "gather", "tile_vectors"]


@dataclass(frozen=True)
class Contents:
    """What is known about a run.

    Parameters
    ----------
    files : RunFiles
        All its small files.
    facts : Facts
        What only the engine knows.
    measured : tuple of Measured
        All metrics files.
    lost : tuple of Lost
        Slices without image.
    rows : tuple of SliceRow
        One per slice, by id.
    counts : Counts
        What went in and came out.
    repairs : tuple of Repair
        What was left out or changed among the raw data.
    findings : tuple of Finding
        What was noticed, by cause.
    verdict : Verdict
        How far to trust the volume.
    alignment : mapping
        Content of ``alignment.json``.
    """

    files: RunFiles
    facts: Facts
    measured: tuple[Measured, ...]
    lost: tuple[Lost, ...]
    rows: tuple[SliceRow, ...]
    counts: Counts
    repairs: tuple[Repair, ...]
    findings: tuple[Finding, ...]
    verdict: Verdict
    alignment: Mapping[str, Any]

    @property
    def worst_first(self) -> list[SliceRow]:
        """The slices, those to look at first on top."""
        order = {"error": 0, "warning": 1}
        return sorted(self.rows, key=lambda row: (order.get(row.status, 2), row.slice_id))

    def value(self, stage: str, name: str) -> float | str | bool | None:
        """Give a number about the whole run; None where it was not measured."""
        found = [
            one.metrics[name] for one in self.measured if one.stage == stage and name in one.metrics
        ]
        return found[0].value if found else None


def gather(files: RunFiles, facts: Facts) -> Contents:
    """Read everything that a run wrote about itself.

    Parameters
    ----------
    files : RunFiles
        Of the run.
    facts : Facts
        What only the engine knows.

    Returns
    -------
    Contents
    """
    measured, lost = read_measured(files), lost_slices(files)
    gone = {one.slice_id for one in lost}
    joints = joints_of(measured, gone)
    unlike = unlike_slices(joints, failed_below(measured))
    rows = tuple(
        replace(row, status=worst([row.status, unlike.get(row.slice_id, "ok")]))
        for row in slice_rows(files, measured, lost)
    )
    alignment = files.json(names.ALIGNMENT.of())
    return Contents(
        files,
        facts,
        measured,
        lost,
        rows,
        count(files, measured, lost),
        repairs(files),
        by_severity((*findings(measured, gone), *joint_findings(unlike, joints))),
        judge(measured, rows, lost, alignment),
        alignment,
    )


def tile_vectors(contents: Contents) -> tuple[Vectors, ...]:
    """Show one slice's tiles: where images put them against the stage, and what links leave.

    Parameters
    ----------
    contents : Contents
        Of the run; the slice with the largest residual is shown, as the one to look at.

    Returns
    -------
    tuple of Vectors
        Of the files that are there.
    """
    known = [row for row in contents.rows if row.residual_px is not None]
    if not known:
        return ()
    chosen = max(known, key=lambda row: row.residual_px or 0.0).slice_id
    tables = [path.name for path in contents.files.of(names.POSITIONS)]
    table = next((name for name in tables if names.about(name) == (chosen,)), None)
    if table is None:
        return ()
    (label,) = names.labels_in(table)
    places = _places(contents.files.rows(table))
    return (
        _moves(chosen, places, contents.files.json(names.STAGE.of(label))),
        _residuals(chosen, places, contents.files.rows(names.RESIDUALS.of(label))),
    )


Place = tuple[float, float]


def _places(rows: Sequence[Mapping[str, str]]) -> dict[tuple[int, int], Place]:
    return {
        (int(row["iy"]), int(row["ix"])): (float(row["row_px"]), float(row["col_px"]))
        for row in rows
        if row["row_px"]
    }


def _moves(
    slice_id: int, places: Mapping[tuple[int, int], Place], stage: Mapping[str, Any]
) -> Vectors:
    """Compare with the stage's own places, both taken from their mean."""
    told = {(int(iy), int(ix)): (float(y), float(x)) for iy, ix, y, x in stage.get("stage_px", ())}
    both = sorted(set(places) & set(told))
    differences = [_minus(places[one], told[one]) for one in both]
    middle = _mean(differences)
    return Vectors(
        f"Tiles of slice {slice_id}: stage against images",
        "from where the stage has each tile to where its images put it, less their mean",
        [places[one] for one in both],
        [_minus(one, middle) for one in differences],
    )


def _residuals(
    slice_id: int, places: Mapping[tuple[int, int], Place], rows: Sequence[Mapping[str, str]]
) -> Vectors:
    """Draw what the places leave of each link, between its two tiles."""
    starts, arrows = [], []
    for row in rows:
        ends = [(int(row[f"iy_{end}"]), int(row[f"ix_{end}"])) for end in "ab"]
        if row.get("used") != "true" or any(end not in places for end in ends):
            continue
        starts.append(_mean([places[end] for end in ends]))
        arrows.append((float(row["residual_y_px"]), float(row["residual_x_px"])))
    title = f"Link residuals of slice {slice_id}"
    return Vectors(title, "what the places leave of each overlap that was used", starts, arrows)


def _minus(first: Place, second: Place) -> Place:
    return first[0] - second[0], first[1] - second[1]


def _mean(places: Sequence[Place]) -> Place:
    n = max(len(places), 1)
    return sum(one[0] for one in places) / n, sum(one[1] for one in places) / n
