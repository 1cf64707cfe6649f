"""Tasks are recorded after their data is on the disk, in the order in which they ended."""

import json
import threading

import pytest

from mosaicflow.engine import publish
from mosaicflow.engine.layout import RunFolder
from mosaicflow.engine.recorder import Recorder
from mosaicflow.engine.task import Published


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path)
    folder.finished.mkdir(parents=True)
    return folder


def published(folder, name):
    scratch = folder.scratch / name
    scratch.mkdir(parents=True)
    return Published(folder.finished / f"{name}.json", f"key of {name}", {}, scratch)


def recorded(folder):
    return sorted(path.stem for path in folder.finished.glob("*.json"))


def test_what_comes_while_the_disk_works_waits_for_one_more_turn_of_it(folder, monkeypatch):
    begun, go, turns = threading.Event(), threading.Event(), []

    def slow(_root):
        turns.append(recorded(folder))
        begun.set()
        assert go.wait(20)

    monkeypatch.setattr(publish, "sync", slow)
    with Recorder(folder) as recorder:
        recorder.take(None)  # of a task that was kept
        recorder.take(published(folder, "a"))
        assert begun.wait(20)
        for name in "bcd":
            recorder.take(published(folder, name))
        assert recorded(folder) == []
        go.set()
        recorder.settle()
        assert recorded(folder) == ["a", "b", "c", "d"]
    assert turns == [[], ["a"]]
    assert json.loads((folder.finished / "c.json").read_text())["key"] == "key of c"
    assert not any(folder.scratch.iterdir())


def test_a_disk_that_fails_is_told_and_nothing_counts(folder, monkeypatch):
    def failing(_root):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(publish, "sync", failing)
    with Recorder(folder) as recorder:
        recorder.take(published(folder, "a"))
        with pytest.raises(OSError, match="Input/output"):
            recorder.settle()
        with pytest.raises(OSError, match="Input/output"):
            recorder.take(published(folder, "b"))
    assert recorded(folder) == []


def test_of_a_run_that_is_broken_off_what_was_published_is_recorded(folder):
    def broken_off():
        with Recorder(folder) as recorder:
            recorder.take(published(folder, "a"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken_off()
    assert recorded(folder) == ["a"]
