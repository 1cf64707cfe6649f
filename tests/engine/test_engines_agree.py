"""Both engines publish the same from the same acquisition; the workflow resumes exactly."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.nextflow import environment

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
# What only one engine writes.
OWN = {"pipeline_info", ".mosaicflow"}
PER_SLICE = (
    "CREATE_MOSAIC_GRID",
    "RESAMPLE_MOSAIC_GRID",
    "ESTIMATE_TILE_POSITIONS",
    "STITCH_3D",
    "CORRECT_AXIAL",
    "CROP_INTERFACE",
    "NORMALIZE",
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("nextflow") is None,
        reason="nextflow is not on PATH: install it to test the workflow",
    ),
]


def _command(*words: object, folder: Path) -> None:
    done = subprocess.run(
        [str(word) for word in words],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


class Acquisition:
    """A toy acquisition, the folder it is processed in, and both engines."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        _command(
            "mosaicflow", "simulate", "--preset", "toy", "--output", folder / "toy", folder=folder
        )
        self.parameters = folder / "toy" / "params.yml"
        # A quarter of a slice may be missing, so that one lost tile does not fail it.
        with self.parameters.open("a") as file:
            file.write("max_missing_fraction: 0.3\n")
        self.raw = folder / "toy" / "raw"
        self.first_tasks: set[str] = set()

    def run_workflow(self, *options: str, into: str = "workflow") -> Path:
        output = self.folder / into
        _command(
            *("nextflow", "run", ROOT, "-profile", "test", "-params-file", self.parameters),
            *("--input", self.raw, "--output", output, *options),
            folder=self.folder,
        )
        return output

    def run_embedded(self, *options: str, into: str = "embedded") -> Path:
        output = self.folder / into
        _command(
            *("mosaicflow", "run", "-p", self.parameters, "--threads", "2"),
            *("--input", self.raw, "--output", output, *options),
            folder=self.folder,
        )
        return output

    def tasks(self, into: str = "workflow") -> dict[str, set[str]]:
        """Status -> names of the workflow's last run, without the subworkflow's name."""
        trace = self.folder / into / "pipeline_info" / "trace.txt"
        found: dict[str, set[str]] = {"CACHED": set(), "COMPLETED": set()}
        with trace.open() as file:
            for row in csv.DictReader(file, delimiter="\t"):
                name = row["name"].split(":")[-1].removesuffix(" (1)")
                found.setdefault(row["status"], set()).add(name)
        return found


@pytest.fixture(scope="module")
def acquisition(tmp_path_factory: pytest.TempPathFactory) -> Acquisition:
    made = Acquisition(tmp_path_factory.mktemp("engines"))
    made.run_workflow()
    made.first_tasks = made.tasks()["COMPLETED"]
    return made


@pytest.fixture
def lost_tile(acquisition: Acquisition) -> Iterator[None]:
    """One tile of slice 0 is not there, for as long as one test runs."""
    file = next((acquisition.raw / "z00").rglob("image_00000.bin"))
    aside = acquisition.folder / "aside.bin"
    file.rename(aside)
    yield
    aside.rename(file)


def _files(root: Path) -> dict[str, Path]:
    return {
        path.relative_to(root).as_posix(): path
        for path in root.rglob("*")
        if path.is_file() and path.relative_to(root).parts[0] not in OWN
    }


def _without_times(value: object) -> object:
    if isinstance(value, dict):
        return {name: _without_times(item) for name, item in value.items() if name != "timestamp"}
    return [_without_times(item) for item in value] if isinstance(value, list) else value


def _sums_but_of_metrics(path: Path) -> dict:
    """Read a list of checksums without those of metrics, which hold the time they were made."""
    found = json.loads(path.read_text())
    kept = {n: one for n, one in found["files"].items() if not n.endswith(".metrics.json")}
    return {**found, "files": kept}


def _results_named(crate: Path) -> list[str]:
    entities = json.loads(crate.read_text())["@graph"]
    return sorted(one["@id"] for run in entities for one in run.get("result", ()))


def _is_same(first: Path, second: Path) -> bool:
    if first.read_bytes() == second.read_bytes():
        return True
    if first.name == "report.html":  # its last part is about the engine
        pages = [path.read_text().partition('<section id="how">')[0] for path in (first, second)]
        return pages[0] == pages[1] != ""
    if first.name == "ro-crate-metadata.json":  # the rest is about the engine, and the time
        return _results_named(first) == _results_named(second) != []
    if first.name.endswith(".crc32c.json"):
        return _sums_but_of_metrics(first) == _sums_but_of_metrics(second)
    if not first.name.endswith(".metrics.json"):
        return False
    return _without_times(json.loads(first.read_text())) == _without_times(
        json.loads(second.read_text())
    )


def _assert_same_trees(first: Path, second: Path) -> None:
    left, right = _files(first), _files(second)
    assert sorted(left) == sorted(right)
    assert [name for name in left if not _is_same(left[name], right[name])] == []
    records = [
        json.loads((root / "pipeline_info" / "run.json").read_text()) for root in (first, second)
    ]
    engines = {record.pop("engine")["name"] for record in records}
    assert engines == {"nextflow", "mosaicflow run"}
    assert records[0] == records[1]
    listed = records[0]["outputs"]
    assert all((first / name).exists() for name in listed)
    unlisted = [
        name
        for name in left
        if not any(name == one or name.startswith(f"{one}/") for one in listed)
    ]
    assert sorted(unlisted) == ["README.txt", "report.html", "ro-crate-metadata.json"]


def test_both_engines_publish_the_same(acquisition):
    output = acquisition.run_embedded()
    assert (output / "3d_volume.ome.zarr" / ".zattrs").is_file()
    _assert_same_trees(acquisition.folder / "workflow", output)


