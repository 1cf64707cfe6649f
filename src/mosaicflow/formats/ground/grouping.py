"""Splitting rows into entities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def split_by(keys: NDArray[Any]) -> list[tuple[Any, NDArray[np.intp]]]:
    """Group row numbers by key, keys ascending, file order kept inside a group.

    Parameters
    ----------
    keys : ndarray, shape (N,)
        Numbers or strings.

    Returns
    -------
    list of (key, ndarray of intp)
        Row numbers of each distinct key; no group without rows.
    """
    if len(keys) == 0:
        return []
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    # `!=` would give each NaN its own group.
    different = ordered[1:] != ordered[:-1]
    if ordered.dtype.kind == "f":
        different &= ~(np.isnan(ordered[1:]) & np.isnan(ordered[:-1]))
    starts = np.flatnonzero(np.concatenate([[True], different]))
    groups = np.split(order, starts[1:])
    return [(ordered[start], rows) for start, rows in zip(starts, groups, strict=True)]


def as_integers(values: NDArray[Any]) -> NDArray[Any]:
    """Return whole numbers as int64; anything else unchanged.

    Parameters
    ----------
    values : ndarray
        Any dtype.

    Returns
    -------
    ndarray
    """
    if values.dtype.kind != "f" or not np.all(np.isfinite(values)):
        return values
    if not np.all((values == np.round(values)) & (np.abs(values) < 2**53)):
        return values
    return values.astype(np.int64)
