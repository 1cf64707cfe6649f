"""Named values of vertices."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import EllipsisType

    from numpy.typing import ArrayLike, NDArray

    VertexIndex: TypeAlias = int | slice | EllipsisType | NDArray[Any] | Sequence[int]

__all__ = ["VertexPropertyContainer"]


class VertexPropertyContainer:
    """Values that belong to vertices, by name.

    Parameters
    ----------
    properties : mapping of str to array-like, optional
        Arrays of equal length along the first axis; further axes are free. They are copied.

    Raises
    ------
    ValueError
        If the lengths differ.
    """

    def __init__(self, properties: Mapping[str, ArrayLike] | None = None) -> None:
        # These two names are part of the session format: they are what a pickle stores.
        self._properties: dict[str, NDArray[Any]] = {}
        self._n_vertices = 0
        for name, data in (properties or {}).items():
            self.set_property(name, data)

    @property
    def properties(self) -> list[str]:
        """Names, in the order in which they were set."""
        return list(self._properties)

    def __len__(self) -> int:
        return self._n_vertices

    def __repr__(self) -> str:
        return f"VertexPropertyContainer({self.properties}, {len(self)} vertices)"

    def get_property(self, name: str, default: Any = None) -> Any:  # noqa: ANN401  as dict.get
        """Return the values of a property, shape (N, ...), or `default`."""
        return self._properties.get(name, default)

    def set_property(self, name: str, data: ArrayLike) -> None:
        """Add or replace a property.

        Parameters
        ----------
        name : str
            Its name.
        data : array-like, shape (N, ...)
            One value for each vertex; copied.

        Raises
        ------
        ValueError
            If N differs from the number of vertices of the other properties.
        """
        values = np.array(data)
        if values.ndim == 0:
            raise ValueError(f"property '{name}' is a single value, one per vertex is expected")
        if self._properties and len(values) != self._n_vertices:
            raise ValueError(
                f"property '{name}' has {len(values)} values, there are {self._n_vertices} vertices"
            )
        self._properties[name] = values
        self._n_vertices = len(values)

    def remove_property(self, name: str) -> None:
        """Forget a property; one that is not there is fine."""
        self._properties.pop(name, None)
        if not self._properties:
            self._n_vertices = 0

    def copy(self) -> VertexPropertyContainer:
        """Return an independent copy of names and values."""
        return VertexPropertyContainer(self._properties)

    def __getitem__(self, index: VertexIndex) -> VertexPropertyContainer:
        rows: Any = index
        if isinstance(index, int | np.integer):
            if not -len(self) <= index < len(self):
                raise IndexError(f"vertex {index} of {len(self)}")
            rows = [int(index)]
        elif isinstance(index, list | tuple):
            rows = np.asarray(index, dtype=None if index else np.intp)
        return VertexPropertyContainer(
            {name: values[rows] for name, values in self._properties.items()}
        )

    @classmethod
    def merge(cls, containers: Iterable[VertexPropertyContainer]) -> VertexPropertyContainer:
        """Join the vertices of several containers.

        Parameters
        ----------
        containers : iterable of VertexPropertyContainer
            Those without properties are passed over.

        Returns
        -------
        VertexPropertyContainer
            The properties that all have; a `UserWarning` names those that were dropped.
        """
        filled = [container for container in containers if container.properties]
        if not filled:
            return cls()
        shared = [n for n in filled[0].properties if all(n in c._properties for c in filled)]
        dropped = sorted({name for c in filled for name in c.properties} - set(shared))
        if not shared:
            warnings.warn(f"no property is shared by all, dropped: {dropped}", stacklevel=2)
        elif dropped:
            warnings.warn(f"properties that not all share are dropped: {dropped}", stacklevel=2)
        return cls({name: np.concatenate([c._properties[name] for c in filled]) for name in shared})
