"""``mosaicflow check-orientation``: whether overlaps look alike the way the tiles are read."""

from __future__ import annotations

import sys
from pathlib import Path

from mosaicflow.cli.inspect import StageOptions, found_in

__all__ = ["check_orientation"]


def check_orientation(
    raw: Path,
    *,
    settings: StageOptions = {},  # noqa: B006  # nobody writes to it
) -> int:
    """Compare the overlaps of neighbouring tiles under all eight orientations.

    Prints the median correlation over about 20 random pairs that show structure, and names the
    option if another orientation than the configured one fits clearly better (by more than 0.1).

    Examples: ``mosaicflow check-orientation RAW``;
    ``mosaicflow check-orientation RAW --orientation=-fast,-slow``;
    ``mosaicflow check-orientation RAW --no-preprocess``.

    Parameters
    ----------
    raw : Path
        Folder of the acquisition, or a tile table (CSV) that lies in it.
    settings : mapping
        Options of the stage `inspect_acquisition`.
    """
    from mosaicflow.acquisition.read.orientation_check import better_orientation
    from mosaicflow.acquisition.read.orientation_check import check_orientation as compare
    from mosaicflow.io.remote_files import at_address

    found, source = found_in(raw, settings), at_address(raw)
    found.raise_on_stop()
    configured = found.slices[0].reader.orientation
    scores = compare(source.parent if source.is_file() else source, found.slices)
    lines = [f"median correlation of the overlaps of {scores[0].n_pairs} pairs of tiles"]
    for score in scores:
        mark = "  configured" if score.orientation == configured else ""
        lines.append(f"  {score.orientation!s:<12} {score.ncc:6.3f}{mark}")
    if (better := better_orientation(scores, configured)) is not None:
        lines.append(f"another orientation fits better: give --orientation={better.orientation}")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0
