"""Where every output of a run is published; the workflow's ``output {}`` block says the same."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mosaicflow.errors import InputError
from mosaicflow.ledger.proposal import read_config

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["LEDGER", "PUBLISHED", "RunFolder", "is_kept", "published_folder"]

# The table of slices, which people edit.
LEDGER = "slice_config.csv"

# A list of checksums lies beside the output whose name it has.
_SLICE = re.compile(r"slice_z\d+_(?P<process>\w+)\.(ome\.zarr|crc32c\.json)")
_TABLE_SUMS = (
    r"(acquisition|alignment|depth_profile|illumination|shifts_xy_clean|stage_model"
    r"|z\d+_tile_links)\.crc32c\.json"
)
_RULES = (
    (re.compile(r"mosaic_grid_.*\.(ome\.zarr|crc32c\.json)"), "mosaic_grids"),
    (re.compile(r".*\.ome\.zarr"), ""),
    (re.compile(r".*\.metrics\.json"), "metrics"),
    (
        re.compile(
            r".*\.(mrc|nii|ome\.tif|ply|stl|obj|glb|pickle)"
            r"|.*_(tiles|slices)(\.xml|_TileConfiguration\.txt)"
        ),
        "exports",
    ),
    (re.compile(r".*_export\.crc32c\.json"), "exports"),
    (re.compile(r".*_transform(_xy)?\.(json|tfm|npy|crc32c\.json)"), "transforms"),
    (re.compile(_TABLE_SUMS), "tables"),
    (re.compile(r".*\.crc32c\.json"), ""),
    (re.compile(r"run\.json"), "pipeline_info"),
    (re.compile(r".*\.png"), "previews"),
    (re.compile(r".*\.(json|csv|npz|bdv\.xml)|z\d+_TileConfiguration\.txt"), "tables"),
    (re.compile(r".*\.txt|report\.html"), ""),
)

# Folders at the top of the output tree.
PUBLISHED = frozenset(
    {
        *("mosaic_grids", "slices", "transforms", "tables", "metrics", "previews", "exports"),
        "pipeline_info",
    }
)


def published_folder(name: str) -> str:
    """Name the folder of the output tree that a file or store belongs to.

    Parameters
    ----------
    name : str
        Base name of an output.

    Returns
    -------
    str
        Path below the output folder; empty for its top.
    """
    if match := _SLICE.fullmatch(name):
        return f"slices/{match['process']}"
    for pattern, folder in _RULES:
        if pattern.fullmatch(name):
            return folder
    raise ValueError(f"no place in the output tree for {name}")


def is_kept(name: str, keep: str) -> bool:
    """Whether an output stays in the output folder; functions/published.nf says the same.

    Parameters
    ----------
    name : str
        Base name of an output.
    keep : {'all', 'qc', 'final'}
        Everything; what shows how good it is; volume, tables, metrics and report.
    """
    folder = published_folder(name)
    if folder in _QC:
        return keep != "final"
    return keep == "all" or not folder.startswith(_STORES)


# Where the grids and slices of all stages are, and what to look at to judge them.
_STORES = ("mosaic_grids", "slices/")
_QC = frozenset({"slices/normalize", "transforms", "previews"})


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
        """List the published records of slices and pairs that failed."""
        return sorted(self.path("z00_failure.json").parent.glob("z*_failure.json"))

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
