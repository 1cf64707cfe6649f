"""A run that begins while the microscope still writes takes what is complete, and ends alike."""

from __future__ import annotations

import json
import shutil
import threading
import time

import pytest

from mosaicflow.acquisition.discover import discover
from mosaicflow.acquisition.settings import InspectSettings
from mosaicflow.engine.parameters import Parameters
from mosaicflow.engine.watch import FINISHED, Watched, watch_pipeline
from mosaicflow.errors import InputError

STILL_S = 10.0


@pytest.fixture
def folder(raw_copy):
    return raw_copy


@pytest.fixture
def watched(folder):
    return Watched(folder, lambda: discover(folder, InspectSettings()), STILL_S)


def data_of(folder, z):
    """A data file of the first tile of a slice."""
    return min((folder / f"z{z:02d}").rglob("*.bin"))


def cut(path):
    """Leave half of a file, as while it is being written; give the rest."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return content


def test_a_slice_is_complete_once_nothing_of_it_has_changed_for_long_enough(folder, watched):
    watched.look(0.0)
    assert watched.complete(9.9) == {}
    before = watched.complete(10.0)
    assert set(before) == {0, 1}
    data_of(folder, 0).touch()
    watched.look(11.0)
    assert set(watched.complete(20.9)) == {1}
    after = watched.complete(21.0)
    assert after[1] == before[1]
    assert after[0] != before[0]  # what was made of it is of an earlier state


def test_a_slice_with_half_a_tile_waits_for_a_later_one_or_the_rest(folder, watched):
    whole = cut(data_of(folder, 1))
    watched.look(0.0)
    assert set(watched.complete(100.0)) == {0}
    assert not watched.is_over(99.0)
    assert watched.is_over(100.0)
    data_of(folder, 1).write_bytes(whole)
    watched.look(101.0)
    assert set(watched.complete(111.0)) == {0, 1}
    cut(data_of(folder, 0))  # the microscope has moved on: this tile is lost
    watched.look(120.0)
    assert set(watched.complete(130.0)) == {0, 1}


def test_files_named_finished_say_it_at_once(folder, watched):
    watched.look(0.0)
    assert watched.complete(1.0) == {}
    (folder / "z00" / FINISHED).touch()
    watched.look(1.0)
    assert set(watched.complete(1.0)) == {0}
    assert not watched.is_over(1.0)
    (folder / FINISHED).touch()
    watched.look(2.0)
    assert watched.is_over(2.0)


def test_what_is_still_half_there_is_no_error(tmp_path):
    def find():
        raise InputError("half of a list")

    watched = Watched(tmp_path, find, STILL_S)
    watched.look(0.0)
    assert (watched.complete(50.0), watched.seen, watched.reason) == ({}, 0, "half of a list")


def test_links_that_go_round_end_a_look(folder, watched):
    (folder / "round").symlink_to(folder, target_is_directory=True)
    watched.look(0.0)
    assert set(watched.complete(10.0)) == {0, 1}


def bytes_of(root):
    """All arrays and tables of a run, without what holds a time or the folder."""
    found = [path for path in root.rglob("*") if path.is_file() and path.suffix != ".html"]
    own = (".mosaicflow", "pipeline_info", "metrics", "README", "ro-crate", "report", "crc32c")
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in found
        if not any(word in path.relative_to(root).as_posix() for word in own)
    }


class Microscope(threading.Thread):
    """Writes an acquisition tile by tile, and looks at what becomes of it."""

    def __init__(self, source, raw, root):
        super().__init__(daemon=True)
        self.source, self.raw, self.root = source, raw, root
        self.seen = []

    def run(self):
        for z in (0, 1):
            *first, last = sorted((self.source / f"z{z:02d}").iterdir())
            own = self.raw / f"z{z:02d}"
            for tile in first:
                shutil.copytree(tile, own / tile.name)
            data = min(last.glob("*.bin"))
            half = own / last.name / data.name
            half.parent.mkdir()
            shutil.copy2(last / "info.txt", half.parent)
            for other in sorted(last.glob("*.bin"))[1:]:
                shutil.copy2(other, half.parent)
            half.write_bytes(data.read_bytes()[:1000])
            time.sleep(1.5)  # three times as long as a slice has to be still
            grids = self.root / "mosaic_grids"
            self.seen.append(sorted(p.name for p in grids.glob("*.ome.zarr")))
            half.write_bytes(data.read_bytes())
            shutil.copystat(data, half)  # as a copying program does, at last
            self.seen.append(self.report_of(z + 1))
        (self.raw / FINISHED).touch()

    def report_of(self, n_slices):
        end = time.monotonic() + 200
        record = self.root / "pipeline_info/run.json"
        while time.monotonic() < end:
            if record.is_file():
                told = json.loads(record.read_text())
                if told["closing"][0].startswith(f"provisional: {n_slices} slices so far"):
                    return told["engine"]["stages"]["normalize"]
            time.sleep(0.05)
        return "waited in vain"


def test_what_comes_out_at_the_end_is_what_a_run_of_the_whole_gives(
    acquisition, finished_run, tmp_path
):
    raw, root = tmp_path / "raw", tmp_path / "out"
    raw.mkdir()
    microscope = Microscope(acquisition.raw, raw, root)
    microscope.start()
    parameters = Parameters.read(acquisition.params, {})
    result = watch_pipeline(raw, root, parameters, 2, "failed", still_s=0.5)
    microscope.join()
    before, one, between, both = microscope.seen
    assert before == []  # half a tile is no slice
    assert one["done"] == 1
    assert between
    assert not [name for name in between if "z01" in name]
    assert (both["kept"], both["done"]) == (1, 1)  # a slice is not done again for each that comes
    assert not result.closing[0].startswith("provisional")
    assert 'id="provisional"' not in (root / "report.html").read_text()
    assert not (root / "RUNNING").exists()
    assert bytes_of(root) == bytes_of(finished_run)
