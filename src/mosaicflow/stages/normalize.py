"""Stage `normalize`: bring a slice to a common intensity scale."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mosaicflow.stages._options import StoreOptions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mosaicflow.correction.intensity import DepthScale
    from mosaicflow.errors import QualityError
    from mosaicflow.io.report import StageReport

__all__ = ["normalize"]

_COLUMNS = 300_000
# What the darkest gel becomes: a zero would say that there is no data.
_DARKEST = 1e-6


def normalize(
    *,
    slice_path: Path,
    output: Path,
    clip_percentile_upper: float = 99.9,
    normalize_min_contrast: float = 0.1,
    store: StoreOptions = StoreOptions(),
    threads: int = 1,
) -> None:
    """Scale each plane so that gel is 0 and the brightest tissue 1.

    Parameters
    ----------
    slice_path : Path
        Slice whose plane 0 is the block face.
    output : Path
        Slice to write (slice_zNN_normalize.ome.zarr); zero where there is no data.
    clip_percentile_upper : float
        Percentile of a plane that becomes 1 [%].
    normalize_min_contrast : float
        Least span of a plane, as a part of that of the whole slice.
    store : StoreOptions
        How the output is written.
    threads : int
        Number of blocks worked on at the same time.
    """
    from mosaicflow.io.report import StageReport

    report = StageReport.of("normalize", locals())

    import numpy as np

    from mosaicflow.correction.intensity import depth_scale
    from mosaicflow.io.previews import write_preview
    from mosaicflow.io.slices import SliceVolume, write_slice
    from mosaicflow.quality.masks import agarose_mask, tissue_fraction

    source = SliceVolume(slice_path)
    thin = source.thinned(_COLUMNS, threads)
    projection = thin.mean(axis=0)
    gel = agarose_mask(projection)
    scale = depth_scale(
        thin,
        gel,
        clip_percentile_upper=clip_percentile_upper,
        min_contrast=normalize_min_contrast,
    )
    if scale is None:
        raise _no_contrast(slice_path)
    background, span = scale.background[:, None, None], scale.span[:, None, None]

    def scaled(block: NDArray[np.float32], _region: object) -> NDArray[np.float32]:
        known = block > 0
        np.subtract(block, background, out=block)
        block /= span
        np.clip(block, _DARKEST, 1, out=block)
        block *= known
        return block

    write_slice(
        source,
        output,
        scaled,
        n_z=source.shape[0],
        attrs=report.block(source.attrs),
        n_levels=store.n_levels,
        writer_options=store.writer_options(),
        threads=threads,
    )
    report.metric("agarose_coverage", float(gel.mean()), "", "share of the canvas that is gel")
    report.metric("tissue_coverage", tissue_fraction(projection), "", "canvas with tissue")
    _describe(report, scale)
    report.write(output)
    write_preview(output.with_name(output.name.replace(".ome.zarr", ".png")), projection)


def _no_contrast(slice_path: Path) -> QualityError:
    from mosaicflow.errors import QualityError

    return QualityError(
        f"{slice_path}: the slice holds no contrast, expected tissue on a darker background",
        remedy="look at its preview; set use=false for it in slice_config.csv",
    )


def _describe(report: StageReport, scale: DepthScale) -> None:
    report.metric("std_background", scale.background_noise, "", "of the normalised gel")
    report.section("background", [round(float(value), 6) for value in scale.background])
    report.section("span", [round(float(value), 6) for value in scale.span])
