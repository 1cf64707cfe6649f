"""Runs a toy acquisition again and again, each time with one fault or one kill, and resumes it.

A trial is forked from a process that has imported everything, so that it costs the run only. Its
workers are real, but forked too. Prints one JSON object per trial; with a log, trials that it
holds are not tried again, so that a long series can be stopped.

Usage: LD_PRELOAD=shim.so FAULT_STATE=FILE FAULT_ROOT=OUT run_driver.py RAW PARAMS SERIES [LOG]
SERIES is a JSON object: {"write": {"count": 110, "seed": 1}, "alloc": [846], "kill": [0, 1, 2]}.
"""

import contextlib
import gc
import importlib
import itertools
import json
import mmap
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path

from tests.faults.shim_plan import Shim
from tests.unit.engine.test_damage import results
from tests.unit.engine.test_resume import ALWAYS, RECORDS, finished_tasks

from mosaicflow.cli import main as command
from mosaicflow.engine import ends, finished, publish, run, tasks, workers
from mosaicflow.engine.layout import RunFolder
from mosaicflow.engine.parameters import Parameters
from mosaicflow.stages._table import run_stage
from mosaicflow.threads import limit_threads

ERRORS = {"write": (28, 5), "rename": (28, 5), "fsync": (5, 28), "alloc": (12,)}
_TURNS = 200  # of 10 ms: a worker that nobody waits for may stay as a zombie
WAIT_S = 1800  # a run takes 4 s of one free core; nothing but a hang takes this long
AFTER, BEFORE = "after this record", "before the next"


class ForkedWorkers(workers.Workers):
    """The same pool, without the server that would import everything anew for each trial."""

    seen = None  # where a worker notes what it has imported

    def __init__(self, _count, threads):
        limit_threads(threads)
        self._pool = ProcessPoolExecutor(1, multiprocessing.get_context("fork"), workers._start)
        self._starter, self._started = ThreadPoolExecutor(1), None

    def warm_up(self):
        self._pool.submit(os.getpid)  # no thread, so that what is counted is the same each time

    def __exit__(self, *given):
        if self.seen is not None and given[0] is None:
            self.seen.write_text("\n".join(self._pool.submit(_modules).result()))
        super().__exit__(*given)


def _modules():
    return [name for name in sys.modules if not name.startswith(("tests", "__m"))]


class Killer:
    """Kills a trial's processes at a number of records, counted over all of them."""

    def __init__(self):
        self._count = mmap.mmap(-1, 8)
        self._write = publish.write_finished

    def arm(self, n_records, when):
        def write(record, folder, key, *given, **more):
            last = key is not None and self._count[0] == n_records
            if last and when == BEFORE:
                os.killpg(0, signal.SIGKILL)
            state = self._write(record, folder, key, *given, **more)
            if key is not None:
                self._count[0] += 1
                if when == AFTER and self._count[0] == n_records:
                    os.killpg(0, signal.SIGKILL)
            return state

        self._count[0] = 0
        publish.write_finished = tasks.write_finished = write


class Toy:
    """The run that every trial repeats, and its result."""

    def __init__(self, raw, params, shim):
        self.root = Path(os.environ["FAULT_ROOT"])
        self._call = ["run", "-i", raw, "-o", str(self.root), "-p", params, "--threads", "1"]
        self._said = self.root.with_name("said.txt")
        self.shim = shim
        self.killer = Killer()
        self.totals = {}
        self.clear()
        ForkedWorkers.seen = self.root.with_name("modules.txt")
        assert self.run() == (0, []), self._said.read_text()
        for name in ForkedWorkers.seen.read_text().splitlines():
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
        ForkedWorkers.seen = None
        self.clean = results(self.root)
        self._warm(Path(params))
        gc.freeze()  # what trials share stays shared

    def _warm(self, params):
        """Make the page once: its templates and fonts are prepared for all trials."""
        facts, made = self.root / ".mosaicflow/run_facts.json", finished.all_outputs(self.root)
        task = ends.report_task(self.root, facts, made, Parameters.read(params, {}))
        inputs = tasks._existing_inputs(task, RunFolder(self.root))
        with tempfile.TemporaryDirectory() as scratch:
            run_stage(task.stage, tasks._arguments(task, inputs, Path(scratch)))

    def count(self, kind):
        """Count the calls of a run in which none fails."""
        if kind not in self.totals:
            self.clear()
            self.shim.arm(kind, 0, 0)
            assert self.run() == (0, [])
            self.totals[kind], _ = self.shim.disarm()
        return self.totals[kind]

    def clear(self):
        shutil.rmtree(self.root, ignore_errors=True)

    def run(self, *more, prepare=None):
        """Give the exit code of a run and what it says of errors."""
        code = self._forked([*self._call, *more], prepare)
        lines = self._said.read_text().splitlines()
        return code, [line for line in lines if line.startswith(("error", "Traceback"))]

    def verify(self):
        return self._forked(["verify", str(self.root)], None)

    def states(self):
        """How the tasks of the last run with ``--json`` ended."""
        found = [json.loads(x) for x in self._said.read_text().splitlines() if x[0] == "{"]
        return {one["name"]: one["state"] for one in found if one["event"] == "task"}

    def said(self):
        return self._said.read_text()

    def _forked(self, words, prepare):
        child = os.fork()
        if child == 0:
            self._become(words, prepare)
        signal.signal(signal.SIGALRM, lambda *_: os.killpg(child, signal.SIGKILL))
        signal.alarm(WAIT_S)
        _, status = os.waitpid(child, 0)
        signal.alarm(0)
        # Workers end by themselves, a moment later; until then they hold the output folder.
        with contextlib.suppress(ProcessLookupError):
            for _ in range(_TURNS):
                os.killpg(child, signal.SIGKILL)
                time.sleep(0.01)
        return os.waitstatus_to_exitcode(status)

    def _become(self, words, prepare):
        """Be the command, and never come back."""
        code = 70
        try:
            os.setsid()
            for number, path in ((1, os.devnull), (2, self._said)):
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
            sys.argv = ["mosaicflow", *words]
            run.Workers = ForkedWorkers
            if prepare is not None:
                prepare()
            command.main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:  # the traceback is what the trial is to find
            sys.excepthook(*sys.exc_info())
            code = 1
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.flush()
            os._exit(code)


