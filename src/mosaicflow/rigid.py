"""Rigid motions in a plane, and the two ways they are written to disk."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

__all__ = ["Rigid2D", "finite", "parse_tfm", "positive", "rotation", "to_tfm"]

YX = tuple[float, float]
# Of px, planes, um and degrees: a kilometre at 1 um. A tenth is still beyond any volume; ten times
# as much, and whatever counts its planes or pixels takes minutes.
_LARGEST = 1e9


def rotation(angle: float) -> NDArray[np.float64]:
    """Return ``[[cos, -sin], [sin, cos]]`` of an angle [rad] from +y towards +x, for (y, x)."""
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, -sin], [sin, cos]])


@dataclass(frozen=True, slots=True)
class Rigid2D:
    """Rotation about a centre, then a translation, of points given as (y, x).

    ``q = R (p - center) + center + translation`` with ``R = [[cos, -sin], [sin, cos]]``.

    Parameters
    ----------
    angle_deg : float
        Rotation, from +y towards +x.
    center_yx, translation_yx : tuple of float
        Centre of the rotation and translation [px].
    """

    angle_deg: float
    center_yx: YX
    translation_yx: YX

    @property
    def matrix(self) -> NDArray[np.float64]:
        """Rotation matrix, shape (2, 2), acting on (y, x)."""
        return rotation(math.radians(self.angle_deg))

    @property
    def offset(self) -> NDArray[np.float64]:
        """Image of the point (0, 0), shape (2,)."""
        center = np.array(self.center_yx)
        moved: NDArray[np.float64] = center + np.array(self.translation_yx)
        moved -= self.matrix @ center
        return moved

    @property
    def homogeneous(self) -> NDArray[np.float64]:
        """Matrix for points (y, x, 1), shape (3, 3)."""
        whole: NDArray[np.float64] = np.eye(3)
        whole[:2, :2], whole[:2, 2] = self.matrix, self.offset
        return whole

    def apply(self, points_yx: ArrayLike) -> NDArray[np.float64]:
        """Map points, shape (..., 2)."""
        mapped: NDArray[np.float64] = np.asarray(points_yx, dtype=np.float64) @ self.matrix.T
        return mapped + self.offset

    def about(self, center_yx: YX) -> Rigid2D:
        """Describe the same motion with another centre."""
        translation = self.apply(center_yx) - np.array(center_yx)
        return Rigid2D(self.angle_deg, center_yx, _as_yx(translation))

    def inverse(self) -> Rigid2D:
        """Undo the motion; the centre stays."""
        translation = -(self.matrix.T @ np.array(self.translation_yx))
        return Rigid2D(-self.angle_deg, self.center_yx, _as_yx(translation))

    def after(self, first: Rigid2D) -> Rigid2D:
        """Compose: apply `first`, then this; the centre is that of `first`."""
        translation = self.apply(first.apply(first.center_yx)) - np.array(first.center_yx)
        return Rigid2D(self.angle_deg + first.angle_deg, first.center_yx, _as_yx(translation))

    @classmethod
    def from_json(cls, record: Mapping[str, Any], where: str) -> Rigid2D:
        """Read the angle, centre and translation of a transform file or a table of slices."""
        try:
            center_y, center_x = (finite(value) for value in record["center_yx"])
            shift_y, shift_x = (finite(value) for value in record["translation_yx"])
            angle = finite(record["angle_deg"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise FormatError(
                f"{where}: found no usable angle_deg, center_yx and translation_yx ({error!r})",
                remedy="write it again with the stage that made it",
            ) from error
        return cls(angle, (center_y, center_x), (shift_y, shift_x))

    def to_json(self) -> dict[str, Any]:
        """Give angle, centre and translation with plain values."""
        return {
            "angle_deg": round(self.angle_deg, 9),
            "center_yx": [round(value, 6) for value in self.center_yx],
            "translation_yx": [round(value, 6) for value in self.translation_yx],
        }


def positive(value: Any) -> float:  # noqa: ANN401  # parsed JSON
    """Give a number above 0 that a file holds, or raise ValueError."""
    number = finite(value)
    if number <= 0:
        raise ValueError(f"{value} is not above 0")
    return number


def finite(value: Any) -> float:  # noqa: ANN401  # parsed JSON
    """Give a place or length that a file holds, or raise ValueError."""
    number = float(value)
    if not abs(number) <= _LARGEST:  # nor NaN
        raise ValueError(f"{number:.3g} is no place or length of a slice")
    return number


def _as_yx(vector: NDArray[np.float64]) -> YX:
    return float(vector[0]), float(vector[1])


# ITK orders coordinates x, y, z: swapping the two lateral axes turns a rotation round.
_TFM = """#Insight Transform File V1.0
#Transform 0
Transform: Euler3DTransform_double_3_3
Parameters: 0 0 {rz:.9g} {tx:.9g} {ty:.9g} 0
FixedParameters: {cx:.9g} {cy:.9g} 0 0
"""


def to_tfm(transform: Rigid2D) -> str:
    """Write a motion as the text of an ITK ``Euler3DTransform`` (pixels, axes x, y, z)."""
    return _TFM.format(
        rz=-math.radians(transform.angle_deg) + 0.0,
        tx=transform.translation_yx[1],
        ty=transform.translation_yx[0],
        cx=transform.center_yx[1],
        cy=transform.center_yx[0],
    )


def parse_tfm(text: str, where: str) -> Rigid2D:
    """Read the text of an ITK ``Euler3DTransform`` that turns about z only.

    Parameters
    ----------
    text : str
        Content of the file.
    where : str
        Its name, for messages.

    Returns
    -------
    Rigid2D
        The motion in (y, x) order [px].

    Raises
    ------
    FormatError
        When it is another kind of transform or tilts the plane.
    """
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    if not fields.get("Transform", "").strip().startswith("Euler3DTransform"):
        found = fields.get("Transform", "no transform").strip()
        raise FormatError(f"{where}: found {found}, expected an Euler3DTransform")
    try:
        rx, ry, rz, tx, ty, tz = (float(value) for value in fields["Parameters"].split())
        cx, cy = (float(value) for value in fields["FixedParameters"].split()[:2])
    except (KeyError, ValueError) as error:
        raise FormatError(f"{where}: expected 6 parameters and a centre ({error})") from error
    if rx or ry or tz:
        raise FormatError(f"{where}: the motion leaves the plane, expected a turn about z only")
    return Rigid2D(-math.degrees(rz), (cy, cx), (ty, tx))
