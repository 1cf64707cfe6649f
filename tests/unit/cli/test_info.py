"""``mosaicflow info``: what a bug report needs."""

from __future__ import annotations

import getpass
import os
import platform
from pathlib import Path

import pytest

from mosaicflow import __version__
from mosaicflow.cli.info import info
from mosaicflow.errors import ParameterError


def test_support_names_versions_and_the_machine(capsys):
    assert info(support=True) == 0
    said = capsys.readouterr().out
    assert f"mosaicflow {__version__}" in said
    assert platform.python_version() in said
    assert f"{os.cpu_count()} processors" in said
    libraries = {line.split()[1] for line in said.splitlines() if line.startswith("library")}
    assert {"numpy", "zarr", "zarrs", "dask", "vtk"} <= libraries


def test_support_shows_no_path_and_no_name(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    info(support=True)
    said = capsys.readouterr().out
    assert "/" not in said
    for private in (str(Path.home()), platform.node(), getpass.getuser()):
        assert private not in said


def test_a_library_that_is_absent_is_said(monkeypatch, capsys):
    from importlib.metadata import PackageNotFoundError

    from mosaicflow.cli import support

    real = support.version

    def version(name: str) -> str:
        if name == "vtk":
            raise PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(support, "version", version)
    info(support=True)
    assert "library    vtk not installed" in capsys.readouterr().out


def test_no_store_and_no_support_is_a_usage_error():
    with pytest.raises(ParameterError, match="no store is named"):
        info()
