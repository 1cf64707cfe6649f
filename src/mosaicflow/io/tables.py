"""CSV and JSON side files.

Every writer goes through a temporary sibling and a rename, so a reader sees the old file or the
new one, never half of either.
"""

from __future__ import annotations

import csv
import errno
import io
import json
import math
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mosaicflow.errors import FormatError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "check_schema",
    "decoded",
    "file_content",
    "natural_order",
    "parse_bool",
    "read_csv",
    "read_document",
    "read_json",
    "read_text",
    "write_csv",
    "write_document",
    "write_json",
    "write_text",
]

# Version of the form of all JSON files and blocks; a change that older programs misread raises it.
SCHEMA = 1

_DECIMAL_COMMA = re.compile(r"([-+]?\d*),(\d+(?:[eE][-+]?\d+)?)$")
# As spreadsheets write them in English, German, French, Italian, Spanish, Portuguese and Dutch.
_TRUE = frozenset(
    {"true", "1", "yes", "y", "t", "wahr", "ja", "vrai", "oui", "vero", "verdadero", "verdadeiro",
     "waar"}
)  # fmt: skip
_FALSE = frozenset(
    {"false", "0", "no", "n", "f", "", "falsch", "nein", "faux", "non", "falso", "onwaar", "nee"}
)


def natural_order(name: str) -> tuple[list[str | int], str]:
    """Give a sort key by which the numbers in file names count as numbers: z2 before z10."""
    parts = re.split(r"(\d+)", name)
    return [int(part) if part.isdigit() else part for part in parts], name


def parse_bool(text: str, where: str) -> bool:
    """Read a table's yes or no; `where` names the cell for the error message."""
    word = text.strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise InputError(f"{where}: found {text!r}, expected true or false")


