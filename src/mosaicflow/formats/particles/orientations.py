"""Writing oriented points as STAR and TSV."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.formats.ground.output import finished_file
from mosaicflow.formats.ground.rotations import euler_from_quaternions, unit_quaternions
from mosaicflow.formats.ground.source import extension_of
from mosaicflow.formats.particles.relion import ANGLES, CENTERED, COORDINATES
from mosaicflow.formats.particles.star import star_value
from mosaicflow.formats.particles.tables import TSV_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from mosaicflow.formats.ground.source import FilePath

__all__ = ["RELION_5", "OrientationsWriter", "StarTable", "write_star_tables"]

RELION_5 = "# version 50001"
_BATCH_ROWS = 1 << 11  # rows of text made at once, by judgement; doubled, twice the memory
# A millionth of a degree is far below what float32 quaternions tell apart.
_ANGLE_FORMAT = "%.6f"
_ANGLE_NAMES = {*ANGLES, "euler_x", "euler_y", "euler_z"}


class OrientationsWriter:
    """Oriented points, ready to be written.

    Parameters
    ----------
    points : array-like, shape (N, 3)
        (x, y, z), written as they are.
    quaternions : array-like, shape (N, 4)
        Scalar first, any length above zero.
    entities : array-like, shape (N,)
        Number of the entity each point belongs to.

    Attributes
    ----------
    points : ndarray, shape (N, 3)
        As given.
    rotations : ndarray, shape (N, 3), float64
        RELION's (rot, tilt, psi), degrees.
    entities : ndarray, shape (N,)
        As given.

    Raises
    ------
    ValueError
        If shapes or lengths disagree, or a number is not finite.
    """

    def __init__(self, points: ArrayLike, quaternions: ArrayLike, entities: ArrayLike) -> None:
        self.points = _rows(points, "points", 3)
        if not np.all(np.isfinite(self.points)):
            raise ValueError("a point is not finite and cannot be written")
        turns = _rows(quaternions, "quaternions", 4)
        self.entities = np.array(entities).reshape(-1)
        if not len(self.points) == len(turns) == len(self.entities):
            raise ValueError(
                f"{len(self.points)} points, {len(turns)} quaternions and {len(self.entities)} "
                "entities: one each is expected"
            )
        self.rotations = euler_from_quaternions(unit_quaternions(turns))

    def to_file(self, file_path: FilePath, file_format: str | None = None, **kwargs: Any) -> None:  # noqa: ANN401  by format
        """Write the points.

        Parameters
        ----------
        file_path : str or path-like
            Target; a final ``.gz`` compresses.
        file_format : {"star", "tsv"}, optional
            From the extension if not given.
        **kwargs
            For star: ``version``, a comment line such as ``"# version 50001"``, which also names
            the coordinates as RELION 5 does; ``source_path``, the tomogram or micrograph of all
            points; ``properties``, further columns by label; ``optics``, labels and values of an
            optics block.

        Raises
        ------
        ValueError
            If the format is neither.
        """
        kind = (file_format or extension_of(file_path)).lower()
        if kind == "star":
            self._to_star(file_path, **kwargs)
        elif kind == "tsv":
            self._to_tsv(file_path)
        else:
            raise ValueError(f"Unsupported format '{kind}', use star or tsv")

    def _to_star(
        self,
        path: FilePath,
        *,
        version: str | None = None,
        source_path: FilePath | None = None,
        properties: Mapping[str, ArrayLike] | None = None,
        optics: Mapping[str, object] | None = None,
        **_: object,
    ) -> None:
        is_relion_5 = version is not None and version.strip() == RELION_5
        names = CENTERED if is_relion_5 else COORDINATES
        columns: dict[str, NDArray[Any]] = {}
        for axis, name in enumerate(names):
            columns[name] = self.points[:, axis]
        for axis, name in enumerate(ANGLES):
            columns[name] = self.rotations[:, axis]
        columns["_rlnClassNumber"] = self.entities
        if source_path is not None:
            name = _source_label(version)
            columns[name] = np.full(len(self.points), str(source_path))
        for name, values in (properties or {}).items():
            columns.setdefault(name, np.asarray(values))
        tables = [] if optics is None else [StarTable.single_row("optics", optics)]
        write_star_tables(path, [*tables, StarTable("particles", columns)], version)

    def _to_tsv(self, path: FilePath) -> None:
        count = len(self.points)
        values = [*self.points.T, *self.rotations.T, np.zeros(count, dtype=int), self.entities]
        columns = dict(zip(TSV_COLUMNS, values, strict=True))
        with finished_file(path) as draft, draft.open("w", encoding="utf-8", newline="\n") as out:
            out.write("\t".join(TSV_COLUMNS) + "\n")
            out.writelines(_text_batches(columns, _plain_text, count))


class StarTable:
    """Columns of a STAR loop.

    Parameters
    ----------
    name : str
        Block name without ``data_``.
    columns : mapping of str to array-like, shape (N,) or (N, k)
        By label; a label gains a leading underscore if it has none, an array of several columns
        becomes as many labels.

    Raises
    ------
    ValueError
        If the lengths differ.
    """

    def __init__(self, name: str, columns: Mapping[str, ArrayLike]) -> None:
        self.name = name
        self.columns: dict[str, NDArray[Any]] = {}
        for label, values in columns.items():
            for part, column in _split_columns(_star_label(label), np.asarray(values)):
                if part in self.columns:
                    raise ValueError(f"two columns would be called {part}")
                self.columns[part] = column
        lengths = {label: len(values) for label, values in self.columns.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns of data_{name} differ in length: {lengths}")

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    @classmethod
    def single_row(cls, name: str, values: Mapping[str, object]) -> StarTable:
        """Make a table of one row."""
        return cls(name, {label: np.array([value]) for label, value in values.items()})


def write_star_tables(
    path: FilePath, tables: Sequence[StarTable], version: str | None = None
) -> None:
    """Write loops to a STAR file.

    Parameters
    ----------
    path : str or path-like
        Target; a final ``.gz`` compresses.
    tables : sequence of StarTable
        In this order.
    version : str, optional
        Comment line before each block, e.g. ``"# version 30001"``.

    Raises
    ------
    ValueError
        If a text cannot be a STAR value.
    """
    with finished_file(path) as draft, draft.open("w", encoding="utf-8", newline="\n") as out:
        for table in tables:
            out.write(f"\n{version}\n" if version else "")
            out.write(f"\ndata_{table.name}\n\nloop_\n")
            out.writelines(
                f"{label} #{number}\n" for number, label in enumerate(table.columns, start=1)
            )
            out.writelines(_text_batches(table.columns, star_value, len(table)))
            out.write("\n")


def _source_label(version: str | None) -> str:
    """RELION calls the same thing tomogram since it knows tomograms."""
    return "_rlnTomoName" if version in (RELION_5, "# version 40001") else "_rlnMicrographName"


def _star_label(label: str) -> str:
    # A label ends at the first blank, so it must not have any.
    return "_" + "_".join(label.split()).lstrip("_")


def _split_columns(label: str, values: NDArray[Any]) -> Iterator[tuple[str, NDArray[Any]]]:
    if values.ndim <= 1:
        yield label, values
        return
    flat = values.reshape(len(values), int(np.prod(values.shape[1:])))
    for index in range(flat.shape[1]):
        yield f"{label}_{index}", flat[:, index]


def _rows(data: ArrayLike, name: str, width: int) -> NDArray[Any]:
    # A copy: what the caller does to the array later must not change what is written.
    rows = np.array(data)
    if rows.size == 0:
        rows = rows.reshape(0, width)
    if rows.ndim != 2 or rows.shape[1] != width or rows.dtype.kind not in "iuf":
        raise ValueError(f"{name} have shape {rows.shape}, numbers (N, {width}) are expected")
    return rows


def _plain_text(text: str) -> str:
    if "\t" in text or "\n" in text:
        raise ValueError(f"a value of a tab-separated table cannot be {text!r}")
    return text


def _text_batches(
    columns: Mapping[str, NDArray[Any]], quote: Callable[[str], str], count: int
) -> Iterator[str]:
    """Yield rows as text, many at a time."""
    row = "\t".join(_format_of(name, column) for name, column in columns.items()) + "\n"
    # Names repeat from row to row; each is looked at once.
    quote = functools.lru_cache(maxsize=1 << 16)(quote)
    for start in range(0, count, _BATCH_ROWS):
        parts = [_items(column[start : start + _BATCH_ROWS], quote) for column in columns.values()]
        yield "".join(map(row.__mod__, zip(*parts, strict=True)))


def _format_of(name: str, column: NDArray[Any]) -> str:
    if name in _ANGLE_NAMES:
        return _ANGLE_FORMAT
    if column.dtype.kind in "iub":
        return "%d"
    if column.dtype.kind == "f":
        # Nine digits give back every float32; a float64 has a shortest text that does.
        return "%.9g" if column.dtype.itemsize <= 4 else "%r"
    return "%s"


def _items(column: NDArray[Any], quote: Callable[[str], str]) -> list[Any]:
    if column.dtype.kind in "iubf":
        # longdouble has no exact Python number.
        values = column.astype(np.float64) if column.dtype.itemsize > 8 else column
        return list(values.tolist())
    # Python's own texts: NumPy would make an object for each of them one by one.
    texts = column.tolist() if column.dtype.kind == "U" else map(str, column)
    return list(map(quote, texts))
