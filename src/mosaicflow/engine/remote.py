"""A run whose results go to an address (s3://, gs://): what stays here, and what is sent when."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mosaicflow import names
from mosaicflow.errors import ParameterError
from mosaicflow.io.remote_files import RemotePath, is_remote
from mosaicflow.io.upload import ADDRESS_SUFFIX, put_all

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mosaicflow.engine.layout import RunFolder
    from mosaicflow.engine.parameters import Parameters

__all__ = ["check_remote", "send_results", "split_output", "told_outputs"]


def split_output(output: Path) -> tuple[Path, str]:
    """Tell the folder of this machine that a run works in from the address of its results.

    Returns
    -------
    (Path, str)
        The output folder and nothing; or, of an address, a folder of its last name, here, and it.
    """
    if not is_remote(output):
        return output, ""
    address = RemotePath(output)
    return Path(address.name), str(address)


def check_remote(address: str, parameters: Parameters) -> None:
    """Refuse what a run cannot make of a volume that is not here."""
    if address and parameters.setting("export", "export_formats"):
        raise ParameterError(
            f"export_formats with --output {address}: these files are made of a volume on a disk"
            " of this machine",
            remedy="leave them out; `mosaicflow convert` and `mosaicflow export` do it afterwards",
        )


def told_outputs(outputs: Sequence[str]) -> tuple[str, ...]:
    """Name results as they are called behind the address."""
    return tuple(name.removesuffix(ADDRESS_SUFFIX) for name in outputs)


def send_results(folder: RunFolder, address: str, outputs: Sequence[str]) -> None:
    """Send everything published but for what is there; the record of the run comes last."""
    record = f"{names.RECORD.folder}/{names.RECORD.of()}"
    here = sorted(name for name in outputs if not name.endswith(ADDRESS_SUFFIX) and name != record)
    put_all([(folder.root / name, name) for name in (*here, record)], address)
