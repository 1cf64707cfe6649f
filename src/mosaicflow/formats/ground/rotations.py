"""Quaternions, normals and RELION's Euler angles.

Quaternions are scalar first (w, x, y, z) and rotate the reference frame into the tomogram. Euler
angles are (rot, tilt, psi) in degrees, intrinsic ZYZ, and describe the inverse of that rotation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "euler_from_quaternions",
    "matrices_from_quaternions",
    "normals_from_quaternions",
    "quaternions_from_euler",
    "quaternions_from_matrices",
    "quaternions_from_normals",
    "unit_quaternions",
]


def unit_quaternions(quaternions: ArrayLike) -> NDArray[np.float64]:
    """Scale quaternions to length 1.

    Parameters
    ----------
    quaternions : array-like, shape (N, 4)
        Scalar first.

    Returns
    -------
    ndarray, shape (N, 4), float64

    Raises
    ------
    ValueError
        If the shape is another, or a quaternion is zero or not finite.
    """
    given = np.asarray(quaternions, dtype=np.float64)
    if given.ndim != 2 or given.shape[1] != 4:
        raise ValueError(f"quaternions have shape {given.shape}, (N, 4) is expected")
    length = np.linalg.norm(given, axis=1, keepdims=True)
    if not np.all(np.isfinite(length) & (length > 1e-12)):
        raise ValueError("a quaternion is zero or not finite")
    return np.asarray(given / length)


def quaternions_from_euler(angles: ArrayLike) -> NDArray[np.float64]:
    """Turn RELION angles into rotations.

    Parameters
    ----------
    angles : array-like, shape (N, 3)
        (rot, tilt, psi), degrees.

    Returns
    -------
    ndarray, shape (N, 4), float64
        Scalar first, unit length.
    """
    rot, tilt, psi = np.radians(np.asarray(angles, dtype=np.float64)).T / 2
    cos_tilt, sin_tilt = np.cos(tilt), np.sin(tilt)
    half_sum, half_difference = rot + psi, psi - rot
    return np.stack(
        [
            cos_tilt * np.cos(half_sum),
            -sin_tilt * np.sin(half_difference),
            -sin_tilt * np.cos(half_difference),
            -cos_tilt * np.sin(half_sum),
        ],
        axis=1,
    )


def euler_from_quaternions(quaternions: ArrayLike) -> NDArray[np.float64]:
    """Turn rotations into RELION angles.

    Parameters
    ----------
    quaternions : array-like, shape (N, 4)
        Scalar first, any length above zero.

    Returns
    -------
    ndarray, shape (N, 3), float64
        (rot, tilt, psi) in degrees; rot and psi in [-180, 180], tilt in [0, 180].
    """
    w, x, y, z = unit_quaternions(quaternions).T
    half_sum = np.arctan2(-z, w)
    half_difference = np.arctan2(-x, -y)
    # At tilt 0 and 180 one of the two is arctan2(0, 0): any split of the turn is right.
    half_difference = np.where(np.hypot(x, y) < 1e-12, 0.0, half_difference)
    half_sum = np.where(np.hypot(w, z) < 1e-12, 0.0, half_sum)
    tilt = 2 * np.arctan2(np.hypot(x, y), np.hypot(w, z))
    angles = np.stack([half_sum - half_difference, tilt, half_sum + half_difference], axis=1)
    degrees = np.degrees(angles)
    degrees[:, ::2] -= 360 * np.round(degrees[:, ::2] / 360)
    return np.asarray(degrees)


def normals_from_quaternions(quaternions: ArrayLike) -> NDArray[np.float64]:
    """Rotate the reference normal (0, 0, 1).

    Parameters
    ----------
    quaternions : array-like, shape (N, 4)
        Scalar first, unit length.

    Returns
    -------
    ndarray, shape (N, 3), float64
        Unit vectors (x, y, z).
    """
    w, x, y, z = np.asarray(quaternions, dtype=np.float64).T
    return np.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)], axis=1)


def quaternions_from_normals(normals: ArrayLike) -> NDArray[np.float64]:
    """Find the shortest rotation from (0, 0, 1) to each normal.

    Parameters
    ----------
    normals : array-like, shape (N, 3)
        Unit vectors (x, y, z).

    Returns
    -------
    ndarray, shape (N, 4), float64
        Scalar first; 180 degrees about y for (0, 0, -1).
    """
    x, y, z = np.asarray(normals, dtype=np.float64).T
    half_angle = np.arctan2(np.hypot(x, y), z) / 2
    aside = np.hypot(x, y)
    opposite = aside < 1e-12
    safe = np.where(opposite, 1.0, aside)
    axis_x = np.where(opposite, 0.0, -y / safe)
    axis_y = np.where(opposite, 1.0, x / safe)
    sine = np.sin(half_angle)
    return np.stack([np.cos(half_angle), axis_x * sine, axis_y * sine, np.zeros_like(sine)], axis=1)


def matrices_from_quaternions(quaternions: ArrayLike) -> NDArray[np.float64]:
    """Turn rotations into matrices.

    Parameters
    ----------
    quaternions : array-like, shape (N, 4)
        Scalar first, any length above zero.

    Returns
    -------
    ndarray, shape (N, 3, 3), float64
        Act on column vectors (x, y, z).
    """
    w, x, y, z = unit_quaternions(quaternions).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows, dtype=np.float64), -1, 0)


def quaternions_from_matrices(matrices: ArrayLike) -> NDArray[np.float64]:
    """Turn rotation matrices into quaternions.

    Parameters
    ----------
    matrices : array-like, shape (N, 3, 3)
        Proper rotations that act on column vectors (x, y, z).

    Returns
    -------
    ndarray, shape (N, 4), float64
        Scalar first, unit length.
    """
    m = np.asarray(matrices, dtype=np.float64).reshape(-1, 3, 3)
    # Four ways to the same quaternion up to length; the longest is the well-conditioned one.
    trace = m[:, 0, 0] + m[:, 1, 1] + m[:, 2, 2]
    xy, xz, yz = m[:, 1, 0] + m[:, 0, 1], m[:, 0, 2] + m[:, 2, 0], m[:, 2, 1] + m[:, 1, 2]
    wx, wy, wz = m[:, 2, 1] - m[:, 1, 2], m[:, 0, 2] - m[:, 2, 0], m[:, 1, 0] - m[:, 0, 1]
    candidates = np.stack(
        [
            np.stack([1 + trace, wx, wy, wz], axis=1),
            np.stack([wx, 1 + 2 * m[:, 0, 0] - trace, xy, xz], axis=1),
            np.stack([wy, xy, 1 + 2 * m[:, 1, 1] - trace, yz], axis=1),
            np.stack([wz, xz, yz, 1 + 2 * m[:, 2, 2] - trace], axis=1),
        ],
        axis=1,
    )
    best = np.argmax(np.linalg.norm(candidates, axis=2), axis=1)
    return unit_quaternions(candidates[np.arange(len(m)), best].reshape(-1, 4))
