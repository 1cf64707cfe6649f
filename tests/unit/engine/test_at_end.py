"""The user's command at the end of a run: what it learns, and that it can spoil nothing."""

import pytest

from mosaicflow.engine import at_end
from mosaicflow.engine.parameters import Parameters

TELL = 'printf "%s|%s|%s" "$MOSAICFLOW_STATUS" "$MOSAICFLOW_OUTPUT" "$MOSAICFLOW_REPORT" > "{}"'


@pytest.mark.parametrize(("status", "page"), [("warning", "report.html"), ("failed", "")])
def test_the_command_learns_how_the_run_ended(tmp_path, status, page):
    root, file = tmp_path / "out", tmp_path / "told"
    at_end.tell_end(TELL.format(file), status, root)
    assert file.read_text() == f"{status}|{root}|{root / page if page else ''}"


def test_a_command_that_fails_is_a_warning(tmp_path, capsys):
    at_end.tell_end("exit 3", "ok", tmp_path)
    assert capsys.readouterr().err == ("warning: on_end: the command ended with exit code 3\n")


def test_a_command_that_never_ends_is_given_up(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(at_end, "_PATIENCE_S", 0.2)
    at_end.tell_end("sleep 30", "ok", tmp_path)
    assert "timed out" in capsys.readouterr().err


def test_without_a_command_nothing_happens(tmp_path, capsys):
    at_end.tell_end("", "ok", tmp_path)
    assert capsys.readouterr().err == ""


def test_the_command_is_kept_out_of_the_record_as_it_may_hold_an_address():
    found = Parameters({"on_end": "curl https://chat/secret"})
    assert found.engine("on_end").startswith("curl")
    assert "on_end" not in found.effective()
