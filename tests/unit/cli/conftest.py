"""Running commands inside the test's own process: a new one costs a second each."""

import sys
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Ended:
    stdout: str
    stderr: str


@pytest.fixture
def invoke(monkeypatch, capsys):
    """Call a command's entry point with arguments; check its exit code."""

    def call(entry, *arguments, code=0):
        monkeypatch.setattr(sys, "argv", ["command", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            entry()
        found = Ended(*capsys.readouterr())
        assert (ended.value.code or 0) == code, found.stderr
        return found

    return call
