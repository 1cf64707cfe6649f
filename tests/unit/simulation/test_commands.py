import json
from dataclasses import fields

import pytest

from mosaicflow.cli.app import new_app
from mosaicflow.cli.evaluate import evaluate
from mosaicflow.cli.simulate import simulate
from mosaicflow.simulation.settings import GROUPS, SimulationSettings


@pytest.fixture
def app():
    app = new_app("mosaicflow")
    app.command(simulate)
    app.command(evaluate)
    return app


def call(app, *tokens):
    return app([str(token) for token in tokens], exit_on_error=False, result_action="return_value")


def test_options_reach_the_settings_and_the_rest_is_the_presets(app, tmp_path, capsys):
    out = tmp_path / "sim"
    call(
        app, "simulate", out, "--preset", "toy", "--grid", 1, 2, "--missing-tiles", "0/0/0",
        "1/0/1", "--no-truth-volume", "--seed", 5, "--threads", 1,
    )  # fmt: skip
    settings = json.loads((out / "truth/truth.json").read_text())["settings"]
    assert settings["lattice"]["grid"] == [1, 2]
    assert settings["lattice"]["tile_shape"] == [40, 40, 40]
    assert settings["faults"]["missing_tiles"] == ["0/0/0", "1/0/1"]
    assert settings["seed"] == 5
    assert "2 tiles, 0.6 MB" in capsys.readouterr().out


def test_every_setting_is_an_option_with_a_line_of_help(app, capsys):
    call(app, "simulate", "--help")
    text = capsys.readouterr().out
    settings = SimulationSettings()
    for group in GROUPS:
        for item in fields(getattr(settings, group)):
            assert f"--{item.name.replace('_', '-')}" in text


def test_evaluate_prints_what_there_is_and_names_what_is_not(app, tmp_path, capsys):
    out = tmp_path / "sim"
    call(app, "simulate", out, "--preset", "toy", "--no-truth-volume")
    (tmp_path / "run").mkdir()
    call(
        app, "evaluate", "--run", tmp_path / "run", "--truth", out / "truth",
        "--output", tmp_path / "errors.json",
    )  # fmt: skip
    text = capsys.readouterr().out
    assert "8 in = 0 placed + 0 listed + 0 in failed slices + 8 unaccounted for" in text
    assert "volume             not published by this run" in text
    assert json.loads((tmp_path / "errors.json").read_text())["counts"]["slices_in"] == 2
