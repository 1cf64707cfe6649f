"""Comparing everything in a folder with the checksums that came with it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mosaicflow.errors import InputError
from mosaicflow.io.checksums import (
    SUFFIX,
    Checksums,
    damage,
    find_checksums,
    read_checksums,
    sums_path,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Verified", "verify_tree"]


@dataclass(frozen=True, slots=True)
class Verified:
    """What was compared.

    Parameters
    ----------
    outputs : tuple of str
        Files and stores, relative to the folder.
    n_files : int
        Files with a checksum.
    damaged : tuple of str
        A line per file that is not what was written.
    """

    outputs: tuple[str, ...]
    n_files: int
    damaged: tuple[str, ...]


def verify_tree(
    root: Path,
    place: Callable[[str], str],
    *,
    is_kept: Callable[[str], bool] = lambda _: True,
    threads: int = 1,
) -> Verified:
    """Compare all outputs below a folder, or one store, with their checksums.

    Parameters
    ----------
    root : Path
        Folder of a run, any folder with outputs of stages, or one output.
    place : callable
        Where a run publishes an output, relative to its folder, by the output's base name.
    is_kept : callable
        Whether the run was to keep an output, by the output's base name.
    threads : int
        Outputs compared side by side.

    Returns
    -------
    Verified

    Raises
    ------
    InputError
        There are no checksums to compare with.
    """
    from mosaicflow.threads import map_threads

    if not root.exists():
        raise InputError(f"{root}: not found, expected the output folder of a run, or a store")
    jobs = [job for job in _jobs(root, place) if job[0].exists() or is_kept(job[0].name)]
    spoiled = _spoiled(root)
    if not jobs and not spoiled:
        raise InputError(
            f"{root}: found no {SUFFIX} file, so there is nothing to compare with",
            remedy="outputs of mosaicflow before 0.2, and of other software, carry no checksums",
        )

    top = os.path.realpath(root)

    def compare(job: tuple[Path, dict[str, str]]) -> list[str]:
        output, known = job
        name = os.path.relpath(output, root if root.is_dir() else root.parent)
        if not output.exists():
            return [f"{name}: is missing"]
        if output != root and not Path(os.path.realpath(output)).is_relative_to(top):
            return [f"{name}: is a link out of the folder"]
        return [
            f"{name}: {inside} {what}".replace(":  ", ": ")
            for inside, what in damage(output, known)
        ]

    lines = map_threads(compare, jobs, threads)
    return Verified(
        tuple(os.path.relpath(output, root) for output, _ in jobs),
        sum(len(known) for _, known in jobs),
        (*spoiled, *(line for one in lines for line in one)),
    )


def _jobs(root: Path, place: Callable[[str], str]) -> list[tuple[Path, dict[str, str]]]:
    """List each output once, with its files and their checksums."""
    single = None if _is_tree(root) else find_checksums(root)
    if single is not None:
        return [(root, single.of(Path(os.path.realpath(root)).name))]
    found: dict[Path, dict[str, str]] = {}
    for sums in _lists(root):
        for name in sums.outputs:
            known = sums.of(name)
            beside = sums.path.with_name(name)
            published = root / place(name)
            path = beside if beside.exists() or not published.exists() else published
            # The list with the output's own name counts where two name it.
            if path not in found or sums.path.name.startswith(f"{name.partition('.')[0]}."):
                found[path] = known
    return sorted(found.items())


def _is_tree(root: Path) -> bool:
    return root.is_dir() and not any((root / name).is_file() for name in (".zattrs", "zarr.json"))


def _lists(root: Path) -> Iterator[Checksums]:
    for path in _list_files(root):
        found = read_checksums(path)
        if found is not None:
            yield found


def _list_files(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(n for n in folders if n[0] != "." and not n.endswith(".ome.zarr"))
        yield from (Path(folder, name) for name in sorted(names) if name.endswith(SUFFIX))


def _spoiled(root: Path) -> list[str]:
    """Name the lists that are none any more: what they named would pass for sound."""
    paths = _list_files(root) if _is_tree(root) else [sums_path(root)]
    return [
        f"{os.path.relpath(path, root if root.is_dir() else root.parent)}: is no list of checksums"
        for path in paths
        if os.path.lexists(path) and read_checksums(path) is None
    ]
