"""The objects that a session may hold, made from what a pickle says of them, never by it.

Every function here checks what it is given: names, counts and sizes come from an unknown file.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mosaicflow.formats.ground.properties import VertexPropertyContainer
from mosaicflow.formats.ground.records import GeometryData, GeometryDataContainer
from mosaicflow.formats.sessions.arrays import (
    array_of_bytes,
    array_of_objects,
    make_dtype,
    make_scalar,
)
from mosaicflow.formats.sessions.names import record_class
from mosaicflow.formats.sessions.refusals import BrokenPickleError, RefusedNameError, require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    Arguments = tuple[Any, ...]

__all__ = ["Builder", "Name", "Pending"]

# Tuples can be made to collide, and then cost grows with their square: this many cost 0.1 s, twice
# as many 0.4 s. Strings cannot, their hash is salted.
_TUPLE_KEYS: Final = 2000
# What a key that is a tuple may consist of: hashing recurses without a limit.
_PARTS_OF_A_KEY: Final = 64
# Larger whole numbers have the hash of smaller ones.
_LARGEST_KEY: Final = 1 << 60
# Arrays of objects within each other are freed by recursion, some 200 bytes of stack each; a
# thread may have 512 KiB.
_OBJECT_ARRAYS: Final = 1000


@dataclass(frozen=True)
class Name:
    """A class or function that a pickle mentions. It stays a name."""

    text: str
    record: type | None = None


@dataclass(eq=False)
class Pending:
    """A NumPy array or type of which the pickle has not told the content yet."""

    arguments: Arguments
    is_array: bool
    memo_indices: list[int] = field(default_factory=list)


class Builder:
    """Makes the objects of one pickle and counts what is dear about them.

    Parameters
    ----------
    n_bytes, n_items : int
        Bytes and items that may be copied. A pickler writes each once; a hostile file copies one
        long text a million times.

    Attributes
    ----------
    n_drafts : int
        Arrays and types that still lack their content.
    """

    def __init__(self, *, n_bytes: int, n_items: int) -> None:
        self.n_drafts = 0
        self._n_bytes = n_bytes
        self._n_items = n_items
        self._tuple_keys = _TUPLE_KEYS
        self._object_arrays = _OBJECT_ARRAYS

    def name(self, module: str, name: str) -> Name:
        """Take note of a class or function that the pickle names; refuse all but a few."""
        full = f"{module}.{name}"
        # A dotted name would reach through an allowed class to anything.
        if "." not in name:
            record = record_class(module, name)
            if record is not None or full in _CALLS or full == _NDARRAY:
                return Name(full, record)
        raise RefusedNameError(f"{full:.200}")

    def call(self, name: object, arguments: object) -> Any:  # noqa: ANN401  any object
        """Do what a pickle means by calling a function it has named."""
        if not isinstance(name, Name) or type(arguments) is not tuple:
            raise BrokenPickleError("what is called is no function")
        if name.text not in _CALLS:
            raise RefusedNameError(f"a call of {name.text}")
        try:
            return _CALLS[name.text](self, *arguments)
        except TypeError as error:
            raise BrokenPickleError(f"{name.text} is called with other arguments") from error

    def new(self, name: object, arguments: object) -> Any:  # noqa: ANN401  any object
        """Make an object of a class, without content."""
        if not isinstance(name, Name) or arguments != ():
            raise BrokenPickleError("what is made is no object of a class")
        if name.record is None:
            raise RefusedNameError(f"an object of {name.text}")
        return GeometryDataContainer([]) if name.record is GeometryDataContainer else name.record()

    def build(self, target: object, state: object) -> Any:  # noqa: ANN401  any object
        """Give an object its content; returns the object, or what a draft has become."""
        if isinstance(target, Pending):
            self.n_drafts -= 1
            return self._array(state) if target.is_array else make_dtype(target.arguments, state)
        if type(target) not in (VertexPropertyContainer, GeometryData, GeometryDataContainer):
            raise BrokenPickleError(f"{type(target).__name__} has no further content")
        if type(state) is not dict or not all(type(key) is str for key in state):
            raise BrokenPickleError(f"a {type(target).__name__} has no attributes")
        if isinstance(target, VertexPropertyContainer):
            _require_properties(state)
        elif isinstance(target, GeometryDataContainer):
            state = _whole_container(state)
        vars(target).update(state)
        return target

    def set_items(self, target: dict[Any, Any], keys: Sequence[Any], values: Sequence[Any]) -> None:
        """Put entries into a dictionary."""
        target.update(zip(self.hashable(keys), values, strict=True))

    def hashable(self, keys: Iterable[Any]) -> Iterable[Any]:
        """Return keys whose hashing and comparing costs little; refuse others."""
        for key in keys:
            kind = type(key)
            if kind is str or kind is bytes:
                continue
            if kind is tuple or kind is frozenset:
                self._tuple_keys -= 1
                require(self._tuple_keys >= 0, "more keys are tuples than in any session")
                _require_small(key, _PARTS_OF_A_KEY)
            else:
                _require_scalar(key)
        return keys

    def copied(self, content: Sequence[Any]) -> None:
        """Pay for a copy of bytes, a text or a list."""
        if isinstance(content, bytes | bytearray | str):
            self._n_bytes -= len(content)
        else:
            self._n_items -= len(content)
        require(self._n_bytes >= 0 and self._n_items >= 0, "it copies more than it holds")

    def draft(self, arguments: Arguments, *, is_array: bool) -> Pending:
        """Make an array or a type that waits for its content."""
        self.n_drafts += 1
        return Pending(arguments, is_array)

    def _array(self, state: object) -> Any:  # noqa: ANN401  any array
        # Very old files leave out the version in front.
        if type(state) is not tuple or len(state) not in (4, 5):
            raise BrokenPickleError("an array has no content")
        shape, dtype, fortran, content = state[-4:]
        if not isinstance(content, bytes | str | list):
            raise BrokenPickleError("an array has no content")
        self.copied(content)
        if isinstance(content, list):
            require(isinstance(dtype, np.dtype) and dtype.kind == "O", "a list is no content")
            self._object_arrays -= 1
            require(self._object_arrays >= 0, "more arrays of objects than in any session")
            return array_of_objects(shape, content, fortran=bool(fortran))
        # A copy: such arrays are writable, and bytes are not.
        buffer = bytearray(_latin(content) if isinstance(content, str) else content)
        return array_of_bytes(dtype, shape, buffer, fortran=bool(fortran))


def _require_scalar(key: object) -> None:
    kind = type(key)
    if kind is int and not -_LARGEST_KEY < key < _LARGEST_KEY:  # type: ignore[operator]
        raise BrokenPickleError("a key is a number of more than 60 bits")
    if not (kind in (str, bytes, bool, int, float, complex, type(None)) or _is_number(key)):
        raise BrokenPickleError(f"a key is {kind.__name__}")


def _is_number(key: object) -> bool:
    return isinstance(key, np.number | np.bool_ | np.str_ | np.bytes_)


def _require_small(key: object, n_parts: int) -> int:
    """Refuse a key of more parts; returns how many more it could have had."""
    if type(key) is not tuple and type(key) is not frozenset:
        _require_scalar(key)
        return n_parts - 1
    for part in key:
        # Counted before it is looked into: neither deeper nor longer than there are parts left.
        require(n_parts > 0, f"a key has more than {_PARTS_OF_A_KEY} parts")
        n_parts = _require_small(part, n_parts - 1)
    return n_parts


def _require_properties(state: dict[str, Any]) -> None:
    properties, count = state.get("_properties"), state.get("_n_vertices")
    if type(properties) is not dict or not all(type(name) is str for name in properties):
        raise BrokenPickleError("vertex properties have no names")
    for name, values in properties.items():
        if not isinstance(values, np.ndarray) or not values.ndim or len(values) != count:
            raise BrokenPickleError(f"property '{name:.40}' has no value for each vertex")
    if not properties:
        state["_n_vertices"] = 0


def _whole_container(state: dict[str, Any]) -> dict[str, Any]:
    """Attributes of a container, with those that its writer did not have."""
    vertices = state.get("vertices")
    if type(vertices) is not list:
        raise BrokenPickleError("a container has no vertices")
    whole = {**vars(GeometryDataContainer([])), **state}
    for name, width in (("vertices", 3), ("normals", 3), ("faces", 3), ("quaternions", 4)):
        items = whole[name]
        if items is None and name == "faces":
            continue
        if name not in state:
            items = whole[name] = [None] * len(vertices)
        if type(items) is not list or len(items) != len(vertices):
            raise BrokenPickleError(f"{name} are not given for each of {len(vertices)} entities")
        for item in items:
            if not _is_table(item, width) and (item is not None or name == "vertices"):
                raise BrokenPickleError(f"{name} of a container: rows of {width} are expected")
    return whole | _whole_properties(state, len(vertices))


def _whole_properties(state: dict[str, Any], n_entities: int) -> dict[str, Any]:
    name = "vertex_properties"
    items = state.get(name) or [VertexPropertyContainer() for _ in range(n_entities)]
    if type(items) is not list or len(items) != n_entities:
        raise BrokenPickleError(f"{name} are not given for each of {n_entities} entities")
    if not all(isinstance(item, VertexPropertyContainer) for item in items):
        raise BrokenPickleError(f"{name} of a container are something else")
    return {name: items}


def _is_table(item: object, width: int) -> bool:
    return isinstance(item, np.ndarray) and item.ndim == 2 and item.shape[1] == width


def _latin(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError as error:
        raise BrokenPickleError("bytes written as a text have other characters") from error


def _set(builder: Builder, items: Any = ()) -> set[Any]:  # noqa: ANN401  from a file
    require(type(items) in (list, tuple), "a set of no list")
    builder.copied(items)
    return set(builder.hashable(items))


def _ordered(builder: Builder, pairs: Any = ()) -> OrderedDict[Any, Any]:  # noqa: ANN401
    require(type(pairs) in (list, tuple), "an ordered dictionary of no list")
    builder.copied(pairs)
    if not all(type(pair) in (list, tuple) and len(pair) == 2 for pair in pairs):
        raise BrokenPickleError("an ordered dictionary of no pairs")
    target: OrderedDict[Any, Any] = OrderedDict()
    builder.set_items(target, [pair[0] for pair in pairs], [pair[1] for pair in pairs])
    return target


def _bytes(builder: Builder, content: Any = b"", encoding: Any = "latin-1") -> bytes:  # noqa: ANN401
    """Bytes, which protocol 2 writes as a text."""
    require(encoding in ("latin1", "latin-1"), "bytes written as a text in another code")
    require(isinstance(content, bytes | str), "bytes of no bytes")
    builder.copied(content)
    return _latin(content) if isinstance(content, str) else bytes(content)


def _complex(_: Builder, real: Any, imaginary: Any) -> complex:  # noqa: ANN401
    require(type(real) is float and type(imaginary) is float, "a complex number of no numbers")
    return complex(real, imaginary)


def _array_draft(builder: Builder, kind: Any, shape: Any, code: Any) -> Pending:  # noqa: ANN401
    require(kind == Name(_NDARRAY), "an array of a foreign class")
    return builder.draft((shape, code), is_array=True)


def _buffer_array(_: Builder, content: Any, dtype: Any, shape: Any, order: Any) -> Any:  # noqa: ANN401
    require(order in ("C", "F"), "an array in no order")
    return array_of_bytes(dtype, shape, content, fortran=order == "F")


_BUILTINS: Final[dict[str, Callable[..., Any]]] = {
    "set": _set,
    "frozenset": lambda builder, *items: frozenset(_set(builder, *items)),
    "bytes": _bytes,
    "bytearray": lambda builder, *content: bytearray(_bytes(builder, *content)),
    "complex": _complex,
}
_NDARRAY: Final = "numpy.ndarray"
# The only calls that are understood, under the homes they have had in NumPy 1 and 2 and Python 2.
_CALLS: Final[dict[str, Callable[..., Any]]] = {
    "numpy.core.multiarray._reconstruct": _array_draft,
    "numpy._core.multiarray._reconstruct": _array_draft,
    "numpy.core.numeric._frombuffer": _buffer_array,
    "numpy._core.numeric._frombuffer": _buffer_array,
    "numpy.core.multiarray.scalar": lambda _, dtype, content: make_scalar(dtype, content),
    "numpy._core.multiarray.scalar": lambda _, dtype, content: make_scalar(dtype, content),
    "numpy.dtype": lambda builder, *arguments: builder.draft(arguments, is_array=False),
    "_codecs.encode": _bytes,
    "collections.OrderedDict": _ordered,
    **{
        f"{module}.{name}": make
        for module in ("builtins", "__builtin__")
        for name, make in _BUILTINS.items()
    },
}
