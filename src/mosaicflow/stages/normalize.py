"""Stage `normalize`: bring a slice to a common intensity scale."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from mosaicflow import names
from mosaicflow.io.store_options import StoreOptions
from mosaicflow.limits import FRACTION
from mosaicflow.measures import Measure
from mosaicflow.stages._contract import Reads, stage
from mosaicflow.stages._metrics import TISSUE, report_coverage
from mosaicflow.stages._options import Percentile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mosaicflow.errors import QualityError
    from mosaicflow.io.report import StageReport
    from mosaicflow.io.slices import SliceVolume
    from mosaicflow.slices.intensity import DepthScale, PlaneScale

__all__ = ["normalize"]

# Columns that levels are taken from, by judgement. Doubled, twice the memory.
_COLUMNS = 300_000
# Share of the tissue's voxels below 0 or above 1 from which a picture has lost something. Three
# sound simulated stacks: at most 0.025 and 0.004; the 95th percentile taken for white: 0.075 and
# more; gel taken for granted in a mineral section: 0.18.
_OUTSIDE = 0.045
_OFF_DISPLAY = "voxels of the tissue that are stored {} and that a display from 0 to 1 shows as {}"


METRICS = (
    TISSUE,
    Measure("gel_found", "an even dark part around the tissue"),
    Measure("agarose_coverage", "share of the canvas that is gel"),
    Measure("std_background", "of the normalised gel", warning=0.10, error=0.25),
    Measure("below_display", _OFF_DISPLAY.format("below 0", "black"), warning=_OUTSIDE),
    Measure("above_display", _OFF_DISPLAY.format("above 1", "white"), warning=_OUTSIDE),
)


@stage(
    "slice",
    label="slice",
    title="Brightness",
    icon="adjust",
    makes=(names.NORMALIZED, names.NORMALIZED_PICTURE),
    metrics=METRICS,
)
def normalize(
    report: StageReport,
    *,
    slice_path: Annotated[Path, Reads(newest=names.SLICE_STORES)],
    output: Path,
    normalize_enabled: bool = True,
    clip_percentile_upper: Percentile = 99.9,
    normalize_min_contrast: Annotated[float, FRACTION] = 0.1,
    store: StoreOptions = StoreOptions(),
    threads: int = 1,
) -> None:
    """Scale each plane so that gel is 0 and the brightest tissue 1; nothing is clipped.

    Parameters
    ----------
    slice_path : Path
        Slice whose plane 0 is the block face.
    output : Path
        Slice to write (slice_zNN_normalize.ome.zarr); zero where there is no data.
    normalize_enabled : bool
        Bring grey values to 0-1; otherwise they stay as recorded, up to the volume.
    clip_percentile_upper : float
        Percentile of a plane that becomes 1 [%].
    normalize_min_contrast : float
        Least span of a plane, as a part of that of the whole slice.
    store : StoreOptions
        How the output is written.
    threads : int
        Number of blocks worked on at the same time.
    """
    from mosaicflow.io.previews import write_preview
    from mosaicflow.io.slices import SliceVolume
    from mosaicflow.slices.intensity import depth_scale
    from mosaicflow.slices.masks import find_gel, log_otsu

    source = SliceVolume(slice_path)
    thin = source.thinned(_COLUMNS, threads)
    projection = thin.mean(axis=0)
    gel = find_gel(projection)
    scale = depth_scale(
        thin,
        gel,
        clip_percentile_upper=clip_percentile_upper,
        min_contrast=normalize_min_contrast,
    )
    if scale is None:
        raise _no_contrast(slice_path)
    planes = scale.planes if normalize_enabled else None
    _write(source, output, planes, report, store, threads)
    report_coverage(report, projection)
    _describe_gel(report, gel, scale)
    if planes is not None:
        seen = projection > (log_otsu(projection) if gel.any() else 0)
        _describe_display(report, planes.apply(thin), seen)
        report.section("background", planes.to_json()["background"])
        report.section("span", planes.to_json()["span"])
    report.write(output)
    pitch_um = 1000 * source.pitch_mm[2] * source.shape[2] / projection.shape[1]
    write_preview(output.with_name(output.name.replace(".ome.zarr", ".png")), projection, pitch_um)


def _write(
    source: SliceVolume,
    output: Path,
    planes: PlaneScale | None,
    report: StageReport,
    store: StoreOptions,
    threads: int,
) -> None:
    from mosaicflow.io.slices import write_slice

    write_slice(
        source,
        output,
        lambda block, _region: block if planes is None else planes.apply(block),
        n_z=source.shape[0],
        attrs=report.block(source.attrs, intensity=None if planes is None else planes.to_json()),
        n_levels=store.n_levels,
        writer_options=store.writer_options(),
        threads=threads,
    )


def _no_contrast(slice_path: Path) -> QualityError:
    from mosaicflow.errors import QualityError

    return QualityError(
        f"{slice_path}: the slice holds no contrast, expected tissue on a darker background",
        remedy="look at its preview; set use=false for it in slice_config.csv",
    )


def _describe_gel(report: StageReport, gel: NDArray[np.bool_], scale: DepthScale) -> None:
    found = bool(gel.any())
    report.metric("gel_found", found)
    if found:
        report.metric("agarose_coverage", float(gel.mean()))
        report.metric("std_background", scale.background_noise)


def _describe_display(
    report: StageReport, volume: NDArray[np.float32], seen: NDArray[np.bool_]
) -> None:
    from mosaicflow.slices.intensity import display_share

    below, above = display_share(volume, seen)
    report.metric("below_display", below)
    report.metric("above_display", above)
