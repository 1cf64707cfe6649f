"""Coordinate transformations of NGFF metadata, brought to one pitch and one offset per axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["AxisTransform", "UnsupportedTransformError", "axis_transform", "output_system"]

# Cosine of the angle between axes that are called perpendicular, and sine of one that is no turn.
# Files keep at least seven digits; twice as much takes a turn of 0.001 degrees for none.
_SQUARE = 1e-5


class UnsupportedTransformError(ValueError):
    """A sound transformation that no pitch per axis comes near to."""


@dataclass(frozen=True, slots=True)
class AxisTransform:
    """Where the voxels of an array lie.

    Parameters
    ----------
    order : tuple of int
        For every axis of the array, the axis of the coordinate system that it follows.
    scale : tuple of float
        Pitch along every axis of the array, in the unit of the axis it follows.
    translation : tuple of float or None
        Centre of the first voxel along every axis of the array; None where none was given.
    left_out : str
        What a pitch per axis cannot say (a rotation, a reflection); empty when it says all.
    has_scale : bool
        Whether anything set the pitch; else it is 1.
    """

    order: tuple[int, ...]
    scale: tuple[float, ...]
    translation: tuple[float, ...] | None
    left_out: str = ""
    has_scale: bool = True


@dataclass(frozen=True, slots=True)
class _Affine:
    matrix: NDArray[np.float64]
    shift: NDArray[np.float64]
    has_shift: bool = False
    has_scale: bool = False

    def then(self, other: _Affine) -> _Affine:
        return _Affine(
            other.matrix @ self.matrix,
            other.matrix @ self.shift + other.shift,
            self.has_shift or other.has_shift,
            self.has_scale or other.has_scale,
        )


def axis_transform(transforms: Sequence[Mapping[str, Any]], ndim: int) -> AxisTransform | None:
    """Compose transformations, the first of the list first.

    Parameters
    ----------
    transforms : sequence of mapping
        Entries of `coordinateTransformations`.
    ndim : int
        Number of axes.

    Returns
    -------
    AxisTransform or None
        None when nothing sets a pitch, or moves or turns the voxels.

    Raises
    ------
    ValueError
        When one is of a kind that no pitch per axis comes near to, or does not fit the axes.
    """
    whole = _identity(ndim)
    for transform in transforms:
        whole = whole.then(_affine(transform, ndim))
    is_moved = whole.has_scale or whole.has_shift or not np.array_equal(whole.matrix, np.eye(ndim))
    if not is_moved:
        return None
    return _per_axis(whole)


def output_system(transforms: Sequence[Mapping[str, Any]]) -> str:
    """Return the name of the coordinate system that transformations lead to; empty if unsaid."""
    found = transforms[-1].get("output") if transforms else None
    return str(found.get("name", "") if isinstance(found, dict) else found or "")


def _identity(ndim: int) -> _Affine:
    return _Affine(np.eye(ndim), np.zeros(ndim))


def _affine(transform: Mapping[str, Any], ndim: int) -> _Affine:
    match kind := transform["type"]:
        case "identity":
            return _identity(ndim)
        case "scale":
            return _Affine(
                np.diag(_numbers(transform, "scale", (ndim,))), np.zeros(ndim), False, True
            )
        case "translation":
            return _Affine(np.eye(ndim), _numbers(transform, "translation", (ndim,)), True)
        case "mapAxis":
            order = [int(axis) for axis in transform["mapAxis"]]
            return _Affine(np.eye(ndim)[order], np.zeros(ndim))
        case "rotation":
            turn = _numbers(transform, "rotation", (ndim, ndim))
            return _Affine(turn, np.zeros(ndim))
        case "affine":
            whole = _numbers(transform, "affine", (ndim, ndim + 1))
            return _Affine(whole[:, :-1], whole[:, -1], True, True)
        case "sequence":
            inner = _identity(ndim)
            for part in transform["transformations"]:
                inner = inner.then(_affine(part, ndim))
            return inner
    raise UnsupportedTransformError(
        f"a coordinate transformation of type {kind!r} is not supported"
    )


def _numbers(
    transform: Mapping[str, Any], name: str, shape: tuple[int, ...]
) -> NDArray[np.float64]:
    if name not in transform and "path" in transform:
        raise UnsupportedTransformError(
            f"a {name} that is kept in an array ({transform['path']}) is not supported"
        )
    values = np.array(transform[name], dtype=np.float64)
    if values.shape != shape:
        raise ValueError(f"a {name} has {values.shape} values for {shape[0]} axes")
    return values


def _per_axis(whole: _Affine) -> AxisTransform:
    matrix = whole.matrix
    ndim = len(matrix)
    pitch = np.linalg.norm(matrix, axis=0)
    if not np.any(matrix[~np.eye(ndim, dtype=bool)]):
        return _straight(whole, np.diag(matrix))
    order = [int(row) for row in np.abs(matrix).argmax(axis=0)]
    directions = matrix / np.where(pitch > 0, pitch, 1)
    if not (pitch > 0).all() or sorted(order) != list(range(ndim)):
        raise UnsupportedTransformError(
            "a coordinate transformation that leaves out or flattens an axis is not supported"
        )
    if np.abs(directions.T @ directions - np.eye(ndim)).max() > _SQUARE:
        raise UnsupportedTransformError("a coordinate transformation with a shear is not supported")
    along = directions[order, range(ndim)]
    off = directions.copy()
    off[order, range(ndim)] = 0
    left_out = ""
    if (sine := np.abs(off).max()) > _SQUARE:
        left_out = f"a rotation by about {np.degrees(np.arcsin(min(sine, 1))):.3g} degrees"
    elif along.min() < 0:
        left_out = "a reflection"
    shift = tuple(float(value) for value in whole.shift[order]) if whole.has_shift else None
    pitches = tuple(float(value) for value in pitch)
    return AxisTransform(tuple(order), pitches, shift, left_out, whole.has_scale)


def _straight(whole: _Affine, scale: NDArray[np.float64]) -> AxisTransform:
    shift = tuple(float(value) for value in whole.shift) if whole.has_shift else None
    left_out = "a reflection" if (scale < 0).any() else ""
    pitch = tuple(float(abs(value)) for value in scale)
    return AxisTransform(tuple(range(len(scale))), pitch, shift, left_out, whole.has_scale)
