"""The page of a run: one file that needs nothing else."""

from __future__ import annotations

import math
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from mosaicflow import __version__, names
from mosaicflow.report.contents import tile_vectors
from mosaicflow.report.pictures import run_pictures
from mosaicflow.report.plots import Plot, shift_plot, trend_plots, vector_plot
from mosaicflow.report.rendering import NOT_MEASURED, fill, number, share

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mosaicflow.report.contents import Contents
    from mosaicflow.report.slices import SliceRow

__all__ = ["COLUMNS", "render"]

# Packages whose version may change a number.
_PACKAGES = ("numpy", "scipy", "scikit-image", "zarr", "zarrs", "numcodecs", "dask", "tifffile")


def render(contents: Contents) -> str:
    """Write the page.

    Parameters
    ----------
    contents : Contents
        What is known about the run.

    Returns
    -------
    str
        HTML with all styles and pictures in it.
    """
    volume, layout, slices = run_pictures(contents.files, contents.facts.volume)
    return fill(
        "report.html.j2",
        it=contents,
        name=contents.facts.volume.removesuffix(".ome.zarr"),
        volume=volume,
        layout=layout,
        pictures=slices,
        status_of={row.slice_id: row.status for row in contents.rows},
        **_columns(contents.rows),
        plots=_plots(contents),
        versions=_versions(contents),
        light=_light(contents),
        size=_size(contents),
    )


# Title, tooltip, and how a row is written.
COLUMNS: tuple[tuple[str, str, Any], ...] = (
    (
        "tiles by evidence",
        "tiles placed by what overlaps show, of the tiles in the grid; the others follow the stage",
        lambda row: _of(row.by_evidence, row.tiles),
    ),
    ("links", "overlaps used, of those there are", lambda row: _of(row.links, row.links_possible)),
    (
        "residual px",
        "what the placement leaves of the links, rms",
        lambda row: number(row.residual_px),
    ),
    (
        "seam",
        "brightness gradient across seams over elsewhere; 1 is none",
        lambda row: number(row.seam_ratio),
    ),
    (
        "flat field left %",
        "shading that repeats with the tiles after the flat field, rms, of what tiles at random "
        "places leave by chance; measured where 12 tiles or more are full of specimen",
        lambda row: _beside(row.shading_percent, row.shading_chance_percent),
    ),
    (
        "correlation",
        "with the next slice that shares tissue, after registration",
        lambda row: number(row.correlation),
    ),
    (
        "held out: stage → placed",
        "correlation of parts that were not used for the fit, by the stage alone and as placed",
        lambda row: _pair(row.held_out_stage, row.held_out),
    ),
    (
        "moved px",
        "distance from where the stage has the slice",
        lambda row: number(_length(row.moved_px)),
    ),
    ("turn °", "rotation found", lambda row: number(row.rotation_deg)),
    (
        "misses px",
        "by how much pairs miss this place when it is predicted without them",
        lambda row: number(row.loop_px),
    ),
    (
        "section above µm",
        "thickness, its standard error, measured or assumed",
        lambda row: _thickness(row),
    ),
    (
        "outside display",
        "tissue voxels stored below 0 and above 1",
        lambda row: _outside(row),
    ),
)


def _columns(rows: Sequence[SliceRow]) -> dict[str, Any]:
    """Write the cells; what no slice has is named below the table."""
    written = [
        (title, text, {row.slice_id: write(row) for row in rows if row.lost is None})
        for title, text, write in COLUMNS
    ]
    empty = [title for title, _, cells in written if set(cells.values()) <= {NOT_MEASURED}]
    return {"columns": [one for one in written if one[0] not in empty], "empty_columns": empty}


def _of(part: int | None, whole: int | None) -> str:
    return NOT_MEASURED if part is None or whole is None else f"{part} of {whole}"


def _pair(first: float | None, second: float | None) -> str:
    if first is None and second is None:
        return NOT_MEASURED
    return f"{number(first)} → {number(second)}"


def _beside(value: float | None, chance: float | None) -> str:
    return NOT_MEASURED if value is None else f"{number(value)} (chance {number(chance)})"


def _length(moved: tuple[float, float] | None) -> float | None:
    return None if moved is None else math.hypot(*moved)


def _thickness(row: SliceRow) -> str:
    if row.thickness_um is None:
        return (
            "first slice" if row.moved_px is not None and not row.thickness_source else NOT_MEASURED
        )
    sigma = "" if row.thickness_sigma_um is None else f" ± {number(row.thickness_sigma_um, 2)}"
    assumed = " (assumed)" if row.thickness_source == "assumed" else ""
    return f"{number(row.thickness_um, 4)}{sigma}{assumed}"


def _outside(row: SliceRow) -> str:
    if row.below_display is None and row.above_display is None:
        return NOT_MEASURED
    return f"{share(row.below_display)} / {share(row.above_display)}"


def _plots(contents: Contents) -> dict[str, list[Plot]]:
    extra = [("Brightness factor", "", _mean_gains(contents))]
    vectors = [vector_plot(one) for one in tile_vectors(contents)]
    shifts = shift_plot(contents.rows)
    return {
        "places": [one for one in (shifts, *vectors) if one is not None],
        "trends": list(trend_plots(contents.rows, extra)),
    }


def _mean_gains(contents: Contents) -> dict[int, float]:
    """Mean factor applied to the planes of each slice."""
    found: dict[int, list[float]] = {}
    for row in contents.files.rows(names.INTENSITIES.of()):
        if row.get("applied_gain") and row.get("slice_id"):
            found.setdefault(int(row["slice_id"]), []).append(float(row["applied_gain"]))
    return {slice_id: sum(values) / len(values) for slice_id, values in found.items()}


def _versions(contents: Contents) -> dict[str, str]:
    found = {"mosaicflow": __version__}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    known = ("python", "version", "container", "profile")
    engine = contents.facts.engine
    return found | {
        f"{engine['name']}: {key}": str(engine[key]) for key in known if engine.get(key)
    }


def _light(contents: Contents) -> list[tuple[str, str]]:
    """Say how far brightness can be trusted, for the run as a whole."""
    return [
        ("flat field", number(contents.value("estimate_illumination", "method"))),
        (
            "its expected error, %",
            number(contents.value("estimate_illumination", "flat_field_error")),
        ),
        (
            "tiles' overlaps differ by, before",
            number(contents.value("estimate_illumination", "overlap_residual_before")),
        ),
        (
            "and after it (mean of |log ratio|, held out)",
            number(contents.value("estimate_illumination", "overlap_residual_after")),
        ),
        ("brightness along z", number(contents.value("estimate_depth_profile", "profile_source"))),
        ("its standard error", number(contents.value("estimate_depth_profile", "profile_sigma"))),
        ("step at seams, relative", number(contents.value("stack", "seam_step"))),
        ("correlation at seams, median", number(contents.value("stack", "seam_correlation"))),
        (
            "correlation at the worst seam",
            number(contents.value("stack", "worst_seam_correlation")),
        ),
    ]


def _size(contents: Contents) -> str:
    """Say how large the volume is, as the alignment has it."""
    told = contents.alignment
    if not told.get("pitch_um") or not told.get("canvas_yx"):
        return NOT_MEASURED
    shape = (told["n_planes"], *told["canvas_yx"])
    sides = [n * pitch / 1000 for n, pitch in zip(shape, told["pitch_um"], strict=True)]
    spacing = " x ".join(f"{pitch:g}" for pitch in told["pitch_um"])
    text = " x ".join(number(side) for side in sides)
    return f"{text} mm (z, y, x), finest spacing {spacing} µm"
