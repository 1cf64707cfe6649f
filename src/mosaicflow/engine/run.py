"""Running the whole pipeline on one machine."""

from __future__ import annotations

import platform
import shutil
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mosaicflow import names
from mosaicflow.acquisition.tiles import read_slice_tiles
from mosaicflow.engine.about import write_facts
from mosaicflow.engine.channels import channel_parts
from mosaicflow.engine.claim import check_folders, check_source, locked
from mosaicflow.engine.disk import in_one_line
from mosaicflow.engine.ends import inspection_task, report_task
from mosaicflow.engine.finished import (
    all_outputs,
    drop_outputs,
    forget_others,
    published_outputs,
)
from mosaicflow.engine.hold import hold
from mosaicflow.engine.layout import LEDGER, RunFolder, is_kept
from mosaicflow.engine.plan import plan_run
from mosaicflow.engine.recorder import Recorder
from mosaicflow.engine.remote import check_remote, send_results, split_output, told_outputs
from mosaicflow.engine.result import RunResult
from mosaicflow.engine.running import running
from mosaicflow.engine.schedule import run_plan
from mosaicflow.engine.tasks import execute
from mosaicflow.engine.workers import Workers
from mosaicflow.errors import QualityError
from mosaicflow.io.failures import read_failure
from mosaicflow.io.report import SOFTWARE
from mosaicflow.io.tables import read_document
from mosaicflow.names import parse_slice_id
from mosaicflow.report.closing import OUTPUT

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from mosaicflow.acquisition.tiles import SliceTiles
    from mosaicflow.engine.parameters import Parameters
    from mosaicflow.engine.plan import Plan
    from mosaicflow.engine.progress import Telling
    from mosaicflow.engine.task import Outcome, Task

__all__ = ["OpenRun", "open_run", "run_pipeline"]


def run_pipeline(
    raw: Path, output: Path, parameters: Parameters, threads: int, telling: Telling = "all"
) -> RunResult:
    """Turn a raw acquisition into a volume.

    Parameters
    ----------
    raw : Path
        Raw folder.
    output : Path
        Output folder; made when absent. Work of an earlier run in it is reused where inputs,
        parameters and version are the same. Of an address (s3://, gs://) that is a folder of its
        last name here; volumes are written to the address, all else is sent there at the end.
    parameters : Parameters
        Settings of the run.
    threads : int
        Threads to use in all.
    telling : {'all', 'failed', 'events'}
        What to say while it goes on.

    Returns
    -------
    RunResult

    Raises
    ------
    MosaicflowError
        When the input cannot be used at all, or a stage that needs all slices fails.
    """
    with open_run(raw, output, parameters, threads, telling) as run:
        return run.through(parameters)


