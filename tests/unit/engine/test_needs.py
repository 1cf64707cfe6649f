"""Memory and time of a run are known before it starts."""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mosaicflow.cli.inspect import found_in
from mosaicflow.cli.inspect import inspect as cli_inspect
from mosaicflow.cli.predict_resources import predict
from mosaicflow.engine import needs
from mosaicflow.engine.costs import COSTS
from mosaicflow.engine.needs import (
    DECISIVE,
    Need,
    chained,
    machine_memory,
    need_lines,
    predict_needs,
    refuse_too_little_memory,
)
from mosaicflow.engine.pace import measured_pace
from mosaicflow.engine.parameters import Parameters, default_values
from mosaicflow.engine.plan import plan_run
from mosaicflow.errors import InputError
from mosaicflow.stages._table import STAGES

ROOT = Path(__file__).parents[3]
MIB = 2**20
# Runs one task in a process of its own and says the peak of its memory [KiB].
CHILD = """
import pickle, sys
from mosaicflow.engine.tasks import execute
assert execute(pickle.load(sys.stdin.buffer)).state == "done"
print(next(l.split()[1] for l in open("/proc/self/status") if l.startswith("VmHWM")))
"""


@pytest.fixture(scope="module")
def slices(acquisition):
    settings = Parameters.read(acquisition.params, {}).for_stage("inspect_acquisition")
    return found_in(acquisition.raw, settings).slices


def by_stage(slices, pace=1.0, threads=1, **given):
    found = predict_needs(slices, Parameters(given), pace, threads=threads)
    return {one.stage: one for one in found}


@pytest.mark.parametrize("name", ["stitch_3d z00", "normalize z01", "stack"])
def test_a_task_takes_the_memory_that_was_predicted(acquisition, run_copy, slices, name):
    parameters = Parameters.read(acquisition.params, {})
    task = plan_run(acquisition.raw.resolve(), run_copy, [0, 1], parameters, 1).tasks[name]
    (run_copy / ".mosaicflow/finished" / f"{name.replace(' ', '_')}.json").unlink()
    done = subprocess.run(
        [sys.executable, "-c", CHILD], input=pickle.dumps(task), stdout=subprocess.PIPE, check=True
    )
    predicted = predict_needs(slices, parameters, 1.0)
    said = next(one.memory_bytes for one in predicted if one.stage == task.stage)
    assert 1 / 1.5 < said / (1024 * int(done.stdout)) < 1.5


def test_memory_follows_tiles_and_blocks_and_not_how_many_there_are(slices):
    many = [replace(slices[0], slice_id=number) for number in range(40)]
    few, more = by_stage(slices), by_stage(many)
    own = {name for name, one in STAGES.items() if one.per != "run"} & few.keys()
    assert all(few[name].memory_bytes == more[name].memory_bytes for name in own)
    large = [replace(one, tile_shape=(400, 400, 400)) for one in slices]
    assert by_stage(large)["create_mosaic_grid"].memory_bytes > 500 * MIB


def test_time_follows_the_pace_and_the_number_of_slices(slices):
    once, twice = by_stage(slices), by_stage(slices, pace=2.0)
    assert all(twice[name].seconds == pytest.approx(2 * once[name].seconds) for name in once)
    many = by_stage([replace(slices[0], slice_id=number) for number in range(40)])
    assert many["stitch_3d"].seconds == once["stitch_3d"].seconds
    assert many["stitch_3d"].all_seconds == pytest.approx(40 * once["stitch_3d"].seconds)


def test_settings_decide_which_stages_there_are(slices):
    assert "resample_mosaic_grid" not in by_stage(slices, resolution_um=-1.0)
    assert "fix_illumination" not in by_stage(slices, fix_illum_enabled=False)
    assert "correct_axial" not in by_stage(slices, compensate_psf_enabled=False)
    assert "register_pairwise" not in by_stage(slices, graph_span=0)
    assert by_stage([replace(one, failure="nothing") for one in slices]) == {}


def test_the_workflow_hands_over_the_settings_that_decide(slices):
    text = (ROOT / "functions/resources.nf").read_text()
    told = re.search(r"def decisive = \[(.*?)\]", text, re.S)[1]
    assert tuple(re.findall(r"'(\w+)'", told)) == DECISIVE
    assert set(DECISIVE) <= default_values().keys()
    used = set()

    class Watched(Parameters):
        def engine(self, name):
            used.add(name)
            return super().engine(name)

        def setting(self, stage, name):
            used.add(name)
            return super().setting(stage, name)

    predict_needs(slices, Watched({}), 1.0)
    assert used <= set(DECISIVE)