def fault(toy, kind, at, error):
    """Make one call of a run fail; say what is wrong with how it ends, and with what follows."""
    toy.clear()
    toy.shim.arm(kind, at, error)
    code, lines = toy.run()
    _, fired = toy.shim.disarm()
    said, wrong = toy.said(), []
    if "Traceback" in said or (code, len(lines)) not in ((0, 0), (1, 1)):
        wrong.append(f"exit code {code}: {said[-3000:]}")
    if code == 0 and results(toy.root) != toy.clean:
        wrong.append("exit code 0, and another result")
    return {"fired": fired, "said": lines[:1], "wrong": wrong + resumed(toy)[0]}


def kill(toy, n_records, when):
    """Kill a run at a number of records; what they name is kept."""
    toy.clear()
    code, _ = toy.run(prepare=lambda: toy.killer.arm(n_records, when))
    finished = finished_tasks(toy.root)
    wrong = [] if code == -signal.SIGKILL else [f"exit code {code}, not killed"]
    if len(finished) != n_records:
        wrong.append(f"{len(finished)} records, not {n_records}")
    more, states = resumed(toy, "--json")
    kept = {name.replace(" ", "_") for name, state in states.items() if state == "kept"}
    if kept != finished.difference(ALWAYS):
        wrong.append(f"kept {sorted(kept)}, finished {sorted(finished)}")
    return {"finished": len(finished), "kept": len(kept), "wrong": wrong + more}


def resumed(toy, *more):
    """Run once more; give what is wrong with the result, and the states of tasks."""
    wrong, ended = [], toy.run(*more)
    states = toy.states() if more else {}
    if ended != (0, []):
        wrong.append(f"resumed: exit code {ended[0]}: {toy.said()[-3000:]}")
    if results(toy.root) != toy.clean:
        now = results(toy.root)
        names = [n for n in {*now, *toy.clean} if now.get(n) != toy.clean.get(n)]
        wrong.append(f"resumed: another result: {sorted(names)}")
    elif toy.verify() != 0:
        wrong.append(f"verify: {toy.said()[-3000:]}")
    return wrong, states


def trials(toy, series):
    """Name what a series asks for, kinds in turn, with a function that tries it."""
    kinds = [kills(toy, series.pop("kill", []))]
    kinds += [faults(toy, kind, asked) for kind, asked in series.items()]
    for round_ in itertools.zip_longest(*kinds):
        yield from filter(None, round_)


def kills(toy, numbers):
    for n_records in numbers:
        for when in (AFTER,) * (n_records > 0) + (BEFORE,) * (n_records < RECORDS):
            yield f"kill at {n_records}, {when}", partial(kill, toy, n_records, when)


def faults(toy, kind, asked):
    """Faults at the numbers asked for, or drawn among all calls of the kind that a run makes."""
    numbers, of = asked, ""
    if isinstance(asked, dict):
        total = toy.count(kind)
        drawn = random.Random(asked["seed"])
        numbers = drawn.sample(range(1, total + 1), min(asked["count"], total))
        of = f" of {total}"
    for at in numbers:
        error = ERRORS[kind][at % len(ERRORS[kind])]
        yield f"{kind} {at}{of}, errno {error}", partial(fault, toy, kind, at, error)


def _cpu_s():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main(raw, params, series, log=os.devnull):
    toy = Toy(raw, params, Shim(os.environ["FAULT_STATE"]))
    lines = Path(log).read_text().splitlines() if Path(log).is_file() else []
    known = {json.loads(line)["trial"] for line in lines}
    with open(log, "a") as file:
        for name, attempt in trials(toy, json.loads(series)):
            if name in known:
                continue
            before, found = _cpu_s(), attempt()
            line = json.dumps({"trial": name, "cpu_s": round(_cpu_s() - before, 1), **found})
            file.write(f"{line}\n")
            file.flush()
            sys.stdout.write(f"{line}\n")
    toy.clear()


if __name__ == "__main__":
    main(*sys.argv[1:])
