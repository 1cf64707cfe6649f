"""A reader of pickles that runs nothing: opcodes in, plain data out, at a bounded price.

A restricted `pickle.Unpickler` is not enough. It refuses foreign classes, but still calls the
`__setstate__` of NumPy's types, which trust what they are told about memory, and it allocates what
the file announces: a memo of four billion entries takes six bytes. Here a class stays a name, and
`rebuild` makes the few objects that a session may hold.
"""

from __future__ import annotations

import mmap
import pickle
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mosaicflow.formats.ground.errors import FormatError
from mosaicflow.formats.sessions.rebuild import Builder, Pending
from mosaicflow.formats.sessions.refusals import (
    BrokenPickleError,
    RefusedNameError,
    UntrustedSessionError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from mosaicflow.formats.ground.source import FilePath

__all__ = ["load_plain"]

# Opcodes a pickle may have. Measured: up to 2 us and 100 bytes each, so 0.6 s and 30 MB; twice as
# many would pass the second and near the 100 MB that a hostile file may cost. An array takes 20.
_OPCODES: Final = 300_000
# Content earns more opcodes, one for this many bytes of it: a large session has more of both, and
# what a hostile one costs stays in proportion to its size.
_BYTES_PER_OPCODE: Final = 16
# Opcodes that make larger objects count as more: an empty set has 216 bytes, a list 56, an empty
# container of geometries 1000.
_SET_WEIGHT: Final = 4
# Of an object with its dictionary, as above.
_RECORD_WEIGHT: Final = 16
# A module and a name in a line of their own.
_LONGEST_LINE: Final = 512
# Whole numbers of more bits are no data, and Python needs quadratic time to print them.
_LONGEST_INTEGER_BYTES: Final = 1024

_STOP: Final = ord(".")


def load_plain(path: FilePath, offset: int, size: int) -> Any:  # noqa: ANN401  any state
    """Rebuild the plain data of a pickle that is part of a file.

    Parameters
    ----------
    path : str or path-like
        The file.
    offset, size : int
        Where the pickle is, in bytes; it must lie within the file.

    Returns
    -------
    object
        The state.

    Raises
    ------
    UntrustedSessionError
        If the pickle names a class or a function that is not allowed.
    FormatError
        If it is broken, or has more opcodes than any session.
    """
    if not size:
        raise FormatError(path, "the pickled state is empty")
    with (
        Path(path).open("rb") as stream,
        mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        try:
            return _Machine(content, offset, offset + size).run()
        except RefusedNameError as error:
            raise UntrustedSessionError(
                path,
                f"the state holds {error}, which runs code when it is opened",
                remedy="if you trust the file's origin: open_session(path, trusted=True)",
            ) from error
        except BrokenPickleError as error:
            raise FormatError(path, f"the pickled state is broken: {error}") from error


class _Machine:
    """Executes the opcodes that the pickles of sessions consist of."""

    def __init__(self, content: mmap.mmap, start: int, end: int) -> None:
        self._content = content
        self._at = start
        self._end = end
        self._stack: list[Any] = []
        self._marks: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._budget = _OPCODES
        size = end - start
        # A pickler writes content once; half as much again is the room for what is written twice.
        self._builder = Builder(n_bytes=size + size // 2, n_items=_OPCODES)

    def run(self) -> Any:  # noqa: ANN401  any state
        content, end, actions = self._content, self._end, _ACTIONS
        while self._at < end:
            code = content[self._at]
            self._at += 1
            self._budget -= 1
            if self._budget < 0:
                raise RefusedNameError("more objects than this reader makes for a file of its size")
            if code == _STOP:
                return self._result()
            if code not in actions:
                raise BrokenPickleError(f"opcode {code:#04x} is in no session")
            actions[code](self)
        raise BrokenPickleError("it ends before its end")

    def _result(self) -> Any:  # noqa: ANN401  any state
        state = self._pop()
        if self._builder.n_drafts:
            raise BrokenPickleError("an array or a type has no content")
        return state

    # --- bytes

    def _take(self, n_bytes: int) -> bytes:
        start = self._at
        if n_bytes > self._end - start:
            raise BrokenPickleError(f"{n_bytes} bytes are announced, {self._end - start} are there")
        self._at = start + n_bytes
        return self._content[start : self._at]

    def _number(self, layout: struct.Struct) -> int:
        at = self._at
        if at + layout.size > self._end:
            raise BrokenPickleError("it ends within a number")
        self._at = at + layout.size
        return layout.unpack_from(self._content, at)[0]  # type: ignore[no-any-return]

    def _counted(self, layout: struct.Struct) -> bytes:
        n_bytes = self._number(layout)
        start = self._at
        if n_bytes > self._end - start:
            raise BrokenPickleError(f"{n_bytes} bytes are announced, {self._end - start} are there")
        self._at = start + n_bytes
        self._budget += n_bytes // _BYTES_PER_OPCODE
        return self._content[start : self._at]

    def _line(self) -> str:
        end = self._content.find(b"\n", self._at, min(self._end, self._at + _LONGEST_LINE))
        if end < 0:
            raise BrokenPickleError("a name does not end")
        return _text(self._take(end + 1 - self._at)[:-1])

    # --- stack

    def _push(self, value: Any) -> None:  # noqa: ANN401  a stack of anything
        self._stack.append(value)

    def _pop(self) -> Any:  # noqa: ANN401
        if not self._stack:
            raise BrokenPickleError("a value is missing")
        return self._stack.pop()

    def _top(self) -> Any:  # noqa: ANN401
        if not self._stack:
            raise BrokenPickleError("a value is missing")
        return self._stack[-1]

    def _to_mark(self) -> list[Any]:
        if not self._marks:
            raise BrokenPickleError("a mark is missing")
        items, self._stack = self._stack, self._marks.pop()
        return items

    def _mark(self) -> None:
        self._marks.append(self._stack)
        self._stack = []

    def _discard(self) -> None:
        # The one opcode with two meanings: it also takes back a mark.
        if self._stack:
            self._stack.pop()
        else:
            self._to_mark()

    def _pop_mark(self) -> None:
        self._to_mark()

    # --- memo

    def _remember(self, index: int) -> None:
        value = self._top()
        self._memo[index] = value
        if isinstance(value, Pending):
            value.memo_indices.append(index)

    def _recall(self, index: int) -> None:
        if index not in self._memo:
            raise BrokenPickleError(f"entry {index} of the memo is missing")
        value = self._memo[index]
        if isinstance(value, Pending):
            raise BrokenPickleError("an array or a type is used before it is complete")
        self._push(value)

    # --- containers

    def _tuple(self, n_items: int) -> None:
        if len(self._stack) < n_items:
            raise BrokenPickleError("a value is missing")
        items = self._stack[-n_items:]
        self._stack[-n_items:] = [tuple(items)]

    def _append(self, items: list[Any]) -> None:
        target = self._top()
        if type(target) is not list:
            raise BrokenPickleError(f"{type(target).__name__} takes no items")
        target.extend(items)

    def _set_items(self, items: list[Any]) -> None:
        target = self._top()
        if not isinstance(target, dict) or len(items) % 2:
            raise BrokenPickleError("entries without a dictionary, or half an entry")
        self._builder.set_items(target, items[::2], items[1::2])

    def _new_dict(self) -> None:
        items = self._to_mark()
        self._push({})
        self._set_items(items)

    def _add(self) -> None:
        items = self._to_mark()
        target = self._top()
        if type(target) is not set:
            raise BrokenPickleError(f"{type(target).__name__} takes no elements")
        target.update(self._builder.hashable(items))

    def _new_set(self) -> None:
        self._budget -= _SET_WEIGHT - 1
        self._push(set())

    def _new_frozenset(self) -> None:
        self._budget -= _SET_WEIGHT - 1
        self._push(frozenset(self._builder.hashable(self._to_mark())))

    # --- objects

    def _name(self) -> None:
        module = self._line()
        self._push(self._builder.name(module, self._line()))

    def _stacked_name(self) -> None:
        name, module = self._pop(), self._pop()
        if not (isinstance(name, str) and isinstance(module, str)):
            raise BrokenPickleError("a name is no string")
        self._push(self._builder.name(module, name))

    def _reduce(self) -> None:
        arguments, name = self._pop(), self._pop()
        self._budget -= _SET_WEIGHT - 1
        self._push(self._builder.call(name, arguments))

    def _new_object(self) -> None:
        arguments, name = self._pop(), self._pop()
        self._budget -= _RECORD_WEIGHT - 1
        self._push(self._builder.new(name, arguments))

    def _new_object_with_keywords(self) -> None:
        if self._pop() != {}:
            raise BrokenPickleError("an object is made with keywords")
        self._new_object()

    def _build(self) -> None:
        state, target = self._pop(), self._top()
        complete = self._builder.build(target, state)
        self._stack[-1] = complete
        if isinstance(target, Pending):
            for index in target.memo_indices:
                self._memo[index] = complete

    # --- scalars

    def _protocol(self) -> None:
        if self._take(1)[0] > pickle.HIGHEST_PROTOCOL:
            raise BrokenPickleError("its protocol is newer than this Python")

    def _frame(self) -> None:
        size = self._number(_U8)
        if size > self._end - self._at:
            raise BrokenPickleError(f"a frame of {size} bytes, {self._end - self._at} are there")

    def _long(self, layout: struct.Struct) -> None:
        size = self._number(layout)
        if not 0 <= size <= _LONGEST_INTEGER_BYTES:
            raise BrokenPickleError(f"a whole number of {size} bytes")
        self._push(int.from_bytes(self._take(size), "little", signed=True))

    def _float(self) -> None:
        (number,) = _F8.unpack(self._take(8))
        self._push(number)

    def _string(self, layout: struct.Struct) -> None:
        self._stack.append(_text(self._counted(layout)))


def _text(content: bytes) -> str:
    try:
        # As pickle does: a lone surrogate is allowed in a Python string.
        return content.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise BrokenPickleError("a text is not UTF-8") from error


_U1, _U2, _I4 = struct.Struct("<B"), struct.Struct("<H"), struct.Struct("<i")
_U4, _U8, _F8 = struct.Struct("<I"), struct.Struct("<Q"), struct.Struct(">d")

# Protocols 2 to 5 as Python's own pickler writes them. Left out on purpose: persistent ids and the
# extension registry (they call into the program), buffers kept elsewhere, and the text forms of
# protocol 0, which no session has.
_ACTIONS: Final[dict[int, Callable[[_Machine], None]]] = {
    ord(code): action
    for code, action in {
        "\x80": _Machine._protocol,
        "\x95": _Machine._frame,
        "(": _Machine._mark,
        "0": _Machine._discard,
        "1": _Machine._pop_mark,
        "N": lambda m: m._stack.append(None),
        "\x88": lambda m: m._stack.append(True),
        "\x89": lambda m: m._stack.append(False),
        "K": lambda m: m._push(m._number(_U1)),
        "M": lambda m: m._push(m._number(_U2)),
        "J": lambda m: m._push(m._number(_I4)),
        "\x8a": lambda m: m._long(_U1),
        "\x8b": lambda m: m._long(_I4),
        "G": _Machine._float,
        "U": lambda m: m._push(m._counted(_U1).decode("latin-1")),
        "T": lambda m: m._push(m._counted(_U4).decode("latin-1")),
        "\x8c": lambda m: m._string(_U1),
        "X": lambda m: m._string(_U4),
        "\x8d": lambda m: m._string(_U8),
        "C": lambda m: m._push(m._counted(_U1)),
        "B": lambda m: m._push(m._counted(_U4)),
        "\x8e": lambda m: m._push(m._counted(_U8)),
        "\x96": lambda m: m._push(bytearray(m._counted(_U8))),
        "]": lambda m: m._stack.append([]),
        ")": lambda m: m._stack.append(()),
        "}": lambda m: m._stack.append({}),
        "\x8f": _Machine._new_set,
        "\x91": _Machine._new_frozenset,
        "a": lambda m: m._append([m._pop()]),
        "e": lambda m: m._append(m._to_mark()),
        "l": lambda m: m._push(m._to_mark()),
        "t": lambda m: m._push(tuple(m._to_mark())),
        "\x85": lambda m: m._tuple(1),
        "\x86": lambda m: m._tuple(2),
        "\x87": lambda m: m._tuple(3),
        "d": _Machine._new_dict,
        "s": lambda m: m._set_items([m._pop(), m._pop()][::-1]),
        "u": lambda m: m._set_items(m._to_mark()),
        "\x90": _Machine._add,
        "h": lambda m: m._recall(m._number(_U1)),
        "j": lambda m: m._recall(m._number(_U4)),
        "q": lambda m: m._remember(m._number(_U1)),
        "r": lambda m: m._remember(m._number(_U4)),
        "\x94": lambda m: m._remember(len(m._memo)),
        "c": _Machine._name,
        "\x93": _Machine._stacked_name,
        "R": _Machine._reduce,
        "\x81": _Machine._new_object,
        "\x92": _Machine._new_object_with_keywords,
        "b": _Machine._build,
    }.items()
}