def test_what_a_scheduler_is_asked_for_has_every_stage_that_was_measured(finished_run, tmp_path):
    settings = tmp_path / "settings.json"
    settings.write_text('{"resolution_um": 10.0, "pyramid_resolutions": [10.0, 25.0]}')
    lists = sorted((finished_run / "tables").glob("z*_tiles.json"))
    predict(tuple(lists), settings=settings, output=tmp_path / "resources.json")
    stages = json.loads((tmp_path / "resources.json").read_text())["stages"]
    chains = {f"run_{part}stages" for part in ("grid_", "light_", "slice_", "")} | {"draw_volume"}
    assert set(stages) == chains | COSTS.keys()
    # Each is the name of a process of the workflow, by which its task finds what to ask for.
    texts = [path.read_text() for path in (ROOT / "workflows").glob("*.nf")]
    assert all(any(f"{name.upper()}(" in text for text in texts) for name in chains)
    assert all(one["memory_mb"] >= 512 and one["seconds"] >= 1 for one in stages.values())
    parts = ("stitch_3d", "correct_axial", "crop_interface", "normalize")
    chain = stages["run_slice_stages"]
    assert chain["memory_mb"] == max(stages[name]["memory_mb"] for name in parts)


def test_a_chain_takes_the_time_of_all_its_stages_and_the_memory_of_one(slices):
    found = predict_needs(slices, Parameters({}), 1.0)
    chains = {one.stage: one for one in chained(found)}
    chain = chains["run_slice_stages"]
    stages = ("stitch_3d", "correct_axial", "crop_interface", "normalize")
    parts = [one for one in found if one.stage in stages]
    assert len(parts) == len(stages)
    assert chain.seconds == pytest.approx(sum(one.seconds for one in parts))
    assert chain.memory_bytes == max(one.memory_bytes for one in parts)
    volume = [one for one in found if one.stage in ("estimate_depth_profile", "stack")]
    assert chains["draw_volume"].seconds == pytest.approx(sum(one.seconds for one in volume))


def need(stage, gib):
    return Need(stage, gib * 2**30, 60.0, 600.0, 0.0)


def test_what_cannot_fit_is_refused_with_both_numbers_and_what_to_do():
    each = [need("stitch_3d", 4), need("stack", 2)]
    refuse_too_little_memory(each, 2, 8 * 2**30)
    with pytest.raises(InputError, match=r"stitch_3d takes about 4\.3 GB, 8 run at the same") as no:
        refuse_too_little_memory(each, 8, 8 * 2**30)
    assert no.value.remedy.startswith("run with --threads 3")
    with pytest.raises(InputError, match=r"stack takes about 21\.5 GB, 1 run") as no:
        refuse_too_little_memory([need("stack", 20)], 8, 8 * 2**30)
    assert no.value.remedy.startswith("take a coarser resolution_um")


def test_a_run_and_its_inspection_are_refused_alike(acquisition, monkeypatch, tmp_path):
    from mosaicflow.engine.run import run_pipeline

    monkeypatch.setattr(needs, "machine_memory", lambda: 40 * MIB)
    parameters = Parameters.read(acquisition.params, {})
    with pytest.raises(InputError, match="not enough memory"):
        run_pipeline(acquisition.raw, tmp_path / "out", parameters, 2, "failed")
    assert not list((tmp_path / "out").glob("mosaic_grids/*.zarr"))
    with pytest.raises(InputError, match="not enough memory"):
        cli_inspect(acquisition.raw, params_file=acquisition.params)


def test_it_is_said_in_few_lines():
    lines = need_lines([need("stitch_3d", 4), need("stack", 2)], 4)
    assert lines[1].split() == ["stitch_3d", "4.3", "GB", "10", "min"]
    assert lines[-1].split()[:4] == ["in", "all", "20", "min,"]
    assert lines[-1].endswith("at best 5 min on 4 threads")


def test_the_pace_of_a_machine_is_a_number_near_one_and_memory_is_there():
    assert 0.1 < measured_pace() < 20
    assert machine_memory() > 2**28
