"""The example of the page on viewing runs as it is printed."""

import re
from pathlib import Path

import numpy as np
import pytest
import zarr

from mosaicflow.io.zarr import save_omezarr

ROOT = Path(__file__).resolve().parents[4]
PAGE = (ROOT / "docs" / "view.md").read_text(encoding="utf-8")


def test_the_example_of_the_page_runs(tmp_path, monkeypatch):
    pytest.importorskip("vtk", reason="needs VTK: pip install 'mosaicflow[view]'")
    from vtkmodules.util.numpy_support import vtk_to_numpy

    monkeypatch.chdir(tmp_path)
    data = np.random.default_rng(0).integers(0, 999, (32, 200, 200)).astype(np.uint16)
    save_omezarr(data, "volume.ome.zarr", (0.004, 0.002, 0.002), n_levels=2)
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(list(filter(None, example.splitlines()))) == 5
    names = {}
    exec(compile(example, "docs/view.md", "exec"), names)
    values = vtk_to_numpy(names["image"].GetPointData().GetScalars()).reshape(1, 100, 51)
    assert names["source"].level == 1
    stored = np.asarray(zarr.open_array("volume.ome.zarr/1", mode="r"))
    np.testing.assert_array_equal(values, stored[3:4, 0:100, 10:61])
    names["source"].pyramid.close()


def test_the_commands_of_the_page_have_the_options_that_it_names():
    import inspect

    from mosaicflow.cli.view3d import view3d

    known = inspect.signature(view3d).parameters
    named = re.findall(r"--([a-z]+)", PAGE)
    assert named
    assert set(named) <= set(known)
