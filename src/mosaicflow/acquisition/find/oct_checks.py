"""Compare the size of headerless tile files with what their scan parameters promise."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mosaicflow.acquisition.drafts import Draft
    from mosaicflow.acquisition.problems import ProblemLog
    from mosaicflow.acquisition.tiles import Geometry

__all__ = ["MIN_PRESENT_FRACTION", "check_sizes"]

# Share of its samples below which a file is no tile any more, by judgement. It cannot double;
# nearer to 1, tiles that were cut off by a few lines are lost.
MIN_PRESENT_FRACTION = 0.9
# A-lines of the flight back that may explain the size of a file, by judgement. Doubled, more wrong
# sizes have an explanation.
_LARGEST_N_EXTRA = 100
# A file longer than so many times what info.txt says belongs to another scan, by judgement.
# Doubled, one of three times the size is read with the wrong shape.
_WRONG_INFO_FACTOR = 2


def check_sizes(drafts: Sequence[Draft], sample_type: str, log: ProblemLog) -> None:
    """Find truncated, overlong and mis-described tiles of one slice.

    Parameters
    ----------
    drafts : sequence of Draft
        All tiles of the slice; changed in place.
    sample_type : str
        Type of a stored sample (numpy spelling).
    log : ProblemLog
        Takes what was wrong.
    """
    itemsize = np.dtype(sample_type).itemsize
    _fix_n_extra(drafts, itemsize, log)
    for draft in drafts:
        if draft.is_used and draft.geometry is not None:
            _check_size(draft, draft.geometry, itemsize, log)


def _check_size(draft: Draft, geometry: Geometry, itemsize: int, log: ProblemLog) -> None:
    wanted = geometry.n_bscans * geometry.n_repeat
    per_bscan = geometry.bscan_bytes(itemsize)
    present = sum(file.bytes // per_bscan for file in draft.files)
    found = f"{draft.bytes} bytes hold {present} whole B-scans, expected {wanted}"
    if present > _WRONG_INFO_FACTOR * wanted:
        draft.stop(
            log, "bin_much_too_long", found,
            remedy="info.txt does not belong to this data; correct it or give --ny and --nz",
        )  # fmt: skip
    elif present >= wanted:
        if draft.bytes != wanted * per_bscan:
            draft.repair(log, "bin_too_long", f"{found}; the rest is left out")
    elif present >= MIN_PRESENT_FRACTION * wanted:
        draft.repair(log, "bin_truncated", f"{found}; the missing ones are filled with 0")
    else:
        draft.skip(log, "bin_truncated", f"{found}: too few")


def _fix_n_extra(drafts: Sequence[Draft], itemsize: int, log: ProblemLog) -> None:
    # One short file is a truncated one; a whole slice of the same odd size is a wrong n_extra.
    usable = [d for d in drafts if d.is_used and d.geometry is not None]
    sizes = Counter((d.bytes, d.geometry) for d in usable)
    if not sizes:
        return
    (size, geometry), count = sizes.most_common(1)[0]
    n_extra = _other_n_extra(size, geometry, itemsize) if geometry else None
    if geometry is None or n_extra is None or 2 * count <= len(usable):
        return
    for draft in usable:
        if draft.geometry == geometry:
            draft.geometry = dataclasses.replace(geometry, n_extra=n_extra)
    draft = next(d for d in usable if d.bytes == size)
    draft.repair(
        log, "wrong_n_extra",
        f"n_extra is {geometry.n_extra}, but {count} tiles have the size of n_extra {n_extra}, "
        "which is used",
    )  # fmt: skip


def _other_n_extra(size: int, geometry: Geometry, itemsize: int) -> int | None:
    # Whole B-scans of the stated width mean more or fewer B-scans, not other ones.
    if size == 0 or size % geometry.bscan_bytes(itemsize) == 0:
        return None
    column = itemsize * geometry.n_z * geometry.n_bscans * geometry.n_repeat
    n_extra, rest = divmod(size, column)
    n_extra -= geometry.n_alines
    return n_extra if rest == 0 and 0 <= n_extra <= _LARGEST_N_EXTRA else None
