"""``mosaicflow bundle``: all that a cluster without internet needs, as one file."""

from __future__ import annotations

import sys
import tarfile
from importlib.resources import as_file, files
from io import BytesIO
from pathlib import Path

from rich.filesize import decimal

from mosaicflow import __version__
from mosaicflow.errors import InputError

__all__ = ["bundle"]

# What `nextflow run` reads of a checkout.
_PIPELINE = (
    "main.nf", "nextflow.config", "nextflow_schema.json", "LICENSE",
    "bin", "conf", "functions", "modules", "workflows",
)  # fmt: skip
_LEFT_OUT = ("tests", "__pycache__")
_GUIDE = """\
mosaicflow {version}, for a machine without internet. Nextflow and Java must be there already.

    export NXF_OFFLINE=true
    nextflow run pipeline -profile {profile} --container {container} \\
        --input example/raw --output OUT -params-file example/params.yml

Put your own raw data in place of example/raw, and add a profile of your cluster (slurm, lsf, sge,
pbs).
"""


def bundle(output: Path, /, *, image: Path | None = None, pipeline: Path = Path()) -> None:
    """Write pipeline, image and test data as one tar, for clusters without internet.

    Examples: ``mosaicflow bundle offline.tar``;
    ``mosaicflow bundle offline.tar --image mosaicflow.sif``;
    ``mosaicflow bundle offline.tar --pipeline CHECKOUT``.

    Parameters
    ----------
    output : Path
        The tar to write; unpacked it is one folder with a README.txt that says how to start.
    image : Path, optional
        Image as one file: a .sif for Apptainer, or a .tar that Docker and Podman load. Without it
        mosaicflow has to be installed there.
    pipeline : Path
        Checkout of mosaicflow, whose version must be this one's; default: the current folder.
    """
    if not (pipeline / "main.nf").is_file():
        raise InputError(
            f"{pipeline}: has no main.nf, expected a checkout of mosaicflow",
            remedy="start the command in one, or name it with --pipeline",
        )
    _check_version(pipeline)
    if image is not None and not (image.is_file() and image.suffix in (".sif", ".tar")):
        raise InputError(f"{image}: is no image, expected a .sif or .tar file")
    top = f"mosaicflow-{__version__}"
    partial = output.with_name(f".{output.name}.tmp")
    with tarfile.open(partial, "w") as tar:
        for name in _PIPELINE:
            tar.add(pipeline / name, f"{top}/pipeline/{name}", filter=_kept)
        with as_file(files("mosaicflow") / "examples" / "brain_section") as example:
            tar.add(example, f"{top}/example", filter=_kept)
        if image is not None:
            tar.add(image, f"{top}/image/{image.name}", filter=_kept)
        text = _guide(image).encode()
        entry = tarfile.TarInfo(f"{top}/README.txt")
        entry.size = len(text)
        tar.addfile(entry, BytesIO(text))
    partial.replace(output)
    sys.stdout.write(f"{output}: {decimal(output.stat().st_size)}; see README.txt in it\n")


def _check_version(pipeline: Path) -> None:
    config = (pipeline / "nextflow.config").read_text(encoding="utf-8")
    if f"'{__version__}'" not in config:
        raise InputError(
            f"{pipeline}: its pipeline is not of version {__version__}, which this command has",
            remedy="check out that version, or install the one of the checkout",
        )


def _kept(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Leave out what no run reads, and who packed it."""
    if set(entry.name.split("/")) & set(_LEFT_OUT):
        return None
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def _guide(image: Path | None) -> str:
    if image is None:
        text = _GUIDE.replace("-profile {profile} --container {container} \\\n        ", "")
        return text.format(version=__version__)
    if image.suffix == ".sif":
        where = f'"file://$PWD/image/{image.name}"'
        return _GUIDE.format(version=__version__, profile="apptainer", container=where)
    text = _GUIDE.format(
        version=__version__, profile="docker", container=f"mosaicflow:{__version__}"
    )
    return f"{text}\nFirst: docker load -i image/{image.name}   (or podman, with -profile podman)\n"
