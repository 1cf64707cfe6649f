"""Every command and every piece of Python that tutorials and README show is run, in order."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from mosaicflow.engine.parameters import Parameters

ROOT = Path(__file__).parents[2]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
# Names that stand for the reader's own data, and what they are here.
OWN = {"RAW": "brain-section/raw", "OUT": "brain-result", "params.yml": "brain-section/params.yml"}
# What needs a network, a container, or is what this test itself is a part of.
ELSEWHERE = ("git", "make", "nextflow", "docker", "pip")


def blocks(page: Path) -> list[tuple[str, str]]:
    """Return language and text of the fenced blocks of a page."""
    return re.findall(r"^```(\w+)\n(.*?)^```", page.read_text("utf-8"), re.S | re.M)


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


def started(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    program, *rest = (OWN.get(word, word) for word in words)
    if Path(program).name == "mosaicflow":
        program, rest = sys.executable, ["-m", "mosaicflow", *rest]
    paths = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [program, *rest], cwd=folder, env={**os.environ, "PYTHONPATH": paths},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def run_page(page: Path, folder: Path) -> str:
    """Run all of a page; return what it printed."""
    printed = []
    for words in commands(page):
        done = started(words, folder)
        assert done.returncode == 0, f"{words}: {done.stderr[-2000:]}"
        printed.append(done.stdout)
    return "".join(printed)


@pytest.mark.slow
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_tutorial_does_what_it_says(page, tmp_path):
    printed = run_page(page, tmp_path)
    assert "63 tiles" in printed
    assert float(re.search(r"([\d.]+) mm2 of", printed)[1]) > 10
    assert (tmp_path / "brain.tif").stat().st_size > 1e5


@pytest.mark.slow
def test_the_commands_of_the_readme_work(tmp_path):
    page = ROOT / "README.md"
    assert len(commands(page)) >= 4
    run_page(page, tmp_path)
    assert (tmp_path / "brain-result" / "report.html").exists()


def test_there_is_a_tutorial_and_it_starts_from_what_is_shipped():
    assert TUTORIALS
    assert all(
        commands(page)[0] == ["mosaicflow", "example", "brain-section"] for page in TUTORIALS
    )


@pytest.mark.parametrize("page", [ROOT / "README.md", *TUTORIALS], ids=lambda page: page.stem)
def test_every_command_shown_is_one_that_exists(page, mosaicflow_help):
    for words in commands(page):
        if Path(words[0]).name == "mosaicflow":
            assert words[1] in mosaicflow_help, words


@pytest.fixture(scope="module")
def mosaicflow_help(tmp_path_factory):
    done = started(["mosaicflow", "--help"], tmp_path_factory.mktemp("help"))
    return set(re.findall(r"[a-z][\w-]+", done.stdout))


def test_the_parameters_of_the_readme_are_parameters(tmp_path):
    texts = [text for language, text in blocks(ROOT / "README.md") if language == "yaml"]
    assert texts
    for text in texts:
        path = tmp_path / "params.yml"
        path.write_text(text)
        assert Parameters.read(path, {}).given
