"""Stage `correct_axial`: remove the axial profile of the focused beam."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from mosaicflow import names
from mosaicflow.io.store_options import StoreOptions
from mosaicflow.measures import Measure
from mosaicflow.reasons import Concern
from mosaicflow.stages._contract import Reads, stage

if TYPE_CHECKING:
    from mosaicflow.io.report import StageReport

__all__ = ["correct_axial"]

# Columns that the profile is taken from, by judgement. Doubled, twice the memory.
_COLUMNS = 200_000


METRICS = (
    Measure("agarose_coverage", "share of the canvas that is gel"),
    Measure("psf_max", "largest excess over the background"),
    Measure("profile_quality", "1 - relative noise"),
    Measure("unevenness_before", "of held-out gel"),
    Measure("unevenness_after", "of held-out gel"),
)


@stage("slice", label="slice", makes=(names.AXIAL,), metrics=METRICS)
def correct_axial(
    report: StageReport,
    *,
    slice_path: Annotated[Path, Reads(newest=names.SLICE_STORES)],
    output: Path,
    store: StoreOptions = StoreOptions(),
    threads: int = 1,
) -> None:
    """Make the gel around the tissue equally bright at all depths.

    The gel is homogeneous, so what its mean A-line shows is the beam. Half of the gel gives the
    profile, the other half decides whether it is applied.

    Parameters
    ----------
    slice_path : Path
        Stitched slice.
    output : Path
        Slice to write (slice_zNN_axial_corr.ome.zarr).
    store : StoreOptions
        How the output is written.
    threads : int
        Number of blocks worked on at the same time.
    """
    import numpy as np

    from mosaicflow.io.slices import SliceVolume, write_slice
    from mosaicflow.slices.axial import axial_gain
    from mosaicflow.slices.depth import MIN_PLANES
    from mosaicflow.slices.masks import agarose_mask

    source = SliceVolume(slice_path)
    n_z = source.shape[0]
    gain = np.ones(n_z, np.float32)
    if n_z < MIN_PLANES:
        text = f"{n_z} plane(s) show no beam profile: the slice is passed through"
        report.warn_unless(n_z == 1, text, Concern.THIN)  # one plane is what it is
    else:
        thin = source.thinned(_COLUMNS, threads)
        gel = agarose_mask(thin.mean(axis=0))
        report.metric("agarose_coverage", float(gel.mean()))
        found = axial_gain(thin[:, gel])
        if found is None:
            report.warn(
                "too little gel, or a profile that touches zero: nothing is corrected",
                Concern.NO_BEAM_PROFILE,
            )
        else:
            report.metric("psf_max", found.psf_max)
            report.metric("profile_quality", found.quality)
            report.metric("unevenness_before", found.unevenness_before)
            report.metric("unevenness_after", found.unevenness_after)
            if found.unevenness_after < found.unevenness_before:
                gain = found.gain.astype(np.float32)
            else:
                report.warn(
                    "the profile does not flatten held-out gel: nothing is corrected",
                    Concern.NO_BEAM_PROFILE,
                )
    write_slice(
        source,
        output,
        lambda block, _region: block * gain[:, None, None],
        n_z=n_z,
        attrs=report.block(source.attrs),
        n_levels=store.n_levels,
        writer_options=store.writer_options(),
        threads=threads,
    )
    report.section("gain", [round(float(value), 6) for value in gain])
    report.write(output)
