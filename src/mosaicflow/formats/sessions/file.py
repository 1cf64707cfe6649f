"""The layout of a session file: length, index, sections."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import mosaicflow
from mosaicflow.formats.ground.errors import FormatError
from mosaicflow.formats.ground.output import finished_file
from mosaicflow.formats.ground.source import existing_file
from mosaicflow.formats.sessions.trusted import load_trusted
from mosaicflow.formats.sessions.unpickle import load_plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mosaicflow.formats.ground.source import FilePath

__all__ = [
    "is_session_file",
    "open_session",
    "read_session_index",
    "read_session_meta",
    "read_session_section",
    "write_session",
]

# Version of the form, and bytes of the length of its index (big-endian): both as the format has it.
_VERSION = 1
_LENGTH_BYTES = 4
# First byte of a pickle of protocol 2 or later; as the length of an index it would mean 2 GiB.
_PICKLE = 0x80
# An entry takes about 70 bytes: room for 14 000 sections. JSON of 1 MiB cannot become more than
# 30 MiB of objects; twice the room would double that for a hostile file.
_LARGEST_INDEX_BYTES = 1 << 20
# A description of the session, not its data; parsed as a whole like the index.
_LARGEST_META_BYTES = 1 << 20


class _Place(NamedTuple):
    offset: int
    size: int
    encoding: str


def is_session_file(filepath: FilePath) -> bool:
    """Tell by its extension whether a file is a session.

    Parameters
    ----------
    filepath : str or path-like
        Name of a file, which need not exist.

    Returns
    -------
    bool
        True for ``.pickle`` and ``.mosaic``, in any case.
    """
    return Path(filepath).suffix.lower() in (".pickle", ".mosaic")


def write_session(
    filepath: FilePath,
    state: Any,  # noqa: ANN401  whatever pickles
    sections: Mapping[str, tuple[str, bytes]] | None = None,
) -> None:
    """Write a session; it is there complete or not at all.

    Parameters
    ----------
    filepath : str or path-like
        Target, as it is called: the extension decides nothing.
    state : object
        Anything that pickles. What `open_session` reads without trust: builtin containers and
        scalars, NumPy arrays and scalars, and the records of this package.
    sections : mapping of str to (str, bytes), optional
        Further sections by name: encoding, and content. Usual ones: ``meta`` (``"json"``) and
        ``thumbnail`` (``"png"``).

    Raises
    ------
    ValueError
        If a section is called ``state``.
    TypeError
        If a content is no bytes, or a name or an encoding no string.
    """
    contents = {"state": ("pickle", b""), **_checked(sections or {})}
    contents["state"] = ("pickle", pickle.dumps(state, protocol=pickle.HIGHEST_PROTOCOL))
    index = _index_of({name: (kind, len(data)) for name, (kind, data) in contents.items()})
    with finished_file(filepath, compress=False) as draft, draft.open("wb") as out:
        out.write(len(index).to_bytes(_LENGTH_BYTES, "big"))
        out.write(index)
        for _, content in contents.values():
            out.write(content)
        out.flush()
        # The rename may reach the disk before the content does; a crash would leave an empty file.
        os.fsync(out.fileno())


def _checked(sections: Mapping[str, tuple[str, bytes]]) -> dict[str, tuple[str, bytes]]:
    for name, (encoding, content) in sections.items():
        if name == "state":
            raise ValueError("a section cannot be called 'state': that is the pickled state")
        if not (isinstance(name, str) and isinstance(encoding, str)):
            raise TypeError(f"section {name!r}: name and encoding must be strings")
        if not isinstance(content, bytes | bytearray | memoryview):
            raise TypeError(f"section '{name}' is {type(content).__name__}, bytes are expected")
    return {name: (kind, bytes(content)) for name, (kind, content) in sections.items()}


def _index_of(sizes: Mapping[str, tuple[str, int]]) -> bytes:
    """Return the index, whose own length is part of the offsets in it."""
    length = 0
    while True:
        offset = _LENGTH_BYTES + length
        sections: dict[str, Any] = {}
        for name, (encoding, size) in sizes.items():
            sections[name] = {"offset": offset, "size": size, "encoding": encoding}
            offset += size
        version = mosaicflow.__version__
        document = {"format_version": _VERSION, "version": version, "sections": sections}
        index = json.dumps(document).encode("utf-8")
        # Offsets only grow with the length of the index: this ends, at the shortest that fits.
        if len(index) == length:
            return index
        length = len(index)


def read_session_index(filepath: FilePath) -> dict[str, Any]:
    """Return the index of a session, without unpickling anything.

    Parameters
    ----------
    filepath : str or path-like
        The session.

    Returns
    -------
    dict
        ``format_version``, ``version`` and ``sections``: by name ``offset`` and ``size`` in bytes,
        and ``encoding``. ``{"format_version": 0}`` for a bare pickle and for fewer than 4 bytes.

    Raises
    ------
    FormatError
        If the index is broken.
    """
    with existing_file(filepath).open("rb") as stream:
        head = stream.read(_LENGTH_BYTES)
        if len(head) < _LENGTH_BYTES or head[0] == _PICKLE:
            return {"format_version": 0}
        length = int.from_bytes(head, "big")
        there = os.fstat(stream.fileno()).st_size - _LENGTH_BYTES
        if length > min(there, _LARGEST_INDEX_BYTES):
            raise FormatError(
                filepath,
                f"the index is announced with {length} bytes, {there} are there"
                if length > there
                else f"the index has {length} bytes, at most {_LARGEST_INDEX_BYTES} are expected",
                remedy="the file is no session, or it is damaged",
            )
        return _parsed_index(filepath, stream.read(length))


def _parsed_index(path: FilePath, content: bytes) -> dict[str, Any]:
    index = _json_object(path, content, "index")
    if index.get("format_version") != _VERSION:
        found = index.get("format_version")
        raise FormatError(path, f"format_version is {found!r:.40}, {_VERSION} is expected")
    sections = index.get("sections")
    if not isinstance(sections, dict):
        raise FormatError(path, "the index has no 'sections'")
    for name, place in sections.items():
        if not _is_place(place):
            raise FormatError(path, f"section '{name:.40}': no offset, size and encoding")
    return index


def _is_place(place: object) -> bool:
    if not (isinstance(place, dict) and isinstance(place.get("encoding"), str)):
        return False
    numbers = (place.get("offset"), place.get("size"))
    # A bool is an int in Python, and no offset.
    return all(type(number) is int and number >= 0 for number in numbers)


def _json_object(path: FilePath, content: bytes, what: str) -> dict[str, Any]:
    try:
        document = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise FormatError(path, f"the {what} is no JSON ({error})") from error
    if not isinstance(document, dict):
        raise FormatError(path, f"the {what} is no JSON object")
    return document


def read_session_section(filepath: FilePath, section: str) -> bytes | None:
    """Return the raw bytes of a section, without unpickling anything.

    Parameters
    ----------
    filepath : str or path-like
        The session.
    section : str
        Its name, e.g. ``"thumbnail"``.

    Returns
    -------
    bytes or None
        None if there is no such section, or the file is a bare pickle.

    Raises
    ------
    FormatError
        If the section runs past the end of the file, or the index is broken.
    """
    place = _place(filepath, section)
    if place is None:
        return None
    with Path(filepath).open("rb") as stream:
        stream.seek(place.offset)
        return stream.read(place.size)


def _place(path: FilePath, section: str) -> _Place | None:
    sections = read_session_index(path).get("sections", {})
    if section not in sections:
        return None
    with Path(path).open("rb") as stream:
        first = _LENGTH_BYTES + int.from_bytes(stream.read(_LENGTH_BYTES), "big")
        n_bytes = os.fstat(stream.fileno()).st_size
    entry = sections[section]
    shift = _shift(sections, first, n_bytes)
    place = _Place(entry["offset"] + shift, entry["size"], entry["encoding"])
    if place.offset < first or place.offset + place.size > n_bytes:
        raise FormatError(
            path,
            f"section '{section:.40}' is announced at bytes {place.offset} to "
            f"{place.offset + place.size}, the sections lie at {first} to {n_bytes}",
            remedy="the file is cut short or damaged",
        )
    return place


def _shift(sections: dict[str, Any], first: int, n_bytes: int) -> int:
    """Bytes by which all offsets are too small, as some writers left them.

    They took the length of the index before its offsets had their last digits. Sections follow
    one another without a gap, so that their sizes alone tell where they are.
    """
    offset = next(iter(sections.values()))["offset"]
    shift = first - offset
    for place in sections.values():
        if place["offset"] != offset:
            return 0
        offset += place["size"]
    return shift if offset + shift == n_bytes else 0


def read_session_meta(filepath: FilePath) -> dict[str, Any]:
    """Return the description of a session, without unpickling anything.

    Parameters
    ----------
    filepath : str or path-like
        The session.

    Returns
    -------
    dict
        The section ``meta``; empty if there is none.

    Raises
    ------
    FormatError
        If the section or the index is broken.
    """
    place = _place(filepath, "meta")
    if place is None:
        return {}
    if place.size > _LARGEST_META_BYTES:
        raise FormatError(
            filepath,
            f"section 'meta' has {place.size} bytes, at most {_LARGEST_META_BYTES} are expected",
            remedy="read_session_section returns it as it is",
        )
    return _json_object(filepath, read_session_section(filepath, "meta") or b"", "section 'meta'")


def open_session(filepath: FilePath, *, trusted: bool = False) -> Any:  # noqa: ANN401  any state
    """Return the state of a session.

    Nothing of the file is executed, unless it is trusted: builtin containers and scalars, NumPy
    arrays and scalars and the records of this package are rebuilt, and anything else is refused.

    Parameters
    ----------
    filepath : str or path-like
        A session, or a bare pickle of protocol 2 or later.
    trusted : bool
        Unpickle without restriction. That runs whatever code the file brings.

    Returns
    -------
    object
        The state. The three record classes of the application this format comes from, under
        any name they had there, become those of this package.

    Raises
    ------
    UntrustedSessionError
        If the state holds anything else; a `pickle.UnpicklingError` that names it.
    FormatError
        If the file is too short, has no state, or its state is broken.
    FileNotFoundError
        If there is no such file.
    """
    path = existing_file(filepath)
    n_bytes = path.stat().st_size
    if n_bytes < _LENGTH_BYTES:
        raise FormatError(filepath, f"{n_bytes} bytes, too short for a session")
    if read_session_index(path)["format_version"] == 0:
        place: _Place | None = _Place(0, n_bytes, "pickle")
    else:
        place = _place(path, "state")
    if place is None:
        raise FormatError(filepath, "the session has no section 'state'")
    if place.encoding != "pickle":
        raise FormatError(filepath, f"the state is '{place.encoding:.40}', a pickle is expected")
    load = load_trusted if trusted else load_plain
    return load(path, place.offset, place.size)
