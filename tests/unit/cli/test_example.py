"""The example of the package is complete, small, and becomes what is known of it."""

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from mosaicflow.cli.main import main
from mosaicflow.engine.parameters import Parameters


def test_the_example_is_written_with_its_parameters_and_licence(invoke, tmp_path):
    folder = tmp_path / "brain"
    said = invoke(main, "example", "brain-section", "--output", folder).stdout
    assert f"mosaicflow run {folder}/raw -o {folder}-result -p {folder}/params.yml" in said
    assert len(list((folder / "raw").glob("*.tif"))) == 63
    assert "Permission is hereby granted" in (folder / "SOURCE.txt").read_text()
    Parameters.read(folder / "params.yml", {})
    ended = invoke(main, "example", "brain-section", "--output", folder, code=1)
    assert "is there already" in ended.stderr


def test_it_stays_small_enough_for_a_wheel():
    folder = Path(str(files("mosaicflow") / "examples"))
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 10e6


@pytest.mark.slow
def test_its_tiles_lie_where_the_stage_is_known_to_have_moved(invoke, tmp_path):
    import csv

    folder, result = tmp_path / "brain", tmp_path / "result"
    invoke(main, "example", "brain-section", "--output", folder)
    options = ("-p", folder / "params.yml", "--threads", "2", "--quiet")
    invoke(main, "run", folder / "raw", "-o", result, *options)
    with (result / "tables/z00_tile_positions.csv").open() as file:
        rows = list(csv.DictReader(file))
    index = np.array([(int(row["iy"]), int(row["ix"])) for row in rows])
    found = np.array([(float(row["row_px"]), float(row["col_px"])) for row in rows])
    # The step that SOURCE.txt of the full-size tiles gives, halved.
    error = found - index @ (np.array([[461.148, -7.806], [7.630, 460.865]]) / 2)
    error -= np.median(error, axis=0)
    assert len(rows) == 63
    assert np.hypot(*error.T).max() < 1
