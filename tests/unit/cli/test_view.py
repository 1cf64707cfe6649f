"""What `mosaicflow view` opens, and how its page is reached from elsewhere."""

import pytest

from mosaicflow.cli.view import _volume_of, tunnel
from mosaicflow.io.tables import write_json


def test_of_an_output_folder_the_volume_is_shown(tmp_path):
    (tmp_path / "pipeline_info").mkdir()
    outputs = ["mosaic_grids/a.ome.zarr", "metrics/x.json", "brain.ome.zarr"]
    write_json(tmp_path / "pipeline_info/run.json", {"outputs": outputs})
    assert _volume_of(str(tmp_path)) == str(tmp_path / "brain.ome.zarr")


@pytest.mark.parametrize("path", ["s3://bucket/run", "volume.ome.zarr"])
def test_all_else_is_taken_as_it_is(path):
    assert _volume_of(path) == path


def test_on_a_machine_reached_by_ssh_the_way_in_is_told(monkeypatch):
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.9 5555 10.0.0.1 22")
    monkeypatch.setenv("LOGNAME", "ann")
    said = tunnel("http://127.0.0.1:9001/v/x/", "http://127.0.0.1:9002")
    ports = "-L 9001:127.0.0.1:9001 -L 9002:127.0.0.1:9002"
    assert said == f"on your own machine first: ssh -N {ports} ann@10.0.0.1\n"


def test_at_the_machine_itself_nothing_is_told(monkeypatch):
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    assert tunnel("http://127.0.0.1:9001") == ""
