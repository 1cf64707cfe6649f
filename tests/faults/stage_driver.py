"""Runs tasks of a finished run again and again, each time with another call failing.

Runs under the shim (shim.c); prints one JSON object per fault that had not the result it must have.
"""

import json
import os
import shutil
import sys
from pathlib import Path

from tests.faults.shim_plan import Shim

from mosaicflow.engine.ends import inspection_task, report_task
from mosaicflow.engine.finished import all_outputs
from mosaicflow.engine.layout import RunFolder
from mosaicflow.engine.parameters import Parameters
from mosaicflow.engine.plan import plan_run
from mosaicflow.engine.task import Task
from mosaicflow.engine.tasks import _arguments, _existing_inputs
from mosaicflow.errors import MosaicflowError
from mosaicflow.stages._table import run_stage


def content(folder):
    """Everything a stage decides: no times, and no list of checksums of files with times."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.name[0] != "."
        and path.name != "ro-crate-metadata.json"  # says when it was made
        and not path.name.endswith((".metrics.json", ".crc32c.json", "_failure.json"))
    } | {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob(".z*"))
        if path.is_file()
    }


def finished(folder):
    """Stores that look whole."""
    from mosaicflow.io.zarr import is_finished

    return [path for path in folder.glob("*.ome.zarr") if is_finished(path)]


def run(task, scratch):
    """Run the task's stage alone; say how it ended."""
    folder = RunFolder(task.root)
    inputs = _existing_inputs(task, folder) or {}
    record = scratch / task.record if task.record else None
    try:
        done = run_stage(task.stage, _arguments(task, inputs, scratch), record)
    except MosaicflowError as error:
        return f"line: {error}"
    except BaseException as error:  # that is what the test looks for
        return f"traceback: {error!r}"
    if done:
        return "done"
    found = json.loads(record.read_text())
    return f"bug: {found['reason']}" if "traceback" in found else f"record: {found['reason']}"


def attack(task, scratch, shim, kind, at, error):
    """Run a task with one fault, then again without; give what is wrong and the calls counted."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    shim.arm(kind, at, error)
    said = run(task, scratch)
    count, fired = shim.disarm()
    half = [path.name for path in finished(scratch)] if said != "done" else []
    return said, count, fired, half


def planned(root, raw, parameters):
    """All tasks of a run, its report, and one that only runs with angles have."""
    tasks = plan_run(raw, root, [0, 1], parameters, 1).tasks
    facts = RunFolder(root).private / "run_facts.json"
    parts = {name: f"3d_volume_c1{name[:3]}.ome.zarr" for name in ("cosine", "sine")}
    return tasks | {
        "inspect_acquisition": inspection_task(raw, root, parameters),
        "report": report_task(root, facts, all_outputs(root), parameters),
        "join_angle": Task("join_angle", "join_angle", root, parts, {}, "3d_volume_c1.ome.zarr"),
    }


def main(root, raw, params, names, options):
    shim = Shim(os.environ["FAULT_STATE"])
    tasks = planned(Path(root), Path(raw), Parameters.read(Path(params), {}))
    scratch = Path(os.environ["FAULT_ROOT"])
    tried = 0
    for name in names:
        task = tasks[name]
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        assert run(task, scratch) == "done", name
        clean = content(scratch)
        for kind in options["kinds"]:
            at = 0
            while True:
                at += 1
                if options["only"] and at not in options["only"]:
                    if at > max(options["only"]):
                        break
                    continue
                said, _, fired, _ = attack(task, scratch, shim, kind, at, options["error"])
                if not fired:
                    break
                tried += 1
                wrong = []
                if said.startswith(("traceback", "bug")):
                    wrong.append(said)
                if said == "done" and content(scratch) != clean:
                    wrong.append("done, and another result")
                for store in finished(scratch):
                    kept = {n: v for n, v in clean.items() if n.startswith(store.name)}
                    now = {n: v for n, v in content(scratch).items() if n.startswith(store.name)}
                    if now != kept:
                        wrong.append(f"half a store under its name: {store.name}")
                again = run(task, scratch)
                if again != "done" or content(scratch) != clean:
                    wrong.append(f"after resuming: {again}")
                if wrong:
                    found = {"task": name, "kind": kind, "at": at, "wrong": wrong, "said": said}
                    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.write(json.dumps({"tried": tried}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:4], json.loads(sys.argv[4]), json.loads(sys.argv[5]))
