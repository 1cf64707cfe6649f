"""What a run takes from another one on the same tiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mosaicflow import names
from mosaicflow.engine.layout import RunFolder
from mosaicflow.errors import InputError
from mosaicflow.names import parse_slice_id

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["TakenRun"]


class TakenRun:
    """Tables and metrics of a finished run; its grids and slices need not be kept.

    Parameters
    ----------
    root : Path
        Its output folder.

    Raises
    ------
    InputError
        When it is no finished run.
    """

    def __init__(self, root: Path) -> None:
        self._folder = RunFolder(root.resolve())
        for kind in (names.ALIGNMENT, names.DISTORTION):
            if not self._folder.path(kind.of()).is_file():
                raise InputError(
                    f"{root}: has no {kind.folder}/{kind.of()}, expected the output folder of a "
                    "finished run",
                    remedy="finish that run, or give another positions_from",
                )
        faces = self._folder.all_of(names.CROPPED_METRICS)
        self._faces = {parse_slice_id(path): path for path in faces}

    def tables(self) -> dict[str, Any]:
        """Give what take_positions reads of it, by argument."""
        kinds = {
            "run_tiles": names.TILES,
            "run_positions": names.POSITIONS,
            "run_stages": names.STAGE,
        }
        return {
            **{key: tuple(self._folder.all_of(kind)) for key, kind in kinds.items()},
            "distortion": self._folder.path(names.DISTORTION.of()),
            "alignment": self._folder.path(names.ALIGNMENT.of()),
        }

    def face(self, z: str) -> dict[str, Any]:
        """Give what crop_interface reads of it, by argument; nothing of a slice that it lost."""
        face = self._faces.get(parse_slice_id(z))
        return {} if face is None else {"face_of": face}

    def curvature(self) -> Path | None:
        """Find the field's curvature; None where tiles were not made flat."""
        found = self._folder.path(names.CURVATURE.of())
        was_used = bool(self._folder.all_of(names.FLAT_METRICS))
        return found if was_used and found.is_file() else None
