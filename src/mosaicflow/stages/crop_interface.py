"""Stage `crop_interface`: drop the water, keep a fixed depth below the block face."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from mosaicflow import names
from mosaicflow.io.store_options import StoreOptions
from mosaicflow.limits import ABOVE_0
from mosaicflow.measures import Measure
from mosaicflow.reasons import Concern
from mosaicflow.stages._contract import Reads, stage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mosaicflow.io.report import StageReport
    from mosaicflow.io.slices import SliceVolume
    from mosaicflow.slices.surface import Surface

__all__ = ["crop_interface"]

# Reduced columns that a surface is traced in; more would only cost memory.
_COLUMNS = 40_000


# A slice ends in planes of zeros where more depth is asked for than was imaged: up to this many
# times its own planes. Chosen so that no sensible depth is cut; doubled, a slip of the keyboard
# takes twice the memory and disk.
_MOST_EMPTY = 2


METRICS = (
    Measure("interface_depth", "mean depth of the block face", "voxels"),
    # Planes of water above the face; at 0 the face may have been cut off.
    Measure(
        "interface_min_depth", "shallowest point of the face", "voxels", warning=1, good="high"
    ),
    Measure("interface_max_depth_fraction", "of the imaged depth", warning=0.5),
    Measure("tilt_and_waviness", "range of the face", "voxels"),
    Measure("surface_residual", "median over columns", "voxels"),
    Measure("surface_model", "shape of the face"),
    Measure("usable_planes", "planes that every column fills", "voxels"),
)


@stage(
    "slice", label="slice", title="Block face", icon="cut", makes=(names.CROPPED,), metrics=METRICS
)
def crop_interface(
    report: StageReport,
    *,
    slice_path: Annotated[Path, Reads(newest=names.SLICE_STORES)],
    output: Path,
    face_of: Annotated[Path | None, Reads(names.CROPPED)] = None,
    crop_depth_um: Annotated[float, ABOVE_0] = 600.0,
    surface: Literal["plane_waviness", "plane", "global"] = "plane_waviness",
    store: StoreOptions = StoreOptions(),
    threads: int = 1,
) -> None:
    """Let plane 0 be the block face.

    Each A-line is moved up by a whole number of planes, so no value is interpolated; what is left
    below one plane is recorded with the surface for the one sampling that `stack` does.

    Parameters
    ----------
    slice_path : Path
        Slice with water above the tissue.
    output : Path
        Slice to write (slice_zNN_crop_interface.ome.zarr).
    face_of : Path or None
        Cropped slice of another channel (slice_zNN_crop_interface.ome.zarr), or what another run
        says of the same slice (slice_zNN_crop_interface.metrics.json), whose face counts; None
        looks for it in this one.
    crop_depth_um : float
        Depth kept below the face [um]; missing planes are zero.
    surface : str
        Shape of the face: a plane, a plane with smooth waviness where held-out columns confirm
        it, or one depth for the whole slice (global).
    store : StoreOptions
        How the output is written.
    threads : int
        Number of blocks worked on at the same time.
    """
    from mosaicflow.io.slices import SliceVolume, write_slice
    from mosaicflow.slices.depth import MIN_PLANES
    from mosaicflow.slices.surface import fit_surface

    source = SliceVolume(slice_path)
    n_z = source.shape[0]
    asked = n_z
    face = None if face_of is None else _face_of(face_of, source)
    if n_z < MIN_PLANES:
        text = f"{n_z} plane(s) show no interface: the slice is passed through"
        report.warn_unless(n_z == 1, text, Concern.THIN)  # one plane is what it is
    else:
        asked = max(1, round(crop_depth_um / 1000 / source.pitch_mm[0]))
        if face_of is None:
            face = fit_surface(_reduced(source, threads), source.shape[1:], surface)
    n_out = min(asked, _MOST_EMPTY * n_z)
    usable = _describe(report, source, face, asked)
    write_slice(
        source,
        output,
        lambda block, region: _below_face(block, face, region, n_out),
        n_z=n_out,
        attrs=report.block(
            source.attrs, usable_planes=usable, surface=None if face is None else face.record()
        ),
        n_levels=store.n_levels,
        writer_options=store.writer_options(),
        threads=threads,
    )
    # For other runs on the same tiles, also where the slice itself is not kept.
    record = None if face is None else face.record()
    report.section("face", {**_frame(source), "surface": record})
    report.write(output)


def _frame(source: SliceVolume) -> dict[str, list[float]]:
    return {"shape_yx": list(source.shape[1:]), "pitch_mm": list(source.pitch_mm)}


def _face_of(path: Path, source: SliceVolume) -> Surface | None:
    """Take the face that was found in another channel, or in another run, of the same tiles."""
    from mosaicflow.errors import InputError
    from mosaicflow.slices.surface import Surface

    own, other = _frame(source), _told_of(path)
    if {key: other.get(key) for key in own} != own:
        raise InputError(
            f"{source.path.name}: has {own['shape_yx']} columns at {own['pitch_mm']} mm, "
            f"{path.name} has {other['shape_yx']} at {other['pitch_mm']}: expected the same tiles",
            remedy="make both with the same tiles, positions and resolution_um",
        )
    return Surface.from_record(other["surface"], source.shape[1:])


def _told_of(path: Path) -> dict[str, Any]:
    """Read size and face of a cropped slice, from itself or from its metrics."""
    from mosaicflow.errors import InputError
    from mosaicflow.io.report import read_metrics
    from mosaicflow.io.slices import SliceVolume

    if path.is_dir():
        other = SliceVolume(path)
        return {**_frame(other), "surface": other.attrs.get("surface")}
    told = read_metrics(path).get("face")
    if not isinstance(told, dict) or not {"shape_yx", "pitch_mm", "surface"} <= told.keys():
        raise InputError(
            f"{path.name}: says nothing of the block face",
            remedy="run the other run again with this version of mosaicflow",
        )
    return told


def _reduced(source: SliceVolume, threads: int) -> NDArray[np.float32]:
    """Mean of square patches of columns."""
    import numpy as np

    n_z, n_y, n_x = source.shape
    factor = 8
    while n_y * n_x / factor**2 > _COLUMNS and factor < 64:
        factor *= 2

    def reduce(block: NDArray[np.float32]) -> NDArray[np.float32]:
        clipped = np.minimum(block, np.percentile(block[::4, ::4, ::4], 99.9))
        starts = [np.arange(0, length, factor) for length in block.shape[1:]]
        sums = np.add.reduceat(np.add.reduceat(clipped, starts[0], axis=1), starts[1], axis=2)
        counts = [np.diff([*s, n]) for s, n in zip(starts, block.shape[1:], strict=True)]
        return np.asarray(sums / np.outer(*counts), dtype=np.float32)

    return source.reduced(reduce, factor, n_z, threads)


def _below_face(
    block: NDArray[np.float32], face: Surface | None, region: tuple[slice, slice], n_out: int
) -> NDArray[np.float32]:
    import numpy as np

    result = np.zeros((n_out, *block.shape[1:]), np.float32)
    if face is None:
        kept = block[:n_out]
        result[: len(kept)] = kept
        return result
    first = np.clip(np.rint(face.depth(*region)), 0, len(block) - 1).astype(int)
    for plane in np.unique(first).tolist():
        kept = block[plane : plane + n_out]
        columns = first == plane
        if columns.all():
            result[: len(kept)] = kept
        else:
            result[: len(kept), columns] = kept[:, columns]
    return result


def _range(face: Surface, source: SliceVolume) -> tuple[float, float, float]:
    """Mean, least and greatest depth of the face; all columns at once would not fit the memory."""
    total, lowest, highest = 0.0, float("inf"), float("-inf")
    for region in source.blocks():
        depth = face.depth(*region)
        total += float(depth.sum())
        lowest, highest = min(lowest, float(depth.min())), max(highest, float(depth.max()))
    _, n_y, n_x = source.shape
    return total / (n_y * n_x), lowest, highest


def _describe(report: StageReport, source: SliceVolume, face: Surface | None, asked: int) -> int:
    """Record the face and give the number of planes that every column can fill."""
    import numpy as np

    n_z = source.shape[0]
    if face is None:
        if n_z > 1:
            report.warn(
                "no layer of water above the tissue was found: plane 0 stays where it is",
                Concern.NO_WATER,
            )
        report.metric("interface_depth", 0.0)
        return min(n_z, asked)
    mean, lowest, highest = _range(face, source)
    usable = int(np.clip(n_z - np.rint(highest), 1, min(n_z, asked)))
    report.metric("interface_depth", mean)
    report.metric("interface_min_depth", lowest)
    share = highest / n_z
    report.metric("interface_max_depth_fraction", share)
    report.metric("tilt_and_waviness", highest - lowest)
    report.metric("surface_residual", face.residual_planes)
    report.metric("surface_model", face.model)
    report.metric("usable_planes", usable)
    if usable < asked:
        report.warn(
            f"only {usable} of {asked} planes lie below the face in every column; "
            "the rest is zero: lower crop_depth_um or image deeper",
            Concern.SHALLOW,
        )
    return usable
