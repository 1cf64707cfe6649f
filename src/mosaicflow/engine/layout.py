"""Where every output of a run is published; `mosaicflow.names` says in which folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from mosaicflow import names
from mosaicflow.errors import InputError
from mosaicflow.ledger.proposal import read_config
from mosaicflow.names import PUBLISHED, published_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["LEDGER", "PUBLISHED", "RunFolder", "is_kept", "published_folder"]

# The table of slices, which people edit.
LEDGER = names.LEDGER.of()


def is_kept(name: str, keep: str) -> bool:
    """Whether an output stays in the output folder; isKept of functions/published.nf says the same.

    Parameters
    ----------
    name : str
        Base name of an output.
    keep : {'all', 'qc', 'final'}
        Everything; what shows how good it is; volume, tables, metrics and report.
    """
    folder = published_folder(name)
    if folder in names.TO_JUDGE:
        return keep != "final"
    return keep == "all" or not folder.startswith((names.GRID_STORES, names.SLICE_STORES))


class RunFolder:
    """Paths of one run.

    Parameters
    ----------
    root : Path
        The output folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.private = root / ".mosaicflow"
        self.scratch = self.private / "scratch"
        self.finished = self.private / "finished"

    def edited_ledger(self) -> Path | None:
        """Find the ledger as people left it; None while nobody has touched the published one."""
        ledger, made = self.path(LEDGER), self.private / f"published_{LEDGER}"
        edited = self.private / f"edited_{LEDGER}"
        if ledger.is_file() and made.is_file() and ledger.read_bytes() != made.read_bytes():
            read_config(ledger)  # a table that was cut is no decision
            edited.write_bytes(ledger.read_bytes())
        elif made.is_file() and not ledger.is_file():
            edited.unlink(missing_ok=True)  # it was removed, to start from the proposals again
        return edited if edited.is_file() else None

    def remember_ledger(self) -> None:
        """Keep a copy of the ledger as published, to tell later whether somebody edited it."""
        made = self.private / f"published_{LEDGER}"
        made.write_bytes(self.path(LEDGER).read_bytes())

    def failure_records(self) -> list[Path]:
        """List the published records of slices and pairs that failed, in any channel."""
        kinds = (names.FAILURE, names.PAIR_FAILURE)
        here = sorted(path for kind in kinds for path in self.all_of(kind))
        return [*here, *self.channel_records()]

    def channel_records(self) -> list[Path]:
        """List those of slices that failed in another channel than the measured one."""
        here = self.root / names.FAILURE.folder
        found = here.iterdir() if here.is_dir() else ()
        split = ((path, *names.split_channel(path.name)) for path in found)
        return sorted(path for path, own, part in split if part and names.FAILURE.labels(own))

    def all_of(self, kind: names.Kind) -> list[Path]:
        """List what is published of a kind of output."""
        here = self.root / kind.folder
        found = here.iterdir() if here.is_dir() else ()
        return sorted(path for path in found if kind.labels(path.name) is not None)

    def path(self, name: str) -> Path:
        """Give the published path of an output by its base name."""
        return self.root / self.place(name)

    def places(self, name: object) -> bool:
        """Whether a name that a record gives is one that a run would publish below this root.

        A folder of results may come from somebody else; what its records name is removed.
        """
        try:
            known = isinstance(name, str) and self.place(name.rpartition("/")[2]) == name
        except ValueError:
            return False
        return known and self._holds((self.root / str(name)).parent)

    def refuse_links(self) -> None:
        """Raise where a link would have this run read, write or remove outside its own folder."""
        for path in self._links():
            if path.is_relative_to(self.private) or not self._holds(path):
                raise InputError(
                    f"{path}: is a link to {os.path.realpath(path)}; results are read, written and"
                    " removed below --output only",
                    remedy="remove the link, or move the whole output folder and start it there",
                )

    def _holds(self, path: Path) -> bool:
        return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(self.root))

    def _links(self) -> Iterator[Path]:
        """Find the links in the folders of a run; those inside stores are their readers' matter."""
        for top in sorted({self.private.name, *PUBLISHED}):
            if (self.root / top).is_symlink():
                yield self.root / top
            for folder, folders, files in os.walk(self.root / top):
                yield from (
                    path for name in (*folders, *files) if (path := Path(folder, name)).is_symlink()
                )
                folders[:] = [name for name in folders if not name.endswith(".ome.zarr")]

    @staticmethod
    def place(name: str) -> str:
        """Give that path relative to the output folder, as it is written in records."""
        return f"{published_folder(name)}/{name}".removeprefix("/")
