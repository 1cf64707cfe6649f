"""What a tile's shading and the population of all tiles have in common: the mean of their logs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.spread import spreads_about

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from numpy.typing import NDArray

    from mosaicflow.mosaic.tile_basis import FieldBasis

    F64 = NDArray[np.float64]

__all__ = ["Population", "tile_population"]

# Fewer tiles than this do not tell their own spread.
_FEWEST_TILES = 8
# A tile takes part in the population where this share of it holds a signal.
_LEAST_KNOWN = 0.97
# Of the median's error against the mean's, and of the Huber weights: for normal tiles.
_ROBUST_LOSS = 1.1


@dataclass(frozen=True, slots=True)
class Population:
    """Terms of the log field that tiles have in common.

    Parameters
    ----------
    mean : ndarray, shape (terms,), float64
        Robust mean.
    variance : ndarray, shape (terms,), float64
        Its variance; infinite where there are too few tiles.
    n_groups : int
        Independent tiles.
    """

    mean: F64
    variance: F64
    n_groups: int


def tile_population(
    logs: NDArray[np.floating],
    known: NDArray[np.bool_],
    basis: FieldBasis,
    groups: Sequence[Hashable],
) -> Population:
    """Take the mean of the terms over all tiles, and its variance from their spread.

    Parameters
    ----------
    logs : ndarray, shape (n, y, x), floating
        Log images of tiles; of a shape of its own.
    known : ndarray, shape (n, y, x), bool
        Where they hold a signal.
    basis : FieldBasis
        Which terms.
    groups : sequence
        For each image what it shares tissue with: bands of one tile, and the same place of the
        lattice in other slices, are not independent.

    Returns
    -------
    Population
    """
    terms, labels = _image_terms(logs, known, basis, groups)
    names = sorted(set(labels), key=repr)
    n_terms = len(basis.terms)
    if len(names) < _FEWEST_TILES:
        return Population(np.zeros(n_terms), np.full(n_terms, np.inf), len(names))
    index = {name: number for number, name in enumerate(names)}
    member = np.array([index[label] for label in labels])
    sums = np.zeros((len(names), n_terms))
    np.add.at(sums, member, terms)
    tiles = sums / np.bincount(member)[:, None]
    mean, spread = _robust_mean(tiles)
    variance = _ROBUST_LOSS * spread**2 / len(tiles)
    # Few tiles: terms of one order share their spread, which tissue gives them alike.
    totals = basis.totals
    pooled = np.array([np.mean(variance[totals == t]) for t in totals])
    return Population(mean, pooled, len(tiles))


def _image_terms(
    logs: NDArray[np.floating],
    known: NDArray[np.bool_],
    basis: FieldBasis,
    groups: Sequence[Hashable],
) -> tuple[F64, list[Hashable]]:
    """Least-squares terms of each image that is known nearly everywhere."""
    own = replace(basis, shape_yx=(logs.shape[1], logs.shape[2]))
    design = np.concatenate([np.ones((1, logs[0].size)), own.images()])
    inverse = np.linalg.pinv(design)
    share = known.reshape(len(known), -1).mean(axis=1)
    found, labels = [], []
    for number in np.flatnonzero(share >= _LEAST_KNOWN).tolist():
        values = np.asarray(logs[number], np.float64).ravel()
        if share[number] < 1:
            part = design * known[number].ravel()
            normal = part @ design.T + 1e-6 * values.size * np.eye(len(design))
            found.append(np.linalg.solve(normal, part @ values)[1:])
        else:
            found.append((values @ inverse)[1:])
        labels.append(groups[number])
    return np.array(found).reshape(-1, len(design) - 1), labels


def _robust_mean(tiles: F64) -> tuple[F64, F64]:
    """Huber mean of each column, and its spread."""
    mean = np.median(tiles, axis=0)
    spread = np.full(tiles.shape[1], np.inf)
    for _ in range(10):
        spread = spreads_about(tiles, mean) + 1e-9
        weights = 1 / np.maximum(1, np.abs(tiles - mean) / (1.5 * spread))
        mean = (weights * tiles).sum(axis=0) / weights.sum(axis=0)
    return mean, spread