def test_both_engines_export_the_same(acquisition, tmp_path):
    # A list: only a file can hold it.
    usual = acquisition.parameters
    acquisition.parameters = tmp_path / "params.yml"
    wanted = (
        "export_formats: [mrc, nifti, ome-tiff, mesh, placements, session]\nexport_dtype: uint16\n"
    )
    acquisition.parameters.write_text(usual.read_text() + wanted)
    try:
        first = acquisition.run_workflow("-resume", into="exported_workflow")
        second = acquisition.run_embedded(into="exported")
    finally:
        acquisition.parameters = usual
    assert len(list((first / "exports").iterdir())) == 13
    _assert_same_trees(first, second)


def test_positions_of_another_run_give_the_same_in_both(acquisition):
    options = ("--positions_from", str(acquisition.folder / "workflow"))
    first = acquisition.run_workflow("-resume", *options, into="taken_workflow")
    assert not list((first / "tables").glob("z*_tile_links.csv"))
    second = acquisition.run_embedded(*options, into="taken")
    _assert_same_trees(first, second)
    options = (*options, "--granularity", "slice")
    chained = acquisition.run_workflow("-resume", *options, into="taken_chained")
    _assert_same_trees(chained, second)


def test_resuming_a_finished_run_repeats_nothing(acquisition):
    acquisition.run_workflow("-resume")
    # The page is written anew: it tells how this very run was started.
    assert acquisition.tasks()["COMPLETED"] == {"REPORT"}
    assert acquisition.tasks()["CACHED"] == acquisition.first_tasks - {"REPORT"}


def test_a_lost_file_repeats_what_depends_on_it(acquisition, request):
    # Without a pooled flat field one slice depends on no other before the tiles of all are placed
    # by one model of the stage: a lost tile moves those of other slices by hundredths of a pixel.
    acquisition.run_workflow("-resume", "--fix_illum_enabled", "false")
    request.getfixturevalue("lost_tile")
    acquisition.run_workflow("-resume", "--fix_illum_enabled", "false")
    tasks = acquisition.tasks()
    before, after = PER_SLICE[:3], PER_SLICE[3:]
    assert tasks["CACHED"] == {f"{name} (z01)" for name in before} | {"DETECT_REHOMING"}
    repeated = {f"{name} (z00)" for name in PER_SLICE} | {f"{name} (z01)" for name in after}
    assert tasks["COMPLETED"] == repeated | {
        "INSPECT_ACQUISITION",
        "PREDICT_RESOURCES",
        "POOL_TILE_POSITIONS",
        "REGISTER_PAIRWISE (z00-z01)",
        "SOLVE_ALIGNMENT",
        "ESTIMATE_DEPTH_PROFILE",
        "STACK",
        "REPORT",
    }


def test_a_flat_field_that_comes_out_the_same_repeats_nothing(acquisition):
    acquisition.run_workflow("-resume")
    # Another time, the same content: its slice is made again, and so is the flat field.
    next((acquisition.raw / "z00").rglob("image_00000.bin")).touch()
    acquisition.run_workflow("-resume")
    tasks = acquisition.tasks()
    assert {"CREATE_MOSAIC_GRID (z00)", "ESTIMATE_ILLUMINATION"} <= tasks["COMPLETED"]
    assert {f"{name} (z01)" for name in (*PER_SLICE, "FIX_ILLUMINATION")} <= tasks["CACHED"]


def test_one_byte_repeats_its_slice_and_what_depends_on_it(acquisition):
    # Nextflow leaves what a run with other switches published: into a folder of its own.
    options = ("--fix_illum_enabled", "false", "--verify_content", "true")
    acquisition.run_workflow("-resume", *options, into="spoiled_workflow")
    _spoil_quietly(next((acquisition.raw / "z00").rglob("image_00000.bin")))
    spoiled = acquisition.run_workflow("-resume", *options, into="spoiled_workflow")
    tasks = acquisition.tasks("spoiled_workflow")
    assert "CREATE_MOSAIC_GRID (z00)" in tasks["COMPLETED"]
    assert {f"{name} (z01)" for name in PER_SLICE[:3]} <= tasks["CACHED"]
    # Nextflow tells tasks apart by the checksums in the tile lists, which are in no other run's.
    embedded = acquisition.run_embedded(*options, into="spoiled")
    left, right = _files(spoiled), _files(embedded)
    assert sorted(left) == sorted(right)
    arrays = [name for name in left if ".ome.zarr/" in name and not name.endswith(".zattrs")]
    assert len(arrays) > 50
    assert [name for name in arrays if not _is_same(left[name], right[name])] == []


def _spoil_quietly(path: Path) -> None:
    """Change one byte; size and times stay."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x40
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.usefixtures("lost_tile")
def test_a_pooled_flat_field_spares_the_other_grids(acquisition):
    acquisition.run_workflow("-resume")
    grids = {"CREATE_MOSAIC_GRID (z01)", "RESAMPLE_MOSAIC_GRID (z01)"}
    assert grids <= acquisition.tasks()["CACHED"]
    _assert_same_trees(acquisition.folder / "workflow", acquisition.run_embedded())


@pytest.mark.usefixtures("lost_tile")
def test_a_failed_slice_is_the_same_record_in_both(acquisition):
    options = ("--max_missing_fraction", "0.1", "--slice_digits", "3")
    output = acquisition.run_workflow("-resume", *options, into="failed_workflow")
    record = json.loads((output / "tables" / "z000_failure.json").read_text())
    assert record["slice_id"] == 0
    made = [path.name for path in (output / "slices" / "normalize").glob("*.ome.zarr")]
    assert made == ["slice_z001_normalize.ome.zarr"]
    _assert_same_trees(output, acquisition.run_embedded(*options, into="failed_embedded"))
