"""A volume whose drawing was killed: what was finished is kept, and the result is the same."""

import json
import shutil
import subprocess
import sys
from functools import cache

import numpy as np
import pytest

from mosaicflow.alignment.solution import AlignedSlice, Alignment
from mosaicflow.io.checksums import checksum
from mosaicflow.io.tables import write_json
from mosaicflow.io.zarr.journal import Journal, journal_path
from mosaicflow.io.zarr.target import TargetArray
from mosaicflow.rigid import Rigid2D
from mosaicflow.stacking import build, draw
from mosaicflow.stages.stack import stack

N_SLICES, DEPTH, SIDE = 10, 128, 32
REGIONS = 20  # blocks of 64 planes, the unit in which the volume is written
# Draws the volume as the test does, and kills itself where it is told to.
KILLED = """
import os, signal, sys
from pathlib import Path
from mosaicflow.io.zarr import analysis, journal, workspace, writer
from mosaicflow.stacking import build, draw
from mosaicflow.stages.stack import stack
journal._EVERY_S = 0
folder, when = Path(sys.argv[1]), sys.argv[2]
build._KEPT_BYTES, drawn, one = 0, 0, draw._Column.draw
def die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)
late = {"attributes": (workspace.Workspace, "write_attributes"), "sums": (workspace, "sums_of"),
        "named": (workspace, "write_checksums"), "tables": (build, "write_tables"),
        "preview": (build, "write_preview")}
if when in late: setattr(*late[when], die)
when = int(when) if when.isdigit() else 1000
def counted(*given):
    global drawn
    if drawn == when: die()
    drawn += 1
    return one(*given)
draw._Column.draw = counted
fill, filled = analysis.fill_level, []
def filling(*given, **more):
    filled.append(given)
    if len(filled) == when - 19: die()
    fill(*given, **more)
analysis.fill_level = writer.fill_level = filling
stack(slices=tuple(sorted(folder.glob("slice_z*.ome.zarr"))), alignment=folder / "alignment.json",
      output=folder / "out" / "3d_volume.ome.zarr", threads=2, **eval(sys.argv[3]))
"""


@pytest.fixture(scope="module")
def folder(write_one_slice, tmp_path_factory):
    made = tmp_path_factory.mktemp("slices")
    rng = np.random.default_rng(3)
    shape = (DEPTH, SIDE, SIDE)
    for i in range(N_SLICES):
        write_one_slice(made / f"slice_z{i:02d}_n.ome.zarr", rng.uniform(0.1, 0.9, shape), i)
    turned = Rigid2D(2.0, (15.5, 15.5), (0.3, -0.7))
    slices = [AlignedSlice(i, turned, (1.0, 1.0), DEPTH * i, 0.9, "graph") for i in range(N_SLICES)]
    size = (SIDE, SIDE), N_SLICES * DEPTH
    alignment = Alignment(0, (10.0, 10.0, 10.0), *size, DEPTH, tuple(slices))
    write_json(made / "alignment.json", alignment.to_json())
    return made


def draw_volume_in(folder, out, **options):
    stack(
        slices=tuple(sorted(folder.glob("slice_z*.ome.zarr"))),
        alignment=folder / "alignment.json",
        output=out / "3d_volume.ome.zarr",
        threads=2,
        **options,
    )


def content(folder):
    """Every file that a volume consists of, and those beside it; metrics hold the time."""
    found = sorted(p for p in folder.rglob("*") if p.is_file() and "metrics" not in p.name)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


