"""Each command given what it does not take: one line, exit code 1 or 2, in little time and room."""

import io
import os
import random
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mosaicflow.cli.main import main
from mosaicflow.io.zarr import save_omezarr

# The words after each command; {} is the bad thing.
COMMANDS = {
    "run": ("run", "{}", "-o", "OUT", "--quiet"),
    "run -p": ("run", ".", "-o", "OUT", "-p", "{}"),
    "inspect": ("inspect", "{}"),
    "inspect -p": ("inspect", ".", "-p", "{}"),
    "check-orientation": ("check-orientation", "{}"),
    "compare": ("compare", "{}", "--output", "PAGE"),
    "verify": ("verify", "{}"),
    "evaluate": ("evaluate", "--run", "{}", "--truth", "{}"),
    "view": ("view", "{}", "--viewer", "neuroglancer", "--no-browser"),
    "view3d": ("view3d", "{}", "--no-browser"),
    "screenshot": ("screenshot", "{}", "PICTURE"),
    "info": ("info", "{}", "--check"),
    "convert": ("convert", "{}", "COPY"),
    "export": ("export", "{}", "FOLDER", "--formats", "mrc"),
}
OUTPUTS = {"OUT": "out", "PAGE": "a.html", "PICTURE": "a.png", "COPY": "b.ome.zarr", "FOLDER": "e"}
KINDS = ("absent", "empty file", "noise", "empty folder", "pipe", "device", "dangling", "long",
         "link in a circle")  # fmt: skip


def bad(folder, kind):
    path = folder / "bad.zarr"
    match kind:
        case "empty file":
            path.touch()
        case "noise":
            path.write_bytes(random.Random(5).randbytes(5000))
        case "empty folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "long":
            return f"{folder}/{'x' * 300}.zarr"
        case "link in a circle":
            path.symlink_to(path)
        case "dangling":
            path.symlink_to(folder / "nothing")
    return str(path)


def memory(name):
    """Bytes that this process holds (VmRSS), or held at most since `forget_peak` (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def forget_peak():
    Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


MEASURES_MEMORY = os.access("/proc/self/clear_refs", os.W_OK)


def ended(words, monkeypatch, capsys, folder, *, fine=False):
    """Run a command in this process; at most one line of error, a proper exit code, in time."""
    (folder / "here").mkdir(exist_ok=True)
    monkeypatch.chdir(folder / "here")
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setattr(sys, "argv", ["mosaicflow", *words])
    start, held = time.process_time(), forget_peak() if MEASURES_MEMORY else 0
    with pytest.raises(SystemExit) as found:
        main()
    said = capsys.readouterr().err
    errors = [line for line in said.splitlines() if line.startswith("error")]
    assert "Traceback" not in said, (words, said)
    assert found.value.code in ((0, None, 1, 2) if fine else (1, 2)), (words, said)
    assert len(errors) <= 1, (words, said)
    assert time.process_time() - start < 5
    assert not MEASURES_MEMORY or memory("VmHWM") - held < 1e9


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_gets_what_it_does_not_take_says_one_line(
    command, kind, tmp_path, monkeypatch, capsys
):
    thing = bad(tmp_path, kind)
    words = [
        str(tmp_path / OUTPUTS[word]) if word in OUTPUTS else word.replace("{}", thing)
        for word in COMMANDS[command]
    ]
    is_fine = kind == "empty file" and command.endswith("-p")  # no parameters
    ended(words, monkeypatch, capsys, tmp_path, fine=is_fine)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "a.ome.zarr"
    voxels = np.random.default_rng(1).integers(0, 999, (4, 12, 14)).astype(np.uint16)
    save_omezarr(voxels, path, (0.005, 0.002, 0.002), chunks=(2, 6, 7))
    return path


@pytest.mark.parametrize("command", ["info", "verify", "screenshot", "convert", "export"])
def test_any_byte_of_a_store_may_be_another_for_any_command(
    command, store, tmp_path, monkeypatch, capsys
):
    files = sorted(path for path in store.rglob("*") if path.is_file())
    draw = random.Random(command)
    for number in range(12):
        folder = tmp_path / str(number)
        copy = folder / "a.ome.zarr"
        shutil.copytree(store, copy)
        victim = copy / draw.choice(files).relative_to(store)
        content = bytearray(victim.read_bytes())
        content[draw.randrange(len(content))] = draw.randrange(256)
        victim.write_bytes(content)
        words = [
            str(folder / OUTPUTS[word]) if word in OUTPUTS else word.replace("{}", str(copy))
            for word in COMMANDS[command]
        ]
        ended(words, monkeypatch, capsys, folder, fine=True)
