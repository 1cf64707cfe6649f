"""Neighbouring slices laid over each other, where the stage has them and where they were placed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mosaicflow.errors import FormatError
from mosaicflow.report.pictures import Picture, encoded, pitch_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from mosaicflow.report.records import RunFiles

__all__ = ["Overlay", "neighbour_overlays"]

# Longest side of one picture in px: two of fifty pairs stay below 2 MB; twice as long they would
# not fit the page's 5 MB.
_SIDE = 360


@dataclass(frozen=True, slots=True)
class Overlay:
    """Two neighbouring slices: one in magenta, the next in green; where both agree it is grey.

    Parameters
    ----------
    fixed_id, moving_id : int
        The slices.
    stage, placed : Picture
        As the stage reported them, and as the alignment placed them.
    """

    fixed_id: int
    moving_id: int
    stage: Picture
    placed: Picture


def neighbour_overlays(files: RunFiles, alignment: Mapping[str, Any]) -> tuple[Overlay, ...]:
    """Draw each slice over the next one.

    Parameters
    ----------
    files : RunFiles
        Of a run; the previews of the finished slices are used.
    alignment : mapping
        Content of ``alignment.json``.

    Returns
    -------
    tuple of Overlay
        Of neighbours that both have a preview and a place by the stage.
    """
    from itertools import pairwise

    from mosaicflow import names
    from mosaicflow.names import parse_slice_id

    if not alignment.get("slices"):
        return ()
    pictures = {parse_slice_id(p.name): p for p in files.of(names.NORMALIZED_PICTURE)}
    known = [
        one
        for one in alignment["slices"]
        if one["slice_id"] in pictures and one["evidence"].get("moved_from_stage_px") is not None
    ]
    pairs = pairwise(sorted(known, key=lambda one: one["slice_id"]))
    try:
        return tuple(_overlay(pair, pictures, alignment) for pair in pairs)
    except (
        ArithmeticError,
        FormatError,
        ValueError,
    ) as error:  # also of a matrix that cannot be inverted
        raise FormatError(
            f"{names.ALIGNMENT.of()}: its numbers are no places of slices ({error})",
            remedy="run solve_alignment again",
        ) from error


def _overlay(
    pair: tuple[Mapping[str, Any], Mapping[str, Any]],
    pictures: Mapping[int, Path],
    alignment: Mapping[str, Any],
) -> Overlay:
    placed = [(pictures[one["slice_id"]], one) for one in pair]
    drawn = (_drawn(placed, alignment, to) for to in ("stage", "placed"))
    return Overlay(pair[0]["slice_id"], pair[1]["slice_id"], *drawn)


@dataclass(frozen=True, slots=True)
class _Canvas:
    """What is drawn on: pitch of the alignment [um], how many of its pixels make one, size."""

    pitch_um: float
    coarse: float
    size: tuple[int, int]


def _drawn(
    pair: list[tuple[Path, Mapping[str, Any]]], alignment: Mapping[str, Any], to: str
) -> Picture:
    import numpy as np

    shape = tuple(alignment["canvas_yx"])
    coarse = max(1.0, max(shape) / _SIDE)
    size = (math.ceil(shape[0] / coarse), math.ceil(shape[1] / coarse))
    canvas = _Canvas(float(alignment["pitch_um"][1]), coarse, size)
    first, second = (_placed(path, canvas_from_slice(one, to), canvas) for path, one in pair)
    image = np.stack([first, second, first], axis=-1)
    ids = "-".join(str(one["slice_id"]) for _, one in pair)
    return encoded(image, f"slices {ids} by {to}", coarse * canvas.pitch_um)


def _placed(path: Path, place: NDArray[np.float64], canvas: _Canvas) -> NDArray[np.uint8]:
    """Draw a preview where its slice lies on the canvas."""
    import numpy as np
    from PIL import Image
    from scipy.ndimage import affine_transform

    with Image.open(path) as image:
        step = (pitch_of(image) or canvas.pitch_um) / canvas.pitch_um
        grey = np.asarray(image.convert("L"), np.float32)
    # Pixels of n times the size lie n times as far apart, their middles included.
    matrix = np.linalg.inv(_grown(step)) @ np.linalg.inv(place) @ _grown(canvas.coarse)
    drawn = affine_transform(grey, matrix, output_shape=canvas.size, order=1)
    return np.asarray(np.clip(drawn, 0, 255), np.uint8)


def canvas_from_slice(one: Mapping[str, Any], to: str = "placed") -> NDArray[np.float64]:
    """Give the map from a slice's pixels to the canvas's.

    Parameters
    ----------
    one : mapping
        The slice's entry in ``alignment.json``.
    to : {"placed", "stage"}
        As the alignment placed it, or as the stage reported it.

    Returns
    -------
    ndarray, shape (3, 3)
        For homogeneous points (y, x, 1).
    """
    from mosaicflow.rigid import Rigid2D, finite

    placed = Rigid2D.from_json(one, f"slice {one.get('slice_id')}")
    if to == "placed":
        return placed.homogeneous
    moved = map(finite, one["evidence"]["moved_from_stage_px"])
    y, x = (t - m for t, m in zip(placed.translation_yx, moved, strict=True))
    return Rigid2D(0.0, placed.center_yx, (y, x)).homogeneous


def _grown(factor: float) -> NDArray[np.float64]:
    import numpy as np

    half = (factor - 1) / 2
    return np.array([[factor, 0, half], [0, factor, half], [0, 0, 1.0]])
