"""Making values fit to be stored, and telling which do: 16 bits, no NaN or infinity."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from mosaicflow.errors import FormatError
from mosaicflow.io.zarr.errors import ArgumentError, OmeZarrWarning

if TYPE_CHECKING:
    import dask.array as da
    from numpy.typing import ArrayLike, NDArray

    from mosaicflow.io.zarr.grid import Key

__all__ = [
    "as_block",
    "fits_dtype",
    "is_lazy",
    "kept_dtype",
    "replace_nonfinite",
    "storable_dtype",
    "to_uint16",
]


def fits_dtype(value: ArrayLike, found: np.dtype[Any], wanted: np.dtype[Any]) -> bool:
    """Whether values may be rounded on their way into a store, but never wrap or lose a part."""
    if type(value) in {bool, int, float, complex}:  # not numpy.float64, which is a float, too
        return np.result_type(value, wanted) == wanted
    return np.can_cast(found, wanted, "safe" if wanted.kind in "iu" else "same_kind")


def as_block(value: ArrayLike, key: Key, dtype: np.dtype[Any], where: str) -> NDArray[Any]:
    """Broadcast values to the region that they are written to.

    Parameters
    ----------
    value : array_like
        Values.
    key : Key
        The region.
    dtype : dtype
        Of the store.
    where : str
        The store, for messages.

    Raises
    ------
    TypeError
        When the type of the store does not hold them.
    """
    array = np.asarray(value)
    if not fits_dtype(value, array.dtype, dtype):
        raise TypeError(
            f"{where}: {array.dtype} values do not fit a {dtype} store; convert"
            " them first, for example with astype"
        )
    # From the value itself: a Python number out of range is refused, an array would wrap.
    block = np.asarray(value, dtype=dtype)
    return np.broadcast_to(block, key.value_shape).reshape(key.shape)


def is_lazy(value: ArrayLike | da.Array) -> TypeGuard[da.Array]:
    """Whether a value is a dask array, found out without an import of dask."""
    return hasattr(value, "__dask_graph__")


def to_uint16(data: NDArray[Any], low: float, high: float) -> NDArray[np.uint16]:
    """Return values stretched so that `low` becomes 0 and `high` 65535.

    Parameters
    ----------
    data : ndarray
        Real values of any shape; what lies outside the limits is clipped, NaN becomes 0.
    low, high : float
        Limits, `low` below `high`.

    Returns
    -------
    ndarray, dtype uint16
        Rounded half to even.
    """
    if not low < high:
        raise ArgumentError(f"to_uint16: low {low} is not below high {high}")
    scaled = (np.asarray(data, dtype=np.float64) - low) * (65535 / (high - low))
    return np.rint(np.clip(np.nan_to_num(scaled, nan=0.0), 0, 65535)).astype(np.uint16)


def replace_nonfinite(data: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """Return values without NaN and infinity, and how many were replaced by 0.

    Parameters
    ----------
    data : ndarray
        Values of any shape and type; not changed.

    Returns
    -------
    values : ndarray
        `data` itself when nothing had to be replaced.
    count : int
        Number of values replaced; a stage reports it.
    """
    if data.dtype.kind not in "fc":
        return data, 0
    bad = ~np.isfinite(data)
    count = int(np.count_nonzero(bad))
    return (np.where(bad, data.dtype.type(0), data), count) if count else (data, 0)


def storable_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type a store keeps values of another type in without changing them."""
    if dtype.name in {"uint8", "uint16", "float32", "float64", "complex64"}:
        return dtype.newbyteorder("=")
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    exact = dtype.kind in "iu" and dtype.itemsize <= 2
    return np.dtype(np.float32 if exact or dtype == np.float16 else np.float64)


def kept_dtype(found: np.dtype[Any], where: str) -> np.dtype[Any]:
    """Return the type in which a store keeps values of another one, with a warning if it differs.

    Parameters
    ----------
    found : dtype
        Of the values.
    where : str
        What holds them, for messages.

    Raises
    ------
    FormatError
        When no type of a store holds all of its values.
    """
    kept = storable_dtype(found)
    if kept == found:
        return kept
    # Integers of eight bytes do not all have a float64 of their own, whatever numpy calls safe.
    if not np.can_cast(found, kept, "safe") or (found.kind in "iu" and found.itemsize > 4):
        raise FormatError(
            f"{where}: values of type {found} cannot be kept in a store without loss",
            remedy="convert it to .nii, or store it in 32 bits (or as float64) with the program"
            " that wrote it",
        )
    text = f"{where}: values of type {found} are written as {kept}"
    warnings.warn(text, OmeZarrWarning, stacklevel=3)
    return kept