def write_text(path: Path, text: str) -> None:
    """Replace a text file as a whole (UTF-8, line ends as given)."""
    # A link left by a workflow engine is replaced, never followed.
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        partial.write_text(text, encoding="utf-8", newline="")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write a table: UTF-8, comma, header, LF, no index column.

    Parameters
    ----------
    path : Path
        The file; replaced as a whole.
    columns : sequence of str
        Column names in order; every row must hold just these keys or fewer.
    rows : iterable of mapping
        ``None`` becomes an empty cell, booleans ``true`` or ``false``, floats their shortest exact
        spelling.
    """
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n", restval="")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(value) for name, value in row.items()})
    write_text(path, buffer.getvalue())


def _cell(value: object) -> str:
    value = getattr(value, "item", lambda: value)()  # a numpy scalar becomes a plain one
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value + 0.0)  # no -0.0
    return str(value)


def read_csv(path: Path, required: Sequence[str] = ()) -> list[dict[str, str]]:
    """Read a table that a person or another program may have touched.

    Parameters
    ----------
    path : Path
        Text in UTF-8, UTF-16 or the code page of Western Windows, separated by comma, semicolon or
        tab; a byte order mark, CRLF, spaces around cells, extra columns, empty lines and names of
        columns in capitals are all accepted. Where the separator is no comma, a comma in a number
        is its decimal point.
    required : sequence of str
        Columns that must exist.

    Returns
    -------
    list of dict
        One per row, values stripped of surrounding white space.

    Raises
    ------
    InputError
        When the file cannot be read or a required column is missing.
    """
    try:
        text = decoded(file_content(path))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a table ({error})") from error
    separator = _separator(text, required)
    lines = _filled_lines(path, text, separator)
    if not lines:
        raise InputError(f"{path}: the table is empty, expected a header line")
    names = [name.strip() for name in lines[0][1]]
    lower = [name.lower() for name in names]
    if not set(required) <= set(names) and set(required) <= set(lower):
        names = lower
    if missing := [name for name in required if name not in names]:
        raise InputError(f"{path}: found columns {', '.join(names)}; missing: {', '.join(missing)}")
    if twice := [name for name in required if names.count(name) > 1]:
        raise InputError(f"{path}: column '{twice[0]}' appears twice")
    rows = []
    for number, cells in lines[1:]:
        if len(cells) > len(names):
            raise InputError(
                f"{path}, line {number}: found {len(cells)} cells under {len(names)} columns"
            )
        padded = [cell.strip() for cell in cells] + [""] * (len(names) - len(cells))
        if separator != ",":
            padded = [_DECIMAL_COMMA.sub(r"\1.\2", cell) for cell in padded]
        rows.append(dict(zip(names, padded, strict=True)))
    return rows


def file_content(path: Path) -> bytes:
    """Read a small file whole.

    Raises
    ------
    OSError
        When it cannot be read, or is a pipe or device: reading that may never end.
    """
    if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():
        raise OSError(errno.EINVAL, "is a pipe or device, not a file", str(path))
    return path.read_bytes()


def read_text(path: Path) -> str:
    """Read a text that any program may have written (`decoded`).

    Raises
    ------
    InputError
        When it cannot be read.
    FormatError
        When it is no text.
    """
    try:
        return decoded(file_content(path))
    except OSError as error:
        raise InputError(f"{path.name}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise FormatError(f"{path.name}: is no text ({error})") from error


def decoded(content: bytes) -> str:
    """Decode a text that any program may have written: UTF-8, UTF-16 with its mark, Windows.

    Raises
    ------
    UnicodeDecodeError
        When it is none of these.
    """
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252")


def _separator(text: str, required: Sequence[str]) -> str:
    """Return what separates the names in the header.

    What shows all required names does, a comma before others: a name may hold a semicolon. Where
    none does, it is the one that is there most often.
    """
    header = next((line for line in text.splitlines() if line.strip()), "")
    if header.lower().startswith("sep=") and len(header.strip()) == len("sep=;"):
        return header.strip()[-1]
    return max(
        ",;\t", key=lambda separator: (_shows(header, separator, required), header.count(separator))
    )


def _shows(header: str, separator: str, required: Sequence[str]) -> bool:
    try:
        cells = next(csv.reader([header], delimiter=separator, skipinitialspace=True), [])
    except csv.Error:  # the reader of the whole table says what is wrong, and where
        return False
    return {cell.strip() for cell in cells}.issuperset(required)


def _filled_lines(path: Path, text: str, separator: str) -> list[tuple[int, list[str]]]:
    """Split a table into lines that are not empty, each with its number as an editor shows it."""
    reader = csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True)
    try:
        lines = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
        # Excel's own note on the separator.
        is_note = bool(lines) and lines[0][1][0].strip().lower() == "sep="
        return lines[1:] if is_note else lines
    except csv.Error as error:
        line = reader.line_num
        raise InputError(f"{path}, line {line}: cannot be read as a table ({error})") from error


def write_json(path: Path, value: object) -> None:
    """Write JSON that people can read: indented, keys in the given order, NaN and Inf as null."""
    write_text(path, json.dumps(_plain(value), indent=2, ensure_ascii=False) + "\n")


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):  # numpy scalars and arrays, without importing numpy
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Path):
        return value.as_posix()
    return value


def write_document(path: Path, document: Mapping[str, object]) -> None:
    """Write a JSON file of this program, with the version of its form in front.

    Parameters
    ----------
    path : Path
        The file; replaced as a whole.
    document : mapping
        What it says.
    """
    write_json(path, {"schema": SCHEMA, **document})


def read_document(path: Path) -> dict[str, Any]:
    """Read a JSON file of this program; one of 0.1.0 has no version, and is read like version 1.

    Raises
    ------
    FormatError
        It is no object, or of a later form, which this program would misread.
    """
    found = read_json(path)
    if not isinstance(found, dict):
        raise FormatError(
            f"{path}: expected an object with names and values",
            remedy="write it again with the stage that makes it",
        )
    check_schema(found, str(path))
    return found


def check_schema(document: Mapping[str, Any], where: str) -> None:
    """Refuse what a later program wrote, by name.

    Parameters
    ----------
    document : mapping
        A JSON object of this program, or the ``mosaicflow`` block of a store.
    where : str
        Its name, for the message.

    Raises
    ------
    FormatError
        When its ``schema`` is not one that this program knows.
    """
    schema = document.get("schema", SCHEMA)
    if schema != SCHEMA or isinstance(schema, bool):
        raise FormatError(
            f"{where}: is of schema {schema!r}, expected {SCHEMA} or none",
            remedy="read it with the mosaicflow that wrote it, or make it again with this one",
        )


def read_json(path: Path) -> Any:  # noqa: ANN401  # JSON has no narrower type
    """Read a JSON file; a mistake in it is reported with line and column."""
    try:
        return json.loads(file_content(path).decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        raise FormatError(
            f"{path}, line {error.lineno}, column {error.colno}: not valid JSON ({error.msg})"
        ) from error
    except RecursionError as error:
        raise FormatError(f"{path}: JSON nested too deep") from error
    except (OSError, ValueError) as error:  # no UTF-8; a number of thousands of digits
        raise InputError(f"{path}: cannot be read ({error})") from error
