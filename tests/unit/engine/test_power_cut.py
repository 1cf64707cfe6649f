"""What is on the disk when the power fails: no finished record names data that is not there.

A run writes to a file system in a file, of which copies are taken as they are at that moment; each
copy is what a disk would hold after a power cut. Needs the right to mount.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from tests.unit.engine.test_damage import again, results

from mosaicflow.engine.finished import read_finished
from mosaicflow.engine.layout import RunFolder
from mosaicflow.io.checksums import checksum, find_checksums, list_files

SIZE_MB = 96
N_COPIES = 8


def mounted(image, folder):
    folder.mkdir(exist_ok=True)
    return subprocess.run(["mount", "-o", "loop", image, folder], check=False).returncode == 0


@contextlib.contextmanager
def disk(image, folder):
    if not mounted(image, folder):
        pytest.skip("needs the right to mount a file system in a file")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture
def image(tmp_path):
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        pytest.skip("needs the right to mount, and mkfs.ext4")
    path = tmp_path / "disk.img"
    with path.open("wb") as file:
        file.truncate(SIZE_MB << 20)
    subprocess.run(["mkfs.ext4", "-q", path], check=True)
    return path


def copied(image, copy, run):
    """Copy the disk while its writers stand still, and no write of the kernel came between."""
    os.killpg(run.pid, signal.SIGSTOP)
    try:
        while True:
            before = image.stat().st_mtime_ns
            shutil.copyfile(image, copy)
            if image.stat().st_mtime_ns == before:
                return
    finally:
        os.killpg(run.pid, signal.SIGCONT)


def finished(root):
    """Give the outputs of every record that makes them count.

    One of a task that was publishing may be there by name and still be empty.
    """
    for path in sorted((root / ".mosaicflow" / "finished").glob("[!.]*.json")):
        record = read_finished(path, RunFolder(root))
        if record.key is not None:
            yield path.stem, record.outputs


def assert_all_there(root):
    n_outputs = 0
    for task, outputs in finished(root):
        for name, was in outputs.items():
            assert was is None or (root / name).exists(), (task, name)
            if was is None or name.endswith(".crc32c.json"):
                continue
            sums = find_checksums(root / name)
            known = sums.of((root / name).name) if sums is not None else {}
            files = list(list_files(root / name)) if (root / name).is_dir() else [""]
            assert known.keys() <= set(files), (task, name)
            for file, sum_ in known.items():
                assert checksum(root / name / file if file else root / name) == sum_, (task, name)
            n_outputs += bool(known)
    return n_outputs


@pytest.mark.slow
def test_after_a_power_cut_no_record_names_what_is_not_there(
    acquisition, finished_run, tmp_path, image
):
    copies = []
    with disk(image, tmp_path / "mnt") as folder:
        root = folder / "out"
        words = ["run", "-i", acquisition.raw, "-o", root, "-p", acquisition.params, "--threads", 2]
        run = subprocess.Popen(
            [sys.executable, "-m", "mosaicflow.cli.main", *map(str, words)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        records, seen = root / ".mosaicflow" / "finished", 0
        while run.poll() is None and len(copies) < N_COPIES:
            found = len(list(records.glob("[!.]*.json"))) if records.is_dir() else 0
            if found >= seen + 3:
                seen = found
                copies.append(tmp_path / f"copy{found}.img")
                copied(image, copies[-1], run)
            time.sleep(0.02)
        assert run.wait() == 0
        copies.append(tmp_path / "end.img")
        shutil.copyfile(image, copies[-1])  # at once: nothing was synced by the end of the process
    assert len(copies) >= 4
    counts = []
    for number, copy in enumerate(copies):
        with disk(copy, tmp_path / "cut") as folder:
            counts.append(assert_all_there(folder / "out"))
            if number == len(copies) // 2:
                again(acquisition, folder / "out")
                assert results(folder / "out") == results(finished_run)
        copy.unlink()
    assert counts[-1] > counts[0]
