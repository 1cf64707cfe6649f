"""``mosaicflow verify``: whether results are still what was written."""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["verify"]


def verify(output: Path, /, *, threads: int | None = None) -> int:
    """Compare every file of a run, or of one store, with the checksums taken when it was written.

    The exit code is 1 when a file was changed, added or lost since; each is named.

    Examples: ``mosaicflow verify OUT``; ``mosaicflow verify COPY --threads 1``;
    ``mosaicflow verify OUT/3d_volume.ome.zarr``.

    Parameters
    ----------
    output : Path
        Output folder of a run, a copy of it, or one store or file in it.
    threads : int
        Outputs compared side by side; default: as many as this process may use.
    """
    from mosaicflow import names
    from mosaicflow.engine.layout import RunFolder, is_kept
    from mosaicflow.io.tables import read_document
    from mosaicflow.io.verify import verify_tree

    def place(name: str) -> str:
        try:
            return RunFolder.place(name)
        except ValueError:  # a list from elsewhere may name anything
            return name

    record = RunFolder(output).path(names.RECORD.of())
    keep = read_document(record)["parameters"].get("keep", "all") if record.is_file() else "all"

    def kept(name: str) -> bool:
        try:
            return is_kept(name, keep)
        except ValueError:
            return True

    count = threads or len(os.sched_getaffinity(0))
    found = verify_tree(output, place, is_kept=kept, threads=count)
    lines = [f"damaged    {line}" for line in found.damaged]
    verdict = f"{len(found.damaged)} damaged" if found.damaged else "all as written"
    lines.append(f"verified   {found.n_files} files of {len(found.outputs)} outputs: {verdict}")
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if found.damaged else 0
