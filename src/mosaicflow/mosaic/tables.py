"""What is written of the places of tiles: tables, metrics and warnings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.errors import InputError
from mosaicflow.io.tables import read_csv, read_document, write_csv, write_document
from mosaicflow.mosaic.lattice import fit_lattice, neighbours
from mosaicflow.mosaic.link import Link
from mosaicflow.mosaic.stage_model import stage_model_error
from mosaicflow.names import labels_in
from mosaicflow.reasons import Concern

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mosaicflow.io.grids import MosaicGrid
    from mosaicflow.io.report import StageReport
    from mosaicflow.mosaic.link import Tile
    from mosaicflow.mosaic.placement import Placement

__all__ = [
    "SliceLinks",
    "read_slice_links",
    "report_placement",
    "write_lattice",
    "write_links",
    "write_positions",
    "write_residuals",
    "write_stage",
]

# Scale of the steps that is worth a warning [1], and how many standard errors it must be off by at
# least. Of drawn stages that miss by 2 px, single slices of 3 x 3 tiles with a model of their own
# that are sound were accused at twice the error, none at three times; of 2 x 2 tiles 8 and 2 %. A
# pitch that is 3 % wrong is told in all slices of five by five tiles.
_LEAST_SCALE_ERROR, _SCALE_ERRORS = 0.015, 3.0
# Islands that a warning names; the table names all.
_NAMED = 4
# No tile lies farther off [px]: squares of what is written there must not overflow.
_FARTHEST_PX = 1e9
# An error along one direction only leans by 1; six decimals may make it more.
_LARGEST_LEAN = 1.001
# What both tables of links begin with.
_SHIFT_COLUMNS = ("iy_a", "ix_a", "iy_b", "ix_b", "dy_px", "dx_px")


def write_positions(
    path: Path, placement: Placement, source: str, files: Mapping[Tile, str]
) -> None:
    """Write where each tile lies, how that is known and how well.

    Parameters
    ----------
    path : Path
        zNN_tile_positions.csv.
    placement : Placement
        The slice.
    source : str
        Positions that were kept: optimised, lattice or stage.
    files : mapping
        Tile -> its file or folder, relative to the raw folder.
    """
    fallback = "lattice" if source == "optimised" else source
    measured = placement.measured if source == "optimised" else frozenset()
    island = {tile: n for n, part in enumerate(placement.islands) for tile in part}
    n_links = dict.fromkeys(placement.positions_px, 0)
    for link in placement.links:
        for tile in (link.a, link.b):
            n_links[tile] += link.used
    columns = ["iy", "ix", "row_px", "col_px", "z_px", "valid", "n_links", "residual_px"]
    write_csv(
        path,
        [*columns, "source", "sigma_px", "island", "file"],
        (
            {
                "iy": tile[0],
                "ix": tile[1],
                "row_px": round(y, 6),
                "col_px": round(x, 6),
                "z_px": 0.0,
                "valid": True,
                "n_links": n_links[tile],
                "residual_px": rounded(placement.residuals_px.get(tile)),
                "source": "optimised" if tile in measured else fallback,
                "sigma_px": rounded(placement.sigma_px.get(tile)),
                "island": island.get(tile),
                "file": files.get(tile),
            }
            for tile, (y, x) in sorted(placement.positions_px.items())
        ),
    )


def write_links(path: Path, links: Sequence[Link]) -> None:
    """Write every measured shift that chance does not explain (zNN_tile_links.csv)."""
    columns = ["ncc", "peak_ratio", "evidence", "sigma_px", "lean_y", "lean_yx"]
    write_csv(
        path,
        [*_SHIFT_COLUMNS, *columns, "scatter", "common_px", "stage_ncc"],
        (
            {
                **_shift_cells(link),
                "ncc": round(link.ncc, 6),
                "peak_ratio": round(link.peak_ratio, 6),
                "evidence": rounded(link.evidence),
                "sigma_px": rounded(link.sigma_px),
                "lean_y": rounded(link.lean[0]),
                "lean_yx": rounded(link.lean[1]),
                "scatter": rounded(link.scatter),
                "common_px": rounded(link.common_px),
                "stage_ncc": rounded(link.stage_ncc),
            }
            for link in links
        ),
    )


def write_residuals(path: Path, placement: Placement) -> None:
    """Write what became of every measured shift (zNN_link_residuals.csv)."""
    columns = ["residual_y_px", "residual_x_px", "sigma_px", "weight", "used"]
    at = placement.positions_px
    write_csv(
        path,
        [*_SHIFT_COLUMNS, *columns],
        (
            {
                **_shift_cells(link),
                "residual_y_px": round(link.shift_px[0] - at[link.b][0] + at[link.a][0], 6),
                "residual_x_px": round(link.shift_px[1] - at[link.b][1] + at[link.a][1], 6),
                "sigma_px": rounded(float(np.hypot(link.sigma_px, link.common_px))),
                "weight": round(link.weight, 6),
                "used": link.used,
            }
            for link in placement.links
        ),
    )


def _shift_cells(link: Link) -> dict[str, object]:
    """Cells of `_SHIFT_COLUMNS`: the two tiles, and the shift between them."""
    values = (*link.a, *link.b, *(round(shift, 6) for shift in link.shift_px))
    return dict(zip(_SHIFT_COLUMNS, values, strict=True))


def write_stage(
    path: Path, source: MosaicGrid, stage_px: Mapping[Tile, tuple[float, float]]
) -> None:
    """Write where the stage has the tiles of a slice (zNN_tile_stage.json)."""
    document = {
        "slice_id": source.slice_id,
        "tile_shape": list(source.tile_shape),
        "pitch_um": [1000 * pitch for pitch in source.pitch_mm],
        "stage_px": [[iy, ix, y, x] for (iy, ix), (y, x) in sorted(stage_px.items())],
    }
    write_document(path, document)


@dataclass(frozen=True, slots=True)
class SliceLinks:
    """What is known of the tiles of one slice before they are placed.

    Parameters
    ----------
    name : str
        Its name in files, such as z07.
    slice_id : int
        Its number.
    tile_shape : (int, int, int)
        Samples of a tile (z, y, x).
    pitch_um : (float, float, float)
        Native sample spacing (z, y, x).
    stage_px : mapping
        Tile -> (y, x) where the stage has it.
    links : tuple of Link
        Measured shifts.
    """

    name: str
    slice_id: int
    tile_shape: tuple[int, int, int]
    pitch_um: tuple[float, float, float]
    stage_px: Mapping[Tile, tuple[float, float]]
    links: tuple[Link, ...]


def read_slice_links(links: Path, stage: Path) -> SliceLinks:
    """Read zNN_tile_links.csv and zNN_tile_stage.json of one slice.

    Raises
    ------
    InputError
        For a place or shift that no tile can have, or an error that leans by more than it is.
    """
    known = read_document(stage)
    rows = read_csv(links, ["iy_a", "ix_a", "iy_b", "ix_b", "dy_px", "dx_px", "ncc"])
    found = SliceLinks(
        labels_in(links.name)[0],
        int(known["slice_id"]),
        tuple(known["tile_shape"]),
        tuple(known["pitch_um"]),
        {(int(iy), int(ix)): (float(y), float(x)) for iy, ix, y, x in known["stage_px"]},
        tuple(_link(row) for row in rows),
    )
    _require_below(_FARTHEST_PX, stage.name, found.stage_px)
    _require_below(_FARTHEST_PX, links.name, {(k.a, k.b): k.shift_px for k in found.links})
    _require_below(_LARGEST_LEAN, links.name, {(k.a, k.b): k.lean for k in found.links})
    return found


def _require_below(most: float, name: str, values: Mapping[Any, tuple[float, float]]) -> None:
    for tiles, pair in values.items():
        if not np.hypot(*pair) < most:  # NaN neither
            raise InputError(
                f"{name}: found {pair} for {tiles}, expected numbers below {most:g}",
                remedy="make it again with estimate_tile_positions",
            )


def _link(row: Mapping[str, str]) -> Link:
    def number(name: str) -> float:
        return float(row.get(name) or "nan")

    return Link(
        (int(row["iy_a"]), int(row["ix_a"])),
        (int(row["iy_b"]), int(row["ix_b"])),
        (float(row["dy_px"]), float(row["dx_px"])),
        float(row["ncc"]),
        number("peak_ratio"),
        evidence=number("evidence"),
        sigma_px=number("sigma_px"),
        lean=(float(row.get("lean_y") or 0.0), float(row.get("lean_yx") or 0.0)),
        scatter=number("scatter"),
        common_px=float(row.get("common_px") or 0.0),
        stage_ncc=number("stage_ncc"),
    )


def write_lattice(path: Path, placement: Placement, tile_yx: tuple[int, int]) -> None:
    """Write the 2 x 2 matrix from lattice index to px (zNN_transform_xy.npy)."""
    partial = path.with_name(f".{path.stem}.tmp.npy")
    np.save(partial, fit_lattice(placement.positions_px, tile_yx))
    partial.replace(path)


def rounded(value: float | None) -> float | None:
    """Six decimals; nothing where nothing is known."""
    return None if value is None or not np.isfinite(value) else round(value, 6)


def report_placement(
    report: StageReport,
    stage_px: Mapping[Tile, tuple[float, float]],
    placement: Placement,
    decision: Mapping[str, Any],
    n_links: int = 0,
) -> None:
    """Add what a placement rests on to the metrics of its slice.

    `n_links` is how many links its stage model was fitted to, where other slices told of it, too.
    """
    used = [link for link in placement.links if link.used]
    report.metric("source", str(decision["source"]))
    for name, value in decision.items():
        if name.endswith("_px") and np.isfinite(value):
            report.metric(name, value)
    for name in ("ncc", "stage_ncc"):
        if np.isfinite(decision[name]):
            report.metric(f"median_{name}", decision[name])
    residuals = list(placement.residuals_px.values())
    if residuals:
        rms = float(np.sqrt(np.mean(np.square(residuals))))
        report.metric("rms_residual", rms)
    if used:
        sigma = float(np.median([link.sigma_px for link in used]))
        report.metric("link_sigma", sigma)
        report.metric("stage_step_sigma", placement.step_sigma_px)
    report.metric("links_used", len(used))
    report.metric("links_possible", len(neighbours(stage_px)))
    _report_model(report, stage_px, placement, max(n_links, len(placement.links)))
    _report_islands(report, placement, len(stage_px))
    report.section("stage_model", placement.model)


def _report_model(
    report: StageReport,
    stage_px: Mapping[Tile, tuple[float, float]],
    placement: Placement,
    n_links: int,
) -> None:
    scales = np.linalg.norm(placement.model, axis=0)
    uncertain = stage_model_error(placement.links, stage_px, placement.model)
    uncertain *= np.sqrt(len(placement.links) / max(n_links, 1))
    most = np.maximum(_LEAST_SCALE_ERROR, _SCALE_ERRORS * uncertain)
    if (np.abs(scales - 1) > most).any():
        report.warn(
            f"steps in the image are {scales[0]:.3f} (y) and {scales[1]:.3f} (x) of the reported "
            "ones: the pixel pitch or the overlap may be declared wrong",
            Concern.OFF_PITCH,
        )
    theta = float(np.rad2deg(np.arctan2(placement.model[1, 0], placement.model[0, 0])))
    report.metric("theta", theta)
    report.metric("scale_y", float(scales[0]))
    report.metric("scale_x", float(scales[1]))


def _report_islands(report: StageReport, placement: Placement, n_tiles: int) -> None:
    """Name what no link joins to the largest part: its place is assumed."""
    others = placement.islands[1:] if placement.measured else placement.islands
    apart = sum(len(part) for part in others)
    report.metric("islands", len(others))
    report.metric("tiles_in_islands", apart)
    linked = {tile for link in placement.links if link.used for tile in (link.a, link.b)}
    report.metric("tiles_without_link", n_tiles - len(linked))
    if not apart or n_tiles == 1:
        return
    sigma = {tile: placement.sigma_px.get(tile, float("nan")) for part in others for tile in part}
    report.metric("island_sigma", float(np.median(list(sigma.values()))))
    names = ", ".join(
        f"({part[0][0]}, {part[0][1]})"
        + (f" and {len(part) - 1} more" if len(part) > 1 else "")
        + f" +- {sigma[part[0]]:.1f} px"
        for part in others[:_NAMED]
    )
    more = f" and {len(others) - _NAMED} more islands" if len(others) > _NAMED else ""
    report.warn(
        f"the overlaps of {apart} of {n_tiles} tiles could not be measured, or join no others: "
        f"these tiles lie where the stage model puts them: (iy, ix) = {names}{more}",
        Concern.LOOSE_TILES,
    )
