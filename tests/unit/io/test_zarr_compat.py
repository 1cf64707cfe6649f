"""Inner modules of other people's libraries are known in one place, and their versions bounded."""

import re
import tomllib
from pathlib import Path

import mosaicflow

ROOT = Path(mosaicflow.__file__).parent


def importing(module):
    pattern = re.compile(rf"^\s*(from|import) {re.escape(module)}\b", re.MULTILINE)
    return {path.name for path in ROOT.rglob("*.py") if pattern.search(path.read_text())}


def test_one_module_alone_knows_the_inside_of_zarr_and_one_that_of_zarrs():
    assert importing("zarr.core") == {"_compat.py"}
    assert importing("zarrs.pipeline") == {"_pipeline.py"}


def test_versions_whose_inside_is_used_are_bounded():
    project = tomllib.loads((ROOT.parents[1] / "pyproject.toml").read_text())["project"]
    for name in ("zarr", "zarrs"):
        (needed,) = (one for one in project["dependencies"] if one.startswith(f"{name}>"))
        assert ",<" in needed
