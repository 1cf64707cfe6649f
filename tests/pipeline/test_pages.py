"""Every command and every piece of Python that any page shows is run, in order.

A page that is written tomorrow is run tomorrow: pages are found, not listed. What another test
runs, and what cannot run here, is named below with the reason.
"""

from __future__ import annotations

import os
import re
import select
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile
import zarr

from mosaicflow.engine.parameters import Parameters
from mosaicflow.engine.run import run_pipeline
from mosaicflow.io.zarr import AnalysisOmeZarrWriter, save_omezarr
from mosaicflow.simulation import preset, simulate

ROOT = Path(__file__).parents[2]
HERE = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "RELEASING.md", "SECURITY.md")]
PAGES = [*HERE, ROOT / "containers/README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TUTORIALS = [page for page in PAGES if page.parent.name == "tutorials"]
# Page -> the test that runs its Python or checks its commands, and opens the page for that.
TESTED_IN = {
    "docs/formats.md": "tests/unit/formats/test_docs.py",
    "docs/input.md": "tests/unit/acquisition/find/test_tile_sources.py",
    "docs/running.md": "tests/engine/test_profiles.py",
    "docs/view.md": "tests/unit/formats/streaming/test_view_page.py",
}
# What needs a network, a container or another engine, or is what this test itself is a part of.
ELSEWHERE = ("git", "make", "nextflow", "docker", "pip", "tests/run", ".", "cd")
# `view3d FILE` without --screenshot opens a window: formats/streaming tests it without a screen.
WINDOWS = ("view3d",)
# These serve a page until somebody stops them.
SERVERS = ("view", "align edit")
OVERRIDES = (
    "kind,slice_id,iy,ix,dy_px,dx_px,angle_deg,sigma_px,lock,exclude,note\n"
    "slice,1,,,2,0,0,1,false,false,moved by a reader\n"
)


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[tuple[str, str]]:
    """Return language and text of the fenced blocks of a page, indented ones too."""
    return re.findall(r"^ *```(\w*)\n(.*?)^ *```", page.read_text("utf-8"), re.S | re.M)


def commands(page: Path) -> list[list[str]]:
    """Return what a reader would run, as arguments; a block of Python is one command."""
    found = []
    for language, text in blocks(page):
        if language == "python":
            found.append([sys.executable, "-W", "error", "-c", text])
        if language == "bash":
            lines = text.replace("\\\n", " ").splitlines()
            found += [shlex.split(line, comments=True) for line in lines]
    return [words for words in found if words and words[0] not in ELSEWHERE]


RUN = [page for page in PAGES if commands(page) and name_of(page) not in TESTED_IN]


def arguments(words: list[str]) -> list[str]:
    program, *rest = words
    is_ours = Path(program).name == "mosaicflow"
    return [sys.executable, "-m", "mosaicflow", *rest] if is_ours else words


def environment() -> dict[str, str]:
    paths = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": paths, "BROWSER": "true"}


def serves_until_stopped(words: list[str], folder: Path) -> None:
    """Start what serves a page, see its address, stop it."""
    with subprocess.Popen(
        arguments(words), cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            ready, _, _ = select.select([process.stdout], [], [], 120)
            assert ready, f"{words}: no address after 120 s"
            assert "http://127.0.0.1" in process.stdout.readline()
            process.terminate()  # a shell's background jobs do not hear Ctrl-C
            assert process.wait(60) in (0, 143)
        finally:
            process.kill()


def run_page(page: Path, folder: Path) -> str:
    """Run all of a page; return what it printed."""
    printed = []
    for words in commands(page):
        asked = " ".join(words[1:3])
        if asked.startswith(WINDOWS) and "--screenshot" not in words:
            continue
        if asked.startswith(SERVERS) and "view3d" not in words:
            serves_until_stopped(words, folder)
            if words[1] == "align":  # what a reader saves on that page
                (folder / words[3] / "overrides.csv").write_text(OVERRIDES)
            continue
        done = subprocess.run(
            arguments(words), cwd=folder, env=environment(), capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{words}: {done.stdout[-500:]} {done.stderr[-2000:]}"
        printed.append(done.stdout)
    return "".join(printed)


@pytest.fixture(scope="session")
def own(tmp_path_factory):
    """What pages call RAW, params.yml, OUT and so on: an acquisition of the reader's, and a run."""
    folder = tmp_path_factory.mktemp("own")
    made = simulate(folder, settings=preset("toy", n_slices=2), threads=2)
    raw = made.raw.rename(folder / "RAW")  # where `align apply --run` looks for it again
    given = Parameters.read(folder / "params.yml", {})
    run_pipeline(raw, folder / "OUT", given, 2)
    (raw / "FINISHED").touch()  # the microscope has ended: `--watch` does not wait
    parameters = (folder / "params.yml").read_text()
    (folder / "params.yml").write_text(re.sub(r"^input:.*\n", "", parameters, flags=re.M))
    for other in ("OUT_A", "OUT_B"):
        shutil.copytree(folder / "OUT", folder / other)
    return folder


@pytest.fixture
def folder(own, tmp_path):
    """Everything that a page may name, as the reader's own."""
    shutil.copytree(own, tmp_path, dirs_exist_ok=True)
    rng = np.random.default_rng(0)
    grid = rng.random((20, 256, 256), np.float32) + 1
    for name in ("mosaic_grid_3d_z00.ome.zarr", "FILE", "a.ome.zarr"):
        save_omezarr(grid, tmp_path / name, (0.0015, 0.01, 0.01), n_levels=2)
    with AnalysisOmeZarrWriter(tmp_path / "3d_volume.ome.zarr", (60, 200, 200)) as writer:
        writer[:] = rng.random((60, 200, 200), np.float32) + 1
        writer.finalize(0.01)
    write_cells(tmp_path / "cells.ome.zarr", n_times=4)
    nibabel.save(nibabel.Nifti1Image(grid[:, :64, :64].T, np.eye(4)), tmp_path / "volume.nii.gz")
    (tmp_path / "planes").mkdir()
    for z, plane in enumerate(rng.random((40, 60, 60), np.float32)):
        tifffile.imwrite(tmp_path / f"planes/{z:03d}.tif", (1000 * plane).astype(np.uint16))
    return tmp_path


def write_cells(path: Path, n_times: int) -> None:
    """A store of several times and channels, as others write them."""
    names = ("t", "c", "z", "y", "x")
    root = zarr.open_group(path, mode="w", zarr_format=2)
    array = root.create_array("0", shape=(n_times, 2, 8, 32, 32), dtype="uint16")
    array[:] = 7
    scale = {"type": "scale", "scale": [1.0, 1.0, 2.0, 1.0, 1.0]}
    kinds = {"t": "time", "c": "channel"}
    axes = [{"name": one, "type": kinds.get(one, "space")} for one in names]
    for axis in axes[2:]:
        axis["unit"] = "micrometer"
    root.attrs["multiscales"] = [
        {
            "version": "0.4", "name": "cells", "axes": axes,
            "datasets": [{"path": "0", "coordinateTransformations": [scale]}],
        }
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_a_page_does_what_it_says(page, folder):
    printed = run_page(page, folder)
    if page in TUTORIALS:
        assert "63 tiles" in printed
        assert float(re.search(r"([\d.]+) mm2 of", printed)[1]) > 10
        assert (folder / "brain.tif").stat().st_size > 1e5
    if page.name == "README.md":
        assert (folder / "brain-result" / "report.html").exists()


def test_pages_are_found_and_those_that_must_be_run_are():
    names = {name_of(page) for page in RUN}
    must = {"README.md", "docs/simulation.md", "docs/omezarr.md", "docs/align.md"}
    assert must | {"docs/compare.md", "docs/usage.md"} <= names
    assert all(
        commands(page)[0] == ["mosaicflow", "example", "brain-section"] for page in TUTORIALS
    )


@pytest.mark.parametrize("page", TESTED_IN)
def test_what_another_test_runs_is_opened_by_that_test(page):
    assert commands(ROOT / page) or any(language for language, _ in blocks(ROOT / page))
    text = (ROOT / TESTED_IN[page]).read_text("utf-8")
    assert re.search(rf"[\"/]{re.escape(Path(page).name)}\"", text)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_can_be_run_says_in_which_language(page):
    """A block without a language would be run by nobody."""
    programs = ("mosaicflow", ".venv/", "python", "import ", "from ", *ELSEWHERE[:6])
    for language, text in blocks(page):
        if not language:
            lines = [line.strip().removeprefix("$ ") for line in text.splitlines()]
            assert not [line for line in lines if line.startswith(programs)], text


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_shown_is_one_that_exists(page, mosaicflow_help):
    for words in commands(page):
        if Path(words[0]).name == "mosaicflow":
            assert words[1] in mosaicflow_help, words


@pytest.fixture(scope="module")
def mosaicflow_help():
    done = subprocess.run(
        arguments(["mosaicflow", "--help"]), env=environment(), capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    return set(re.findall(r"[a-z][\w-]+", done.stdout))


@pytest.mark.parametrize(
    ("page", "text"),
    [
        pytest.param(page, text, id=f"{name_of(page)}-{number}")
        for page in PAGES
        for number, (language, text) in enumerate(blocks(page))
        if language == "yaml"
    ],
)
def test_the_parameters_of_a_page_are_parameters(page, text, tmp_path):
    path = tmp_path / "params.yml"
    path.write_text(text)
    assert Parameters.read(path, {}).given
