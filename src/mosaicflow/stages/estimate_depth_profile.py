"""Stage `estimate_depth_profile`: one brightness profile below the block face for all slices."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from mosaicflow import names
from mosaicflow.measures import Measure, each
from mosaicflow.reasons import Concern
from mosaicflow.stages._contract import Reads, Wired, stage

if TYPE_CHECKING:
    from mosaicflow.io.report import StageReport

__all__ = ["estimate_depth_profile"]


METRICS = (
    Measure("profile_source", "measured, per-slice or off"),
    Measure("profile_range", "brightest depth over the dimmest one"),
    Measure(
        "profile_sigma",
        "standard error of the profile, rms over depth, odd depths bounded",
        warning=0.03,
    ),
    Measure("ratios", "planes compared between slices"),
    *each(
        "ratio_spread_{}",
        ("before", "after"),
        "spread (MAD) of log ratios of the same tissue in two slices, {} the profile",
    ),
    Measure(
        "shadow_strength", "light that a plane of typical tissue takes from what lies below it", "%"
    ),
    Measure("shadow_sigma", "standard error of it", "%"),
    *each(
        "shadow_spread_{}",
        ("before", "after"),
        "spread (MAD) of log ratios of blocks that two slices show, not used for the fit, {}"
        " shadows are lifted",
    ),
    Measure("shadows_lifted", "whether they are"),
)


@stage("run", label="volume", makes=(names.PROFILE,), metrics=METRICS)
def estimate_depth_profile(
    report: StageReport,
    *,
    slices: Annotated[tuple[Path, ...], Reads(newest=names.SLICE_STORES)],
    alignment: Annotated[Path, Reads(names.ALIGNMENT)],
    output: Path,
    channel: Wired = "",
    threads: int = 1,
) -> None:
    """Tell how the instrument's brightness falls with depth from the specimen's own contrast.

    Parameters
    ----------
    slices : tuple[Path, ...]
        All slices that solve_alignment saw (slice_zNN_normalize.ome.zarr).
    alignment : Path
        Where they go, solved from the links (alignment.json).
    output : Path
        Profile to write (depth_profile.json).
    channel : str
        Channel of these slices where it is not the one that was aligned, such as 1: slices that it
        lacks are left out.
    threads : int
        Windows read at the same time.
    """
    from mosaicflow.io.tables import write_document
    from mosaicflow.stacking.profile import find_profile

    profile = find_profile(slices, alignment, report, channel=channel, threads=threads)
    report.metric("profile_source", profile.source)
    if profile.source == "per-slice":
        text = (
            f"brightness along z is set slice by slice: {profile.reason}; contrast of the "
            "specimen along z is not measurable in the volume"
        )
        report.warn_unless(len(slices) == 1, text, Concern.NO_COMMON_TISSUE)
    write_document(output, profile.to_json())
    report.write(output)
