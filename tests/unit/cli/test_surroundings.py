"""Streams that are closed, long temporary folders, few descriptors, names that are no text."""

import os
import shlex
import subprocess
import sys

import pytest

COMMAND = [sys.executable, "-m", "mosaicflow.cli.main"]


def shell(words, around="", **options):
    line = f"{around} exec {shlex.join(map(str, words))} {options.pop('streams', '')}"
    return subprocess.run(
        ["bash", "-c", line],
        capture_output=True,
        text=True,
        check=False,
        errors="replace",
        **options,
    )


def run_words(acquisition, root):
    given = ["-i", acquisition.raw, "-o", root, "-p", acquisition.params]
    return [*COMMAND, "run", *given, "--threads", "1"]


@pytest.mark.parametrize("streams", ["2>&-", ">&-", "<&- >&- 2>&-"])
def test_a_command_with_closed_streams_ends_as_with_open_ones(acquisition, streams):
    assert shell([*COMMAND, "inspect", acquisition.raw], streams=streams).returncode == 0
    assert shell([*COMMAND, "inspect", "/nowhere"], streams=streams).returncode == 1


@pytest.mark.slow
@pytest.mark.parametrize("streams", ["2>&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_a_run_with_closed_streams_ends_as_with_open_ones(acquisition, tmp_path, streams):
    assert shell(run_words(acquisition, tmp_path / "out"), streams=streams).returncode == 0
    assert (tmp_path / "out/3d_volume.ome.zarr/.zattrs").is_file()
    assert not (tmp_path / "out/RUNNING").exists()


def test_workers_start_where_the_temporary_folder_has_a_long_name(tmp_path):
    folder = tmp_path / ("x" * 90)
    folder.mkdir()
    program = (
        "import os\n"
        "from mosaicflow.engine.workers import Workers\n"
        "if __name__ == '__main__':\n"
        "    with Workers(1, 1) as workers:\n"
        "        assert workers._pool.submit(os.getpid).result() != os.getpid()\n"
    )
    (tmp_path / "program.py").write_text(program)
    before = {name for name in os.listdir("/tmp") if name.startswith("mosaicflow-")}
    found = shell([sys.executable, tmp_path / "program.py"], around=f"TMPDIR={folder}")
    assert (found.returncode, found.stderr) == (0, "")
    assert {name for name in os.listdir("/tmp") if name.startswith("mosaicflow-")} <= before


def test_too_few_descriptors_are_one_line(acquisition, tmp_path):
    found = shell(run_words(acquisition, tmp_path / "out"), around="ulimit -n 16;")
    lines = [line for line in found.stderr.splitlines() if not line.startswith("[")]
    assert found.returncode == 1
    assert "too many files are open: raise the limit (ulimit -n)" in lines[-1]
    assert "Traceback" not in found.stderr


def test_an_output_folder_whose_name_is_no_text_is_one_line(acquisition, tmp_path):
    words = [os.fsencode(str(word)) for word in run_words(acquisition, tmp_path / "out")]
    words[words.index(b"-o") + 1] += b"\xff"
    found = subprocess.run(words, capture_output=True, check=False)
    assert found.returncode == 2
    assert b"is no text in UTF-8" in found.stderr
    assert len(found.stderr.splitlines()) == 1


def test_a_results_folder_that_cannot_be_written_is_one_line(acquisition, tmp_path):
    root = tmp_path / "out"
    root.mkdir()
    (root / "tables").write_text("a file where a folder belongs")
    found = shell(run_words(acquisition, root))
    assert found.returncode == 1
    assert "Traceback" not in found.stderr
    assert len([line for line in found.stderr.splitlines() if line.startswith("error")]) == 1
