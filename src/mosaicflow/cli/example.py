"""``mosaicflow example``: real data to try, from the package itself."""

from __future__ import annotations

import shutil
import sys
from importlib.resources import as_file, files
from pathlib import Path
from typing import Literal

from mosaicflow.errors import InputError

__all__ = ["example"]


def example(name: Literal["brain-section"], *, output: Path | None = None) -> None:
    """Write a small real acquisition with its parameters, ready to run; needs no network.

    brain-section: 63 tiles of one section of a mouse brain, 5 MB; a run takes about a minute.

    Examples: ``mosaicflow example brain-section``;
    ``mosaicflow example brain-section --output brain``;
    ``mosaicflow run brain/raw -o brain-result -p brain/params.yml``.

    Parameters
    ----------
    name : {"brain-section"}
        Which one.
    output : Path, optional
        Folder to make; default: one of that name where the command is started.
    """
    folder = Path(name) if output is None else output
    if folder.exists():
        raise InputError(f"{folder}: is there already", remedy="give another --output")
    with as_file(files("mosaicflow") / "examples" / name.replace("-", "_")) as source:
        shutil.copytree(source, folder)
    sys.stdout.write(
        f"{folder}/raw, {folder}/params.yml, and where they come from: {folder}/SOURCE.txt\n"
        f"next: mosaicflow run {folder}/raw -o {folder}-result -p {folder}/params.yml\n"
    )
