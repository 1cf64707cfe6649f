"""NumPy types, arrays and scalars from what a pickle says of them.

NumPy's own way back trusts it: a type whose fields lie outside its items reads foreign memory, and
one that hides object pointers turns bytes of the file into objects.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final, TypeGuard

import numpy as np

from mosaicflow.formats.sessions.refusals import BrokenPickleError, require

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["array_of_bytes", "array_of_objects", "make_dtype", "make_scalar"]

# Kind and size in bytes (characters for U), as NumPy writes them.
_SIMPLE: Final = re.compile(r"[biufcSUVMmO][0-9]{0,9}|\?")
_UNITS: Final = ("Y", "M", "W", "D", "h", "m", "s", "ms", "us", "μs", "ns", "ps", "fs", "as")
# Types within types: NumPy's functions on them recurse. Real ones have two or three.
_DEPTH: Final = 8


def make_dtype(arguments: tuple[Any, ...], state: object) -> np.dtype[Any]:
    """Return the type that ``numpy.dtype(*arguments)`` and its state describe.

    Parameters
    ----------
    arguments : tuple
        Kind and size such as ``"f8"``, and two flags that do not matter.
    state : object
        Version, byte order, sub-array, names and fields, size, alignment, flags, metadata.

    Returns
    -------
    dtype
        Objects only at the top: never inside a structure.

    Raises
    ------
    BrokenPickleError
        If that is no type.
    """
    kind = arguments[0] if arguments else None
    if not (isinstance(kind, str) and _SIMPLE.fullmatch(kind)):
        raise BrokenPickleError(f"{kind!r:.40} is no type of numbers")
    if not (type(state) is tuple and 8 <= len(state) <= 9):
        raise BrokenPickleError(f"type {kind}: its description has another form")
    order, sub_array, names, fields, size = state[1:6]
    try:
        if names is not None:
            dtype = _structure(names, fields, size)
        elif sub_array is not None:
            base, shape = sub_array
            require(_is_plain(base) and _is_shape(shape), f"type {kind}: no sub-array")
            dtype = np.dtype((base, shape))
        else:
            dtype = np.dtype(kind + _unit(kind, state))
    except (TypeError, ValueError, OverflowError) as error:
        raise BrokenPickleError(f"type {kind}: {error}") from error
    require(order in ("<", ">", "|", "="), f"type {kind}: byte order {order!r:.20}")
    return dtype.newbyteorder(order) if names is None and order in "<>" else dtype


def _structure(names: Any, fields: Any, size: Any) -> np.dtype[Any]:  # noqa: ANN401  unknown
    require(type(names) is tuple and type(fields) is dict, "a structure has no fields")
    require(type(size) is int and 0 <= size < 1 << 31, "a structure has no size")
    parts = [fields.get(name) for name in names if isinstance(name, str)]
    require(len(parts) == len(names), "a field has no name")
    for part in parts:
        require(type(part) is tuple and len(part) >= 2 and _is_plain(part[0]), "a field: no type")
    # NumPy checks that each field lies within the size, on this way; it does not on the other.
    return np.dtype(
        {
            "names": list(names),
            "formats": [part[0] for part in parts],
            "offsets": [part[1] for part in parts],
            "itemsize": size,
        }
    )


def _is_plain(dtype: object) -> bool:
    return isinstance(dtype, np.dtype) and not dtype.hasobject and _depth(dtype) < _DEPTH


def _depth(dtype: np.dtype[Any]) -> int:
    inner = [dtype.base] if dtype.subdtype else [part[0] for part in (dtype.fields or {}).values()]
    return 1 + max(map(_depth, inner), default=0)


def _unit(kind: str, state: tuple[Any, ...]) -> str:
    """Return the unit of times, such as ``"[25ns]"``."""
    if kind[0] not in "mM" or len(state) < 9:
        return ""
    _, (unit, count, *_) = state[8]
    name = unit.decode("utf-8") if isinstance(unit, bytes) else unit
    if name == "generic":
        return ""
    require(name in _UNITS and type(count) is int and count > 0, f"times in {unit!r:.20}")
    return f"[{count}{name}]"


def _is_shape(shape: object) -> TypeGuard[tuple[int, ...]]:
    return type(shape) is tuple and all(type(n) is int and n >= 0 for n in shape)


def array_of_bytes(
    dtype: object,
    shape: object,
    content: object,
    *,
    fortran: bool = False,
) -> NDArray[Any]:
    """Return an array over bytes of which there are exactly as many as it needs.

    Parameters
    ----------
    dtype, shape : object
        Must be a type without objects, and a tuple of sizes.
    content : object
        Must be bytes, or a bytearray; the array is writable over the latter.
    fortran : bool
        The first axis varies fastest.

    Returns
    -------
    ndarray

    Raises
    ------
    BrokenPickleError
        If they do not fit each other.
    """
    if not (isinstance(dtype, np.dtype) and not dtype.hasobject):
        raise BrokenPickleError("an array of bytes has no type")
    if not isinstance(content, bytes | bytearray):
        raise BrokenPickleError("an array has no content")
    n_items = _count(shape)
    if len(content) != n_items * dtype.itemsize or not dtype.itemsize:
        raise BrokenPickleError(
            f"an array of {n_items} items of {dtype.itemsize} bytes has {len(content)} bytes"
        )
    order: Any = "F" if fortran else "C"
    if not n_items:
        return _reshaped(np.empty(0, dtype), shape, order)
    return _reshaped(np.frombuffer(content, dtype), shape, order)


def array_of_objects(shape: object, items: object, *, fortran: bool) -> NDArray[Any]:
    """Return an array of the objects of a list, of which there are as many as it needs."""
    if type(items) is not list or len(items) != _count(shape):
        raise BrokenPickleError("an array of objects has another number of them")
    array = np.empty(len(items), dtype=object)
    for index, item in enumerate(items):
        array[index] = item
    return _reshaped(array, shape, "F" if fortran else "C")


def _count(shape: object) -> int:
    if not _is_shape(shape):
        raise BrokenPickleError(f"{shape!r:.60} is no shape")
    return math.prod(shape)


def _reshaped(array: NDArray[Any], shape: Any, order: Any) -> NDArray[Any]:  # noqa: ANN401
    try:
        return array.reshape(shape, order=order)
    except ValueError as error:
        # More axes than NumPy has, or an empty array whose other axes multiply beyond 64 bits.
        raise BrokenPickleError(f"shape {shape!r:.60}: {error}") from error


def make_scalar(dtype: object, content: object) -> Any:  # noqa: ANN401  any scalar
    """Return the NumPy scalar of a type that the bytes are."""
    if not (isinstance(dtype, np.dtype) and not dtype.itemsize):
        return array_of_bytes(dtype, (1,), content)[0]
    # Empty texts are the one type without bytes that is a sound scalar.
    require(dtype.kind in "SU" and not content, "a scalar without bytes")
    return dtype.type()