@pytest.fixture(scope="module")
def clean(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("clean")
    draw_volume_in(folder, out)
    return content(out)


@pytest.fixture(scope="module")
def kill(folder, tmp_path_factory):
    """Kill the drawing before a region, or from 20 on before a level; give what is left."""

    @cache
    def left(when, options):
        work = tmp_path_factory.mktemp("killed")
        for path in folder.iterdir():
            (work / path.name).symlink_to(path)
        (work / "out").mkdir()
        command = [sys.executable, "-c", KILLED, str(work), str(when), options]
        assert subprocess.run(command, check=False).returncode == -9
        return work / "out"

    return left


@pytest.fixture
def killed(kill, tmp_path):
    def copy(when, **options):
        return shutil.copytree(kill(when, repr(options)), tmp_path / "out")

    return copy


@pytest.fixture
def redrawn(monkeypatch):
    """Count what is drawn from now on, with a journal for a volume of any size."""
    drawn, one = [], draw._Column.draw
    monkeypatch.setattr(build, "_KEPT_BYTES", 0)
    monkeypatch.setattr(
        draw._Column, "draw", lambda *given: (drawn.append(given[1]), one(*given))[1]
    )
    return drawn


def test_a_kill_at_nine_tenths_of_the_regions_redoes_a_fifth_at_most(
    folder, clean, killed, redrawn
):
    out = killed(18)
    draw_volume_in(folder, out)
    assert 2 <= len(redrawn) <= REGIONS // 5
    assert content(out) == clean


# Files of the three coarser levels: 8, 4 and 2; with whole halvings 20 and 20.
@pytest.mark.parametrize(
    ("when", "options", "n_files"),
    [
        (20, {}, 14),
        (21, {}, 6),
        pytest.param(21, {"pyramid_n_levels": 2}, 20, marks=pytest.mark.slow),
    ],
)
def test_a_kill_in_the_pyramid_redoes_no_region_and_no_finished_level(
    folder, killed, redrawn, tmp_path, monkeypatch, when, options, n_files
):
    out, filled, one = killed(when, **options), [], TargetArray.render
    monkeypatch.setattr(TargetArray, "render", lambda *g: (filled.append(g[1]), one(*g))[1])
    draw_volume_in(folder, out, **options)
    assert redrawn == []
    assert len(filled) == n_files
    (tmp_path / "clean").mkdir()
    draw_volume_in(folder, tmp_path / "clean", **options)
    assert content(out) == content(tmp_path / "clean")


# The finest level is where it belongs, and then the store has its name. By hand the stage is over
# with that; a run, which records it later, keeps the journal until then (test_resume).
@pytest.mark.parametrize(
    ("when", "options"),
    [
        ("attributes", {}),
        ("sums", {}),
        pytest.param("named", {}, marks=pytest.mark.slow),
        pytest.param("sums", {"pyramid_n_levels": 2}, marks=pytest.mark.slow),
        pytest.param("named", {"pyramid_n_levels": 2}, marks=pytest.mark.slow),
        pytest.param("sums", {"pyramid_resolutions": (25.0, 50.0)}, marks=pytest.mark.slow),
        pytest.param("named", {"pyramid_resolutions": (25.0, 50.0)}, marks=pytest.mark.slow),
    ],
)
def test_a_kill_while_the_store_gets_its_name_redoes_nothing(
    folder, killed, redrawn, tmp_path, monkeypatch, when, options
):
    out, filled, one = killed(when, **options), [], TargetArray.render
    monkeypatch.setattr(TargetArray, "render", lambda *g: (filled.append(g[1]), one(*g))[1])
    draw_volume_in(folder, out, **options)
    assert (redrawn, filled) == ([], [])
    (tmp_path / "clean").mkdir()
    draw_volume_in(folder, tmp_path / "clean", **options)
    assert content(out) == content(tmp_path / "clean")


def test_what_belongs_to_another_volume_is_thrown_away(folder, killed, redrawn, tmp_path):
    out = killed(12)
    draw_volume_in(folder, out, stack_blend_depth_um=20.0)
    assert len(redrawn) == REGIONS
    (tmp_path / "clean").mkdir()
    draw_volume_in(folder, tmp_path / "clean", stack_blend_depth_um=20.0)
    assert content(out) == content(tmp_path / "clean")


def test_a_region_that_is_not_what_was_written_is_drawn_again(folder, clean, killed, redrawn):
    out = killed(12)
    store = next(out.glob(".*.base.tmp"))
    chunk = store / "0/3/0/0"
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 1
    chunk.write_bytes(bytes(data))
    (store / "0/5/0/0").unlink()
    (store / "0/30").write_text("what a killed writer left")
    (store / "0/6/0/0.part").write_text("half")
    draw_volume_in(folder, out)
    assert {64 * 3, 64 * 5} <= set(redrawn)
    assert len(redrawn) <= 8 + 2 + 2
    assert content(out) == clean


def test_a_journal_that_was_cut_anywhere_loses_what_it_no_longer_names(tmp_path):
    store = tmp_path / ".a.tmp"
    store.mkdir()
    regions = [(slice(i, i + 1), slice(0, 4)) for i in range(3)]
    journal = Journal(store, "key")
    journal.start()
    for i, region in enumerate(regions):
        (store / str(i)).write_text(str(i))
        journal.add("0", region, {str(i): checksum(store / str(i))})
        journal.note()
    path, text = journal_path(store), journal_path(store).read_bytes()
    for length in range(len(text) - 1, -1, -1):
        path.write_bytes(text[:length])
        again = Journal(store, "key")
        n_named = max(0, text[: length + 1].count(b"\n") - 1)  # a line lacks its end at most
        assert again.take_up() == bool(n_named)
        assert [again.holds("0", one) is not None for one in regions] == [
            i < n_named for i in range(3)
        ]


def test_a_journal_from_elsewhere_leads_nowhere(folder, clean, killed, redrawn, tmp_path):
    out = killed(12)
    journal, store = next(out.glob(".*.journal")), next(out.glob(".*.base.tmp"))
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "0").write_text("mine")
    first = journal.read_text().partition("\n")[0]
    wrong = {"region": "0[0:64, 0:32, 0:32]", "files": {"../outside/0": "00000000"}}
    journal.write_text(f"{first}\n{json.dumps(wrong)}\n")
    (store / "1").symlink_to(outside)
    draw_volume_in(folder, out)
    assert (outside / "0").read_text() == "mine"
    assert [path.name for path in outside.iterdir()] == ["0"]
    assert len(redrawn) == REGIONS
    assert content(out) == clean


def test_a_small_volume_keeps_no_journal(folder, tmp_path, monkeypatch):
    seen, one = [], draw._Column.draw

    def looking(*given):
        seen.extend(tmp_path.glob(".*.journal"))
        return one(*given)

    monkeypatch.setattr(draw._Column, "draw", looking)
    draw_volume_in(folder, tmp_path)
    assert seen == []
