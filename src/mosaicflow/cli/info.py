"""``mosaicflow info``: what a store holds, on the terminal."""

from __future__ import annotations

import sys

__all__ = ["info"]


def info(path: str, *, check: bool = False, guess_units: bool = False) -> int:
    """Show levels, shapes, scales, chunks, codec, tile lattice, size and validity of a store.

    Parameters
    ----------
    path : str
        Folder, .zip archive or URL (s3://, gs://, http://) of an OME-Zarr store.
    check : bool, optional
        Decode every chunk, and list all that are damaged.
    guess_units : bool, optional
        Say whether the pixel size looks as if it had been written in millimetres.
    """
    from mosaicflow.io.zarr.describe import describe_store, describe_units
    from mosaicflow.io.zarr.errors import explained

    with explained(path):
        lines, problems = describe_store(path, check=check)
        if guess_units:
            lines += describe_units(path)
    lines += [f"problem    {problem}" for problem in problems]
    broken = any(problem.severity == "error" for problem in problems)
    checked = "metadata and chunks" if check else "metadata"
    lines.append(f"valid      {'no' if broken else 'yes'} ({checked} checked)")
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if broken else 0