@contextmanager
def open_run(
    raw: Path, output: Path, parameters: Parameters, threads: int, telling: Telling
) -> Iterator[OpenRun]:
    """Take the output folder for this process alone, and start the workers; see `run_pipeline`."""
    start = time.perf_counter()
    root, address = split_output(output)
    check_remote(address, parameters)
    check_folders(raw, root)
    check_source(parameters, root)
    folder = RunFolder(root)
    with (
        in_one_line(root),
        locked(folder),
        running(folder),
        Workers(threads, threads) as workers,
        Recorder(folder) as recorder,
    ):
        workers.warm_up()  # their libraries load while the inspection runs
        yield OpenRun(raw, folder, workers, recorder, threads, telling, start, address)


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run whose output folder is taken and whose workers wait.

    Parameters
    ----------
    raw : Path
        Raw folder.
    folder : RunFolder
        The output folder.
    workers : Workers
        Where tasks run.
    recorder : Recorder
        Who records what they publish.
    threads : int
        Threads to use in all.
    telling : {'all', 'failed', 'events'}
        What to say while it goes on.
    start_s : float
        When it began, by `time.perf_counter`.
    address : str
        Where results are sent; empty: they stay in the folder.
    """

    raw: Path
    folder: RunFolder
    workers: Workers
    recorder: Recorder
    threads: int
    telling: Telling
    start_s: float
    address: str = ""

    def through(
        self, parameters: Parameters, *, held: Collection[int] = (), provisional: str = ""
    ) -> RunResult:
        """Go through all stages once, and report.

        Parameters
        ----------
        parameters : Parameters
            Settings of the run.
        held : collection of int
            Slices whose results stay although other slices have come.
        provisional : str
            Why what comes out is not the result yet; nothing is removed then.

        Returns
        -------
        RunResult
        """
        root, folder = self.folder.root, self.folder
        inspection = inspection_task(self.raw.resolve(), root, parameters)
        first = execute(inspection)
        folder.remember_ledger()
        slices = {z: read_slice_tiles(path) for z, path in _tile_lists(inspection, folder).items()}
        ids = sorted(map(parse_slice_id, slices))
        _refuse_too_large(self.raw, folder, list(slices.values()), parameters, self.threads)
        plan = hold(self._plan(slices, parameters), held)
        gone = forget_others(root, [inspection, *plan.tasks.values()])
        side_by_side = max(1, min(len(ids), self.threads))
        expected_s = _expected_s(list(slices.values()), parameters)
        done = run_plan(plan, self.workers, self.recorder, side_by_side, self.telling, expected_s)
        outcomes = (first, *done)
        notes = (*_notes(inspection, outcomes, gone), *_lost_channels(folder))
        failures, unmatched = _failures(folder)
        _refuse_nothing(folder, ids, failures)
        keep = "all" if provisional else parameters.engine("keep")
        volume = folder.path(plan.tasks["stack"].output)
        seconds = time.perf_counter() - self.start_s
        facts = {**self._facts(seconds, outcomes), "provisional": provisional}
        outputs, page = self._report(volume.name, keep, parameters, facts)
        outcomes = (*outcomes, page)
        if self.address and not provisional:
            send_results(folder, self.address, all_outputs(root))
        record = read_document(folder.path(names.RECORD.of()))
        return RunResult(
            root=root,
            volume=volume,
            n_slices=len(ids),
            failures=failures,
            excluded=_excluded(folder, failures),
            n_pairs=sum(o.stage == "register_pairwise" and o.state != "absent" for o in outcomes),
            unmatched=unmatched,
            bugs=_bugs(folder),
            outputs=outputs,
            outcomes=outcomes,
            seconds=seconds,
            closing=tuple(
                line.replace(OUTPUT, self.address or str(root)) for line in record["closing"]
            ),
            status=record["verdict"]["status"],
            is_refused=record["verdict"]["failed"],
            notes=notes,
        )

    def _plan(self, slices: Mapping[str, SliceTiles], parameters: Parameters) -> Plan:
        ids = sorted(map(parse_slice_id, slices))
        counts = {z: one.n_channels for z, one in slices.items()}
        channels = channel_parts(counts, parameters)
        raw, root = self.raw.resolve(), self.folder.root
        return plan_run(
            *(raw, root, ids, parameters, self.threads), channels=channels, volumes_at=self.address
        )

    def _report(
        self, volume: str, keep: str, parameters: Parameters, facts: Mapping[str, Any]
    ) -> tuple[tuple[str, ...], Outcome]:
        """Write the page about all outputs, and remove those that are not kept."""
        root = self.folder.root
        made = all_outputs(root)
        outputs = told_outputs([n for n in made if is_kept(n.rpartition("/")[2], keep)])
        told = write_facts(self.folder, volume, outputs, parameters, facts)
        page = self.workers.run(report_task(root, told, made, parameters))
        self.recorder.take(page.published)
        self.recorder.settle()
        drop_outputs(root, keep)
        return outputs, page

    def _facts(self, seconds: float, outcomes: Sequence[Outcome]) -> dict[str, Any]:
        """Say what only this engine knows."""
        return {
            "threads": self.threads,
            "input": str(self.raw.resolve()),
            "output": self.address or str(self.folder.root.resolve()),
            "python": platform.python_version(),
            "seconds": round(seconds, 1),
            "stages": _by_stage(outcomes),
        }


def _notes(inspection: Task, outcomes: Sequence[Outcome], gone: Sequence[str]) -> tuple[str, ...]:
    """Gather what the reader is told of the output folder itself."""
    own = (note for outcome in outcomes for note in outcome.notes)
    return (*_ledger_note(inspection), *_upgrade_notes(outcomes), *gone, *own)


def _refuse_too_large(
    raw: Path,
    folder: RunFolder,
    slices: Sequence[SliceTiles],
    parameters: Parameters,
    threads: int,
) -> None:
    """Refuse what memory or disk cannot hold, counting what an earlier run left there."""
    from mosaicflow.engine.needs import refuse_where_too_small
    from mosaicflow.engine.space import (
        Shares,
        bytes_below,
        measured_shares,
        predict_space,
        refuse_too_little_space,
    )

    refuse_where_too_small(slices, parameters, threads)
    loose = sum(one.n_bytes for one in predict_space(slices, parameters, Shares()))
    if loose < shutil.disk_usage(folder.root).free:
        return  # it fits even uncompressed: no tile has to be read to know
    shares = measured_shares(raw, slices, parameters)
    if shares is not None:
        spaces = predict_space(slices, parameters, shares)
        refuse_too_little_space(folder.root, spaces, there=bytes_below(folder.root))


def _expected_s(slices: Sequence[SliceTiles], parameters: Parameters) -> dict[str, float]:
    """Predict the time of a task of each stage, for the time that is left."""
    from mosaicflow.engine.needs import predict_needs

    return {one.stage: one.seconds for one in predict_needs(slices, parameters, 1.0)}


def _tile_lists(inspection: Task, folder: RunFolder) -> dict[str, Path]:
    """Label of a slice -> its list of tiles."""
    published = (name.rpartition("/")[2] for name in published_outputs(inspection))
    lists = [name for name in published if names.TILES.labels(name)]
    return {names.labels_in(name)[0]: folder.path(name) for name in sorted(lists)}


def _upgrade_notes(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    """Say what was done again because another version of this program had made it."""
    makers = Counter(outcome.replaced for outcome in outcomes if outcome.replaced)
    return tuple(
        f"{count} tasks were done again: {maker} had made their results, this is {SOFTWARE}, and"
        " results of two versions do not mix"
        for maker, count in sorted(makers.items())
    )


def _ledger_note(inspection: Task) -> tuple[str, ...]:
    if not str(inspection.settings.get("slice_config")).endswith(f"edited_{LEDGER}"):
        return ()
    return (f"tables/{LEDGER}: was edited, and its decisions are used",)


def _failures(folder: RunFolder) -> tuple[dict[int, str], dict[str, str]]:
    """Read why slices, and pairs of slices, gave nothing."""
    # The measured channel has the slice of another one, or a record of its own.
    paths = [path for path in folder.failure_records() if not names.split_channel(path.name)[1]]
    records = [read_failure(path) for path in paths]
    of_slices = {one.slice_id: one.sentence for one in records if one.slice_id is not None}
    of_pairs = {"_".join(one.labels): one.sentence for one in records if one.slice_id is None}
    return of_slices, of_pairs


def _lost_channels(folder: RunFolder) -> tuple[str, ...]:
    """Say which slices another channel than the measured one has no image of, and why."""
    found = []
    for path in folder.channel_records():
        record, (_, part) = read_failure(path), names.split_channel(path.name)
        found.append(f"slice {record.slice_id} of channel {part} is lost: {record.sentence}")
    return tuple(found)


def _bugs(folder: RunFolder) -> tuple[str, ...]:
    """List the records that hold a traceback."""
    found = [path for path in folder.failure_records() if read_failure(path).is_bug]
    return tuple(path.relative_to(folder.root).as_posix() for path in found)


def _excluded(folder: RunFolder, failures: Mapping[int, str]) -> dict[int, str]:
    """Read which finished slices the alignment left out, and why."""
    from mosaicflow.alignment.solution import Alignment  # numpy; a start must be quick

    path = folder.path(names.ALIGNMENT.of())
    left_out = Alignment.from_json(read_document(path), path.name).left_out
    reasons = {one.slice_id: one.reason for one in left_out if one.status == "excluded"}
    return {slice_id: why for slice_id, why in reasons.items() if slice_id not in failures}


def _refuse_nothing(folder: RunFolder, ids: list[int], failures: dict[int, str]) -> None:
    """Refuse a run without a slice; that none is lost in silence the stage `report` proves."""
    made = {parse_slice_id(path) for path in folder.all_of(names.NORMALIZED)}
    if ids and not made.intersection(ids):
        raise QualityError(
            f"{folder.root}: none of {len(ids)} slices could be processed; "
            f"slice {ids[0]} failed in {failures[ids[0]]}",
            remedy="see tables/z*_failure.json for all of them",
        )


def _by_stage(outcomes: Sequence[Outcome]) -> dict[str, dict[str, float]]:
    """Count how the tasks of each stage ended, their seconds, and the memory of the largest."""
    stages: dict[str, dict[str, float]] = {}
    for outcome in outcomes:
        entry = stages.setdefault(outcome.stage, {"seconds": 0.0})
        entry[outcome.state] = entry.get(outcome.state, 0) + 1
        entry["seconds"] = round(entry["seconds"] + outcome.seconds, 2)
        if outcome.peak_bytes is not None:
            entry["peak_bytes"] = max(entry.get("peak_bytes", 0), outcome.peak_bytes)
    return stages
