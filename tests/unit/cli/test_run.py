import importlib
import json
import re
import shlex
import subprocess
import sys

import pytest
from cyclopts import App

from mosaicflow import __version__
from mosaicflow.cli.main import _COMMANDS, _app, main


@pytest.fixture
def mosaicflow(invoke):
    return lambda *arguments, code=0: invoke(main, *arguments, code=code)


def test_the_version_is_told_at_once():
    found = subprocess.run(
        [sys.executable, "-m", "mosaicflow.cli.main", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == f"mosaicflow {__version__}"


def test_help_shows_how_to_start(mosaicflow):
    text = mosaicflow("run", "--help").stdout
    for option in ("--input", "--output", "--params-file", "--threads"):
        assert option in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "out"], "--input is missing: give --input FOLDER"),
        (["raw", "-o", "out", "--watch", "--still_for", "0"], "--still_for is 0, expected seconds"),
        (["-i", "raw"], "--output is missing: give --output FOLDER"),
        (["-i", "raw", "-o", ""], "-o is empty, expected the path of a folder"),
        (["-i", "r", "-o", "o", "--graph_sapn", "2"], "did you mean graph_span"),
        (["-i", "r", "-o", "o", "--thread", "2"], "did you mean threads"),
        (
            ["-i", "r", "-o", "o", "--graph-span", "many"],
            "--graph_span is 'many', expected a whole",
        ),
        (["-i", "r", "-o", "o", "--crop-depth-um=-5"], "--crop_depth_um is -5, expected a number"),
        (["-i", "r", "-o", "o", "--graph-span", "["], "--graph_span is '['"),
        (["-i", "r", "-o", "o", "--threads", "0"], "--threads is 0, expected 1 or more"),
        (["-i", "r", "-o", "o", "-p", "gone.yml"], "gone.yml: not found, expected a YAML file"),
    ],
)
def test_wrong_usage_is_exit_code_2_with_one_line(mosaicflow, arguments, message):
    found = mosaicflow("run", *arguments, code=2)
    assert found.stderr.startswith("error: ")
    assert found.stderr.count("\n") == 1
    assert message in found.stderr


def test_a_folder_that_is_not_there_is_exit_code_1(mosaicflow, tmp_path):
    found = mosaicflow("run", "-i", tmp_path / "gone", "-o", tmp_path / "out", code=1)
    assert "gone: not found, expected the folder of an acquisition" in found.stderr
    assert not (tmp_path / "out").exists()


def test_the_overview_says_of_each_command_what_its_own_help_begins_with():
    for commands in _COMMANDS.values():
        for name, line in commands.items():
            function = name.replace("-", "_")
            module = importlib.import_module(f"mosaicflow.cli.{function}")
            command = getattr(module, function)
            text = command.help if isinstance(command, App) else command.__doc__
            assert text.strip().splitlines()[0] == line


def commands():
    """Each command with its text, those below another one included."""
    for found in _COMMANDS.values():
        for name in found:
            function = name.replace("-", "_")
            command = getattr(importlib.import_module(f"mosaicflow.cli.{function}"), function)
            below = command.resolved_commands() if isinstance(command, App) else {}
            yield from (
                (f"{name} {word}", one.default_command.__doc__)
                for word, one in below.items()
                if word[0] != "-"
            )
            yield name, command.help if below else command.__doc__


@pytest.mark.parametrize(("name", "text"), list(commands()))
def test_each_command_shows_three_examples_that_it_takes(name, text):
    told = text.partition("Examples")[2].partition("Parameters\n")[0]
    examples = re.findall(r"``(mosaicflow .*?)``", re.sub(r"\s+", " ", told))
    assert len(examples) >= 3, text
    for example in examples:
        words = shlex.split(example)[1:]
        _app().parse_args(words, print_error=False, exit_on_error=False)  # raises what is wrong


