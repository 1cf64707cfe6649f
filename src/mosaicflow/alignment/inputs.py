"""Everything read from disk that speaks about where the slices go."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mosaicflow import names
from mosaicflow.errors import InputError
from mosaicflow.io.failures import read_failure
from mosaicflow.io.ledger_rows import LedgerRow, read_rows
from mosaicflow.io.tables import read_document
from mosaicflow.ledger.census import (
    Failure,
    merge_fragments,
)
from mosaicflow.slices.stored import SliceStore, open_slice
from mosaicflow.steps.table import StepTable, read_steps

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mosaicflow.ledger.overrides import Override


__all__ = ["AlignmentInputs"]


@dataclass(frozen=True, slots=True)
class AlignmentInputs:
    """Everything read from disk.

    Parameters
    ----------
    steps : StepTable
        Stage steps.
    config : list of LedgerRow
        Ledger with the fragments merged in.
    slices : dict of int to SliceStore
        Geometry of the slices by id.
    transforms : sequence of tuple
        Name and content of every transform file.
    failures : list of Failure
        Slices that failed.
    pair_failures : list of str
        Sentences about pairs that failed.
    warnings : list of str
        What was odd.
    overrides : tuple of Override
        What somebody knows better.
    """

    steps: StepTable
    config: list[LedgerRow]
    slices: dict[int, SliceStore]
    transforms: Sequence[tuple[str, Mapping[str, object]]]
    failures: list[Failure]
    pair_failures: list[str]
    warnings: list[str] = field(default_factory=list)
    overrides: tuple[Override, ...] = ()

    @classmethod
    def read(
        cls,
        shifts: Path,
        slice_config: Path,
        fragments: Sequence[Path],
        slices: Sequence[Path],
        transforms: Sequence[Path],
        failures: Sequence[Path],
    ) -> AlignmentInputs:
        """Open the slices and read all tables."""
        steps = read_steps(shifts)
        stamps = [row for path in sorted(fragments) for row in read_rows(path, ["slice_id"])]
        stores: dict[int, SliceStore] = {}
        for path in sorted(slices, key=lambda path: path.name):
            store = open_slice(path)
            if store.slice_id in stores:
                raise InputError(
                    f"{path.name}: slice {store.slice_id} was given twice",
                    remedy="give one store per slice",
                )
            stores[store.slice_id] = store
        stamps += [_galvo_stamp(store) for store in stores.values()]
        config, warnings = merge_fragments(read_rows(slice_config), stamps)
        records = [(path.name, read_document(path)) for path in sorted(transforms)]
        of_slices, of_pairs = _read_failures(failures)
        ordered = dict(sorted(stores.items()))
        return cls(steps, config, ordered, records, of_slices, of_pairs, warnings)


def _galvo_stamp(store: SliceStore) -> LedgerRow:
    """Give what create_mosaic_grid decided about the galvo; every later store carries it."""
    galvo = store.block.galvo
    if galvo.confidence is None:
        return LedgerRow.of(store.slice_id)
    sure = float(f"{galvo.confidence:.4g}")  # more digits say nothing
    return LedgerRow.of(store.slice_id, galvo_confidence=sure, galvo_fix=galvo.applied)


def _read_failures(paths: Sequence[Path]) -> tuple[list[Failure], list[str]]:
    of_slices, of_pairs = [], []
    for path in sorted(paths):
        record = read_failure(path)
        if record.stage == "register_pairwise":
            ids = "-".join(map(str, names.about(path.name)))
            of_pairs.append(f"pair {ids or record.slice_id}: {record.reason}")
        else:
            of_slices.append(Failure(record.id_of_slice, record.stage, record.reason))
    return of_slices, of_pairs
