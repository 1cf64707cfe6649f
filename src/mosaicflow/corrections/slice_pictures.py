"""Pictures of slices: what two neighbours both show, their edges, and cuts in depth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.alignment.plausible import check_extent
from mosaicflow.averages import known_means
from mosaicflow.corrections.projections import edges, grey, known_mean, reduction
from mosaicflow.errors import InputError
from mosaicflow.io.previews import save_jpeg
from mosaicflow.io.slices import SliceVolume
from mosaicflow.names import slice_label

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mosaicflow.alignment.solution import AlignedSlice, Alignment
    from mosaicflow.corrections.projections import Image

__all__ = ["draw_slices"]

# Rows or columns that a cut is the mean of [slice px]: one shows speckle, twenty blur vessels.
_CUT_PX = 5


@dataclass(frozen=True, slots=True)
class _Seen:
    """Planes [start, stop) of a slice that its upper and its lower neighbour see too."""

    above: tuple[int, int]
    below: tuple[int, int]


def draw_slices(
    alignment: Alignment, stores: Mapping[int, Path], folder: Path, threads: int
) -> list[dict[str, Any]]:
    """Draw every slice of a volume, and tell where each lies.

    Parameters
    ----------
    alignment : Alignment
        Of the run.
    stores : mapping
        Slice id -> its finished store.
    folder : Path
        For the pictures.
    threads : int
        Blocks read at the same time.

    Returns
    -------
    list of dict
        Per slice, from the top: its place by the stage and where it went (canvas px), and the
        names of its pictures.
    """
    ordered = sorted(alignment.slices, key=lambda one: one.z_plane)
    absent = [one.slice_id for one in ordered if one.slice_id not in stores]
    if absent:
        raise InputError(
            f"slices {absent} have no finished store in the run",
            remedy="run it again with keep: all (or qc)",
        )
    volumes = {one.slice_id: SliceVolume(stores[one.slice_id]) for one in ordered}
    extents_um = {
        i: (1000 * np.multiply(one.shape, one.pitch_mm)).tolist() for i, one in volumes.items()
    }
    check_extent(alignment, extents_um, "alignment.json")
    seen = _seen_by_neighbours(ordered, volumes, alignment.pitch_um[0])
    middle = tuple((n - 1) / 2 for n in alignment.canvas_yx)
    return [
        _entry(one, volumes[one.slice_id], alignment, folder.name)
        | {"cut_px": _draw(one, volumes[one.slice_id], seen[one.slice_id], middle, folder, threads)}
        for one in ordered
    ]


def _seen_by_neighbours(
    ordered: list[AlignedSlice], volumes: Mapping[int, SliceVolume], pitch_um: float
) -> dict[int, _Seen]:
    """Find the planes that neighbours share; where they share none, the nearest quarter."""
    seen = {}
    for n, one in enumerate(ordered):
        n_z = volumes[one.slice_id].shape[0]
        own = n_z / _planes(volumes[one.slice_id], pitch_um)  # its planes per plane of the canvas
        quarter = max(1, n_z // 4)
        stop, start = quarter, n_z - quarter
        if n > 0:
            before = ordered[n - 1]
            end = before.z_plane + _planes(volumes[before.slice_id], pitch_um)
            stop = min(n_z, max(round((end - one.z_plane) * own), quarter))
        if n + 1 < len(ordered):
            start = max(0, min(round((ordered[n + 1].z_plane - one.z_plane) * own), start))
        seen[one.slice_id] = _Seen((0, stop), (start, n_z))
    return seen


def _planes(volume: SliceVolume, pitch_um: float) -> float:
    """Give the depth of a slice in planes of the canvas."""
    return volume.shape[0] * 1000 * volume.pitch_mm[0] / pitch_um


def _entry(
    one: AlignedSlice, volume: SliceVolume, alignment: Alignment, folder: str
) -> dict[str, Any]:
    moved = one.evidence.get("moved_from_stage_px") or (0.0, 0.0)
    n_z, n_y, n_x = volume.shape
    label = slice_label(one.slice_id)
    return {
        "slice_id": one.slice_id,
        "shape": [n_z, n_y, n_x],
        "scale_yx": list(one.scale_yx),
        "center_yx": list(one.transform.center_yx),
        "stage_yx": [t - m for t, m in zip(one.transform.translation_yx, moved, strict=True)],
        "shift_px": list(moved),
        "angle_deg": one.transform.angle_deg,
        "z_plane": one.z_plane,
        "planes": _planes(volume, alignment.pitch_um[0]),
        "step": reduction((n_y, n_x)),
        "source": one.source,
        "confidence": one.confidence,
        "pictures": f"{folder}/{label}_",
    }


def _draw(
    one: AlignedSlice,
    volume: SliceVolume,
    seen: _Seen,
    middle_yx: tuple[float, ...],
    folder: Path,
    threads: int,
) -> list[int]:
    """Draw one slice; give the row and the column of its cuts."""
    step = reduction((volume.shape[1], volume.shape[2]))
    label = slice_label(one.slice_id)

    def bands(block: Image) -> Image:
        return np.stack(
            [
                known_means(known_mean(block[start:stop], axis=0), (step, step))
                for start, stop in (seen.above, seen.below)
            ]
        )

    for name, image in zip(("top", "base"), volume.reduced(bands, step, 2, threads), strict=True):
        _save(image, folder, label, name)
    row, column = _cut(one, volume, middle_yx)
    whole = slice(None)
    for name, axis, region in (("xz", 1, (_band(row), whole)), ("yz", 2, (whole, _band(column)))):
        _save(
            known_means(known_mean(volume.read(region), axis=axis), (1, step)), folder, label, name
        )
    return [row, column]


def _band(middle: int) -> slice:
    return slice(max(0, middle - _CUT_PX // 2), middle + _CUT_PX // 2 + 1)


def _save(image: Image, folder: Path, label: str, name: str) -> None:
    picture = grey(image)
    save_jpeg(folder / f"{label}_{name}.jpg", picture)
    save_jpeg(folder / f"{label}_{name}_edges.jpg", edges(picture))


def _cut(one: AlignedSlice, volume: SliceVolume, middle_yx: tuple[float, ...]) -> tuple[int, int]:
    """Find the slice's row and column in the middle of the canvas: all cuts show one plane."""
    y, x = one.transform.inverse().apply(middle_yx)
    found = (
        min(max(round((float(at) + 0.5) / scale - 0.5), 0), n - 1)
        for at, scale, n in zip((y, x), one.scale_yx, volume.shape[1:], strict=True)
    )
    row, column = found
    return row, column