def test_the_module_runs_like_the_command():
    found = subprocess.run(
        [sys.executable, "-m", "mosaicflow", "--version"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert found.stdout.strip() == f"mosaicflow {__version__}"


def test_completion_knows_the_commands(monkeypatch):
    from mosaicflow.cli.main import _app

    monkeypatch.setattr(sys, "argv", ["mosaicflow", "--help"])
    script = _app().generate_completion(shell="bash")
    assert "check-orientation" in script
    assert "compare" in script


def test_a_dry_run_says_what_would_run_and_writes_nothing(mosaicflow, acquisition, tmp_path):
    out = tmp_path / "out"
    printed = mosaicflow(
        "run", acquisition.raw, "-o", out, "-p", acquisition.params, "--dry-run"
    ).stdout
    assert "2 slices in " in printed
    plan, _, disk = printed.partition("disk, by the compression")
    counts = {line.split()[0]: line.split()[1] for line in plan.splitlines()[1:]}
    assert "in all" in disk
    assert counts["stitch_3d"] == "2"
    assert counts["register_pairwise"] == "1"
    assert not out.exists()


def test_a_quiet_run_prints_only_its_record(mosaicflow, acquisition, tmp_path):
    out = tmp_path / "out"
    options = ("-p", acquisition.params, "--json", "--threads", "2")
    ended = mosaicflow("run", acquisition.raw, "-o", out, "--quiet", *options)
    assert json.loads(ended.stdout)["slices"]["placed"] == 2
    assert "stitch_3d z00" not in ended.stderr
    assert "tasks" not in ended.stderr
    again = mosaicflow("run", acquisition.raw, "-o", out, *options)
    lines = [line for line in again.stderr.splitlines() if line.startswith("{")]
    events = [json.loads(line) for line in lines]
    assert {one["state"] for one in events if one["event"] == "task"} <= {"kept", "absent"}
    assert events[-1]["ended"] == events[-1]["tasks"]


def test_what_became_of_all_tasks_is_told_in_words(capsys):
    from mosaicflow.engine.progress import open_progress
    from mosaicflow.engine.task import Outcome

    with open_progress(["stitch_3d"] * 4) as progress:
        progress.ended(Outcome("stitch_3d z00", "stitch_3d", "absent"))
        for z in (1, 2):
            progress.ended(Outcome(f"stitch_3d z0{z}", "stitch_3d", "kept"))
    assert capsys.readouterr().err == "4 tasks: 2 kept, 1 with nothing to do\n"


def test_events_are_one_object_per_line(capsys):
    from mosaicflow.engine.progress import open_progress
    from mosaicflow.engine.task import Outcome

    with open_progress(["stitch_3d", "stack"], "events") as progress:
        progress.ended(Outcome("stitch_3d z00", "stitch_3d", "failed", 1.5, 'no "tile"\nat all'))
        progress.ended(Outcome("stack", "stack", "kept"))
    said = capsys.readouterr()
    events = [json.loads(line) for line in said.err.splitlines()]
    assert [one["event"] for one in events] == ["start", "task", "task", "end"]
    assert events[1] == {
        "event": "task", "ended": 1, "tasks": 2, "name": "stitch_3d z00", "stage": "stitch_3d",
        "state": "failed", "seconds": 1.5, "reason": 'no "tile"\nat all',
    }  # fmt: skip
    assert events[-1] == {"event": "end", "ended": 2, "tasks": 2}
    assert said.out == ""


def test_a_raw_folder_given_twice_is_refused(mosaicflow):
    ended = mosaicflow("run", "a", "-i", "b", "-o", "c", code=2)
    assert "the raw folder is given twice" in ended.stderr


def test_colours_can_be_switched_off_for_any_command(mosaicflow, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "")
    colour = r"\x1b\[(?:\d+;)*3[0-7]m"  # bold type is none
    assert re.search(colour, mosaicflow("verify", "--help").stdout)
    assert not re.search(colour, mosaicflow("verify", "--help", "--no-color").stdout)
