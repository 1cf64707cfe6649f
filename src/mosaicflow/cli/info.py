"""``mosaicflow info``: what a store holds, on the terminal."""

from __future__ import annotations

import sys

from mosaicflow.errors import ParameterError

__all__ = ["info"]


def info(
    path: str | None = None,
    *,
    check: bool = False,
    guess_units: bool = False,
    support: bool = False,
) -> int:
    """Show levels, shapes, scales, chunks, codec, tile lattice, size and validity of a store.

    Examples: ``mosaicflow info OUT/3d_volume.ome.zarr``;
    ``mosaicflow info OUT/3d_volume.ome.zarr --check``; ``mosaicflow info --support``.

    Parameters
    ----------
    path : str, optional
        Folder, .zip archive or URL (s3://, gs://, http://) of an OME-Zarr store.
    check : bool, optional
        Decode every chunk, compare it with the checksums that came with the store, and list all
        that are damaged.
    guess_units : bool, optional
        Say whether the pixel size looks as if it had been written in millimetres.
    support : bool, optional
        Show the versions and the machine that a bug report should name; no path is shown.
    """
    if support:
        from mosaicflow.cli.support import support_lines

        sys.stdout.write("\n".join(support_lines()) + "\n")
        return 0
    if path is None:
        raise ParameterError("info: no store is named", remedy="give a store, or --support")
    from mosaicflow.io.zarr.checking import known_sums
    from mosaicflow.io.zarr.describe import describe_store, describe_units
    from mosaicflow.io.zarr.errors import explained
    from mosaicflow.io.zarr.location import locate

    with explained(path):
        lines, problems = describe_store(path, check=check)
        if guess_units:
            lines += describe_units(path)
    lines += [f"problem    {problem}" for problem in problems]
    broken = any(problem.severity == "error" for problem in problems)
    checked = "metadata"
    if check:
        checked += ", chunks and checksums" if known_sums(locate(path)) else " and chunks"
    lines.append(f"valid      {'no' if broken else 'yes'} ({checked} checked)")
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if broken else 0
