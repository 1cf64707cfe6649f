"""``mosaicflow compare``: two runs beside each other, or one with what the stage reported."""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["compare"]


def compare(first: Path, second: Path | None = None, *, output: Path | None = None) -> None:
    """Write a page with the differences of two runs, or of one run and its stage.

    Examples: ``mosaicflow compare OUT``; ``mosaicflow compare OUT OTHER``;
    ``mosaicflow compare OUT OTHER --output changes.html``.

    Parameters
    ----------
    first : Path
        Output folder of a run.
    second : Path, optional
        Output folder of another run. Without it the slices of the first are shown as the stage
        reported them and as they were registered.
    output : Path, optional
        HTML file to write; default: comparison.html in the folder where the command is started.
    """
    from mosaicflow.cli.strangers import reading
    from mosaicflow.errors import InputError
    from mosaicflow.io.tables import write_text
    from mosaicflow.report.comparison import compare_runs, compare_with_stage, read_run

    page = Path("comparison.html") if output is None else output
    if page.is_dir() or not page.absolute().parent.is_dir():
        raise InputError(f"--output {page}: expected the name of a file in a folder that is there")
    with reading(first, *([] if second is None else [second])):
        run = read_run(first)
        if second is None:
            text = compare_with_stage(run, str(first))
        else:
            text = compare_runs(run, read_run(second), (str(first), str(second)))
    write_text(page, text)
    sys.stdout.write(f"{page}\n")
