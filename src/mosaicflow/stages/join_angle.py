"""Stage `join_angle`: one volume of angles, from those of cosine and sine of the doubled angle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mosaicflow.io.store_options import StoreOptions
from mosaicflow.measures import Measure
from mosaicflow.stages._contract import stage

if TYPE_CHECKING:
    from mosaicflow.io.report import StageReport

__all__ = ["join_angle"]


METRICS = (Measure("levels", "levels of the volume"),)


@stage("run", label="volume", metrics=METRICS)
def join_angle(
    report: StageReport,
    *,
    cosine: Path,
    sine: Path,
    output: Path,
    store: StoreOptions = StoreOptions(),
    threads: int = 1,
) -> None:
    """Make one angle of each voxel's mean cosine and sine, level by level.

    Parameters
    ----------
    cosine : Path
        Volume of the cosine of the doubled angle (3d_volume_cNcos.ome.zarr).
    sine : Path
        Volume of its sine (3d_volume_cNsin.ome.zarr).
    output : Path
        Volume to write (3d_volume_cN.ome.zarr): degrees above 0 and up to 180, 0 without data.
    store : StoreOptions
        How the output is written (n_levels does not apply to a volume).
    threads : int
        Not used: the levels are written by the threads of the store.
    """
    from mosaicflow.acquisition.channels import channel_of, joined_angles
    from mosaicflow.errors import InputError
    from mosaicflow.io.zarr import combine_images, read_omezarr_info

    both = read_omezarr_info(cosine), read_omezarr_info(sine)
    blocks = [found.mosaicflow for found in both]
    parts = [channel_of(b, p) for b, p in zip(blocks, (cosine, sine), strict=True)]
    shapes = [found.shapes for found in both]
    if shapes[0] != shapes[1] or [one.part for one in parts] != ["cos", "sin"]:
        raise InputError(
            f"{cosine.name} and {sine.name} are no cosine and sine of one channel, in the same "
            f"voxels: found {shapes[0][0]} and {shapes[1][0]}",
            remedy="run the stage stack again for both",
        )
    block = report.block(
        blocks[0], channel=str(parts[0].number), values="angle_deg", period_deg=180
    )
    combine_images(
        both,
        output,
        joined_angles,
        attrs=block,
        window=(0.0, 180.0),
        **store.writer_options(),
    )
    report.metric("levels", len(shapes[0]))
    report.write(output)
