"""The recipes of the image say the same, and what a cluster needs of it."""

from __future__ import annotations

import re
from pathlib import Path

from mosaicflow import __version__

CONTAINERS = Path(__file__).parents[2] / "containers"
DOCKER = (CONTAINERS / "Dockerfile").read_text(encoding="utf-8")
APPTAINER = (CONTAINERS / "mosaicflow.def").read_text(encoding="utf-8")


def test_both_recipes_are_of_this_version_and_carry_their_labels():
    assert f"ARG VERSION={__version__}\n" in DOCKER
    assert f"org.opencontainers.image.version {__version__}\n" in APPTAINER
    labels = re.findall(r"org\.opencontainers\.image\.(\w+)", APPTAINER)
    assert set(labels) <= set(re.findall(r"org\.opencontainers\.image\.(\w+)", DOCKER))


def test_both_recipes_install_what_is_locked_and_leave_out_the_same():
    for recipe in (DOCKER, APPTAINER):
        assert "--only-binary :all: --require-hashes -r /src/requirements/runtime.txt" in recipe
        assert "--no-deps --no-build-isolation /src" in recipe
        assert "procps" in recipe
        assert "sh /src/slim.sh /opt/mosaicflow/lib" in recipe
    gone = [
        set(re.search(r"uninstall -y ([a-z \\\n-]*?)(?:\\\n *&&|\n *sh )", recipe)[1].split())
        - {"\\"}
        for recipe in (DOCKER, APPTAINER)
    ]
    assert gone[0] == gone[1]
    assert {"pip", "setuptools"} <= gone[0]
