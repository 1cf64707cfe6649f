"""Read the tiles of an ND2 file (NIS-Elements): every position of the stage is a tile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.acquisition.find.microscope_files import opened
from mosaicflow.acquisition.image_header import UNPROVEN_AXES, ImageHeader, chosen_note
from mosaicflow.acquisition.image_sources import SourceTile
from mosaicflow.errors import FormatError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["list_tiles", "read_planes"]

_TIME, _POSITION, _DEPTH = "T", "P", "Z"


def list_tiles(path: Path) -> list[SourceTile]:
    """Describe the positions of a file; see `TileSource`."""
    with opened(path, "nd2", "ND2File") as file:
        n_positions = file.sizes.get(_POSITION, 1)
        centres = [_centre(file, position, n_positions) for position in range(n_positions)]
        header = _header(file, (UNPROVEN_AXES,) if any(centres) else ())
        return [
            SourceTile(header, item=str(position) if n_positions > 1 else "", centre_um=centre)
            for position, centre in enumerate(centres)
        ]


def read_planes(path: Path, item: str, channel: int = 0) -> NDArray[Any]:
    """Read a channel of a position; see `TileSource`."""
    with opened(path, "nd2", "ND2File") as file:
        frames = _frames(file, int(item or 0))
        return np.stack([_plane(file, frames[z], channel) for z in sorted(frames)])


def _header(file: Any, notes: tuple[str, ...]) -> ImageHeader:  # noqa: ANN401  # an untyped interface
    sizes = dict(file.sizes)
    channels: tuple[str, ...] = ("grey",)
    if sizes.get("C", 1) > 1:
        metadata = file.metadata
        names = [one.channel.name for one in getattr(metadata, "channels", None) or ()]
        channels = tuple(names) or tuple(f"channel {k}" for k in range(sizes["C"]))
    voxel = file.voxel_size()
    n_z = sizes.get(_DEPTH, 1)
    pitch_um = (voxel.z if n_z > 1 else None, voxel.y, voxel.x)
    known = tuple(um if um and um > 0 else None for um in pitch_um)
    notes += chosen_note(channels, {"time points": sizes.get(_TIME, 1)})
    if unknown := set(sizes) - set("TPZCYXS"):
        raise FormatError(f"has axes {sorted(unknown)}, expected positions, planes and channels")
    return ImageHeader(n_z, sizes["Y"], sizes["X"], (known[0], known[1], known[2]), channels, notes)


def _frames(file: Any, position: int) -> dict[int, int]:  # noqa: ANN401
    """Return the number of the frame of each plane of a position, at the first time point."""
    return {
        indices.get(_DEPTH, 0): number
        for number, indices in reversed(list(enumerate(file.loop_indices)))
        if indices.get(_POSITION, 0) == position and not indices.get(_TIME, 0)
    }


def _plane(file: Any, frame: int, channel: int) -> NDArray[Any]:  # noqa: ANN401
    # (y, x), or with an axis for channels before and one for colours behind
    image = np.asarray(file.read_frame(frame))
    if file.is_rgb:
        image = image.mean(axis=-1, dtype=np.float32)
    return image[channel] if image.ndim == 3 else image


def _centre(file: Any, position: int, n_positions: int) -> tuple[float, float] | None:  # noqa: ANN401
    if n_positions > 1:
        loops = [loop for loop in file.experiment if loop.type == "XYPosLoop"]
        stage = loops[0].parameters.points[position].stagePositionUm if loops else None
        return None if stage is None else (float(stage.y), float(stage.x))
    channels = getattr(file.frame_metadata(0), "channels", None)
    position_of = channels[0].position if channels else None
    if position_of is None or position_of.stagePositionUm is None:
        return None
    return float(position_of.stagePositionUm.y), float(position_of.stagePositionUm.x)
