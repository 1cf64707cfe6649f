"""Stage `stack`: all slices, each sampled once, as one volume."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from mosaicflow import names
from mosaicflow.io.store_options import StoreOptions
from mosaicflow.limits import ABOVE_0, FROM_0, LEVELS
from mosaicflow.measures import Measure
from mosaicflow.stages._contract import Reads, Wired, stage
from mosaicflow.stages._options import ResolutionUm

if TYPE_CHECKING:
    from mosaicflow.io.report import StageReport

__all__ = ["stack"]


# Share of the voxels above 1 from which the picture has lost its bright end. Three sound simulated
# stacks: at most 0.00004; white at half of its value: 0.004.
_OUTSIDE = 0.002
# Factor by which a slice may be made brighter or darker than the others without a word. Nine sound
# simulated sets: 0.90 to 1.13; a slice with a tenth of the light: 6.6; with 25 times the camera's
# noise: 0.45. At twice this the noisy one would pass.
_GAIN = 1.5
_OFF_DISPLAY = "voxels {}, stored as they are, that a display from 0 to 1 shows as {}"
METRICS = (
    Measure("slices_stacked", "slices in the volume"),
    Measure("slices_left_out", "slices without image"),
    Measure("gap_planes", "planes that no slice covers", "planes"),
    Measure(
        "min_slice_coverage",
        "canvas filled, worst slice",
        "fraction",
        warning=0.02,
        error=0.005,
        good="high",
    ),
    Measure("std_slice_coverage", "spread of the same", "fraction"),
    Measure(
        "seam_correlation",
        "median correlation of neighbours at their seam",
        warning=0.5,
        good="high",
    ),
    Measure("worst_seam_correlation", "of the worst seam"),
    Measure(
        "seam_step", "median relative step of brightness at a seam, after the gains", warning=0.1
    ),
    Measure("gain_min", "smallest brightness factor of a slice", warning=1 / _GAIN, good="high"),
    Measure("gain_max", "largest brightness factor of a slice", warning=_GAIN),
    Measure(
        "above_display",
        _OFF_DISPLAY.format("above 1", "white"),
        "fraction",
        warning=_OUTSIDE,
        scaled="only where brightness is as recorded",
    ),
    Measure("below_display", _OFF_DISPLAY.format("below 0", "black"), "fraction"),
)


@stage(
    "run",
    label="volume",
    title="Volume",
    icon="layer-group",
    makes=(names.MATCHES, names.DECISIONS, names.INTENSITIES),
    metrics=METRICS,
)
def stack(
    report: StageReport,
    *,
    slices: Annotated[tuple[Path, ...], Reads(newest=names.SLICE_STORES)],
    alignment: Annotated[Path, Reads(names.ALIGNMENT)],
    output: Path,
    channel: Wired = "",
    volume_at: Wired = "",
    depth_profile: Annotated[Path | None, Reads(names.PROFILE)] = None,
    stack_blend_enabled: bool = True,
    stack_blend_depth_um: Annotated[float, FROM_0] = 50.0,
    stack_overlap_z_gain: bool = True,
    apply_pairwise_transforms: bool = True,
    apply_rotation_only: bool = False,
    resolution_um: ResolutionUm = 10.0,
    pyramid_resolutions: Annotated[tuple[float, ...], ABOVE_0] = (10.0, 25.0, 50.0, 100.0),
    pyramid_n_levels: Annotated[int | None, LEVELS] = None,
    pyramid_make_isotropic: bool = True,
    stack_preview: bool = True,
    store: StoreOptions = StoreOptions(),
    threads: int = 1,
) -> None:
    """Draw every slice at its place in one volume and write the analysis pyramid.

    Parameters
    ----------
    slices : tuple[Path, ...]
        All slices that solve_alignment saw (slice_zNN_normalize.ome.zarr).
    alignment : Path
        Where they go (alignment.json).
    output : Path
        Volume to write (3d_volume.ome.zarr); z_matches.csv, stacking_decisions.csv,
        stack_z_intensity.csv and a preview go beside it.
    channel : str
        Channel of these slices where it is not the one that was aligned, such as 1: slices that it
        lacks are left out, and tables are called z_matches_c1.csv and so on. 1cos and 1sin are no
        brightness, and are drawn as they are.
    volume_at : str
        Address in a bucket (s3:// or gs://) that the volume is written to instead, chunk by chunk;
        a file with this address (3d_volume.ome.zarr.address) then takes its place here.
    depth_profile : Path | None
        Brightness below a block face, applied in place of what normalize did to each slice
        (depth_profile.json); without it the slices are drawn as they are.
    stack_blend_enabled : bool
        Fade from slice to slice; otherwise cut hard at each block face.
    stack_blend_depth_um : float
        Depth below a block face over which its slice fades in [um].
    stack_overlap_z_gain : bool
        Fit one brightness factor per slice to all seams, and even out what is left near each.
    apply_pairwise_transforms : bool
        Use what registration found; otherwise the stage's positions alone, for comparison.
    apply_rotation_only : bool
        Of that, use only the rotations.
    resolution_um : float
        Pitch of the volume [um]; -1: that of the slices, which then is the finest level.
    pyramid_resolutions : tuple[float, ...]
        Pitches of the levels [um]; those finer than the data are left out.
    pyramid_n_levels : int | None
        Instead of fixed pitches: number of additional levels, each half as fine.
    pyramid_make_isotropic : bool
        Same pitch on all axes of a level.
    stack_preview : bool
        Write a picture of the three central planes.
    store : StoreOptions
        How the output is written (n_levels does not apply to a volume).
    threads : int
        Number of blocks read at the same time; with more than one, planes are written while others
        are drawn.
    """
    from mosaicflow.acquisition.channels import Channel
    from mosaicflow.stacking.build import StackInputs, StackSettings, stack_slices

    settings = StackSettings(
        blend_um=stack_blend_depth_um if stack_blend_enabled else 0.0,
        gains=stack_overlap_z_gain,
        is_light=not Channel.parse(channel).part,
        translations=apply_pairwise_transforms and not apply_rotation_only,
        rotations=apply_pairwise_transforms,
        resolutions_um=pyramid_resolutions,
        native=resolution_um == -1,
        n_levels=pyramid_n_levels,
        isotropic=pyramid_make_isotropic,
        preview=stack_preview,
    )
    inputs = StackInputs(slices, alignment, depth_profile, channel)
    stack_slices(
        inputs, output, settings, report, store=store, threads=threads,
        volume_at=volume_at,
    )  # fmt: skip
    report.write(output)
