from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mosaicflow.engine.parameters import Parameters
from mosaicflow.engine.plan import plan_run
from mosaicflow.names import FAILURE, PAIR_FAILURE, split_channel
from mosaicflow.stages._table import STAGES

RAW, ROOT = Path("/raw"), Path("/out")


def plan(ids=(0, 1, 2), threads=4, **given_settings):
    return plan_run(RAW, ROOT, ids, Parameters(given_settings, "test"), threads)


def stages(found):
    return {task.stage for task in found.tasks.values()}


def pairs(found):
    return {
        tuple(int(part[1:]) for part in name.split()[1:])
        for name, task in found.tasks.items()
        if task.stage == "register_pairwise"
    }


def test_the_volume_is_exported_only_where_that_is_asked_for():
    assert "export" not in plan().tasks
    found = plan(export_formats=["mrc", "mesh"], subject_name="mouse7")
    assert found.tasks["export"].inputs == {"volume": "mouse7.ome.zarr"}
    assert found.tasks["export"].settings["export_formats"] == ("mrc", "mesh")
    assert found.after["export"] == ("stack",)


def test_every_slice_goes_through_every_stage():
    found = plan()
    for z in ("z00", "z01", "z02"):
        assert {task.stage for name, task in found.tasks.items() if name.split()[1:] == [z]} == {
            "create_mosaic_grid", "resample_mosaic_grid", "fix_illumination",
            "fix_focal_curvature", "estimate_tile_positions", "stitch_3d", "correct_axial",
            "crop_interface", "normalize",
        }  # fmt: skip
    assert found.tasks["stack"].output == "3d_volume.ome.zarr"
    assert found.tasks["stack"].inputs["slices"] == tuple(
        f"slice_z{z}_normalize.ome.zarr" for z in ("00", "01", "02")
    )


@settings(max_examples=40)
@given(
    ids=st.sets(st.integers(0, 120), min_size=1, max_size=6).map(sorted),
    span=st.integers(0, 4),
    light=st.booleans(),
    psf=st.booleans(),
    rehoming=st.booleans(),
    resolution=st.sampled_from([-1, 10]),
    threads=st.integers(1, 16),
)
def test_every_input_is_made_by_a_task_that_ends_before(
    ids, span, light, psf, rehoming, resolution, threads
):
    found = plan(
        ids,
        threads,
        graph_span=span,
        fix_illum_enabled=light,
        compensate_psf_enabled=psf,
        detect_rehoming=rehoming,
        resolution_um=resolution,
    )
    from_inspection = {"shifts_xy.csv", "slice_config.csv"}
    made = {}
    for name, task in found.tasks.items():
        assert set(found.after[name]) <= set(made), "tasks are listed after what they wait for"
        for value in task.inputs.values():
            for base in (value,) if isinstance(value, str) else value:
                maker = next((m for m, outputs in made.items() if base in outputs), None)
                known = base in from_inspection or base.endswith(("_tiles.json", "_failure.json"))
                assert maker in found.after[name] if maker else known, base
        z = task.name.split()[-1]
        made[name] = {
            task.output,
            *(
                (f"{z}_tile_{name}" for name in ("links.csv", "stage.json", "windows.csv"))
                if task.stage == "estimate_tile_positions"
                else ()
            ),
            *(
                base.replace("_tile_links", "_tile_positions")
                for base in task.inputs.get("links", ())
                if task.stage == "pool_tile_positions"
            ),
            "focal_curvature.json" if task.stage == "estimate_illumination" else "",
            "tile_distortion.csv" if task.stage == "pool_tile_positions" else "",
            "shifts_xy_clean.csv" if task.stage == "detect_rehoming" else "",
            "rehoming_config.csv" if task.stage == "detect_rehoming" else "",
            "alignment.json" if task.stage == "solve_alignment" else "",
        }
        assert 1 <= task.threads <= threads
    assert pairs(found) == {(a, b) for a in ids for b in ids if 0 < b - a <= span}


def test_only_what_pools_all_slices_waits_for_more_than_two_of_them():
    ids = (0, 1, 2, 3, 4)
    found = plan(ids, export_formats=["placements"])
    waits = set()
    for name, task in found.tasks.items():
        makers = {before for before in found.after[name] if before.split()[1:2]}
        if len({before.split()[1] for before in makers}) > 2:
            waits.add(task.stage)
    assert waits == {
        "estimate_illumination", "pool_tile_positions", "solve_alignment",
        "estimate_depth_profile", "stack", "export",
    }  # fmt: skip
    # A pair starts as soon as both of its slices are there.
    assert set(found.after["register_pairwise z02 z03"]) == {
        "normalize z02", "normalize z03", "detect_rehoming",
    }  # fmt: skip


def test_pairs_count_by_id_so_that_gaps_stay_gaps():
    assert pairs(plan([3, 4, 7, 9, 100], graph_span=3)) == {(3, 4), (4, 7), (7, 9)}
    assert "transforms" in plan([1, 9]).tasks["solve_alignment"].optional


@pytest.mark.parametrize(
    ("digits", "first", "second"), [(2, "z99", "z100"), (3, "z099", "z100"), (4, "z0099", "z0100")]
)
def test_numbers_have_the_digits_asked_for_and_more_where_needed(digits, first, second):
    found = plan([99, 100], slice_digits=digits)
    assert found.tasks["solve_alignment"].inputs["slices"] == (
        f"slice_{first}_normalize.ome.zarr",
        f"slice_{second}_normalize.ome.zarr",
    )
    assert f"register_pairwise {first} {second}" in found.tasks


@pytest.mark.parametrize(
    ("toggle", "gone"),
    [
        ({"resolution_um": -1}, {"resample_mosaic_grid"}),
        (
            {"fix_illum_enabled": False},
            {"estimate_illumination", "fix_illumination", "fix_focal_curvature"},
        ),
        ({"fix_curvature_enabled": "never"}, {"fix_focal_curvature"}),
        ({"compensate_psf_enabled": False}, {"correct_axial"}),
        ({"detect_rehoming": False}, {"detect_rehoming"}),
        ({"graph_span": 0}, {"register_pairwise"}),
        ({"alignment_preset": "minimal"}, {"register_pairwise"}),
    ],
)
def test_a_toggle_takes_out_its_stages_and_nothing_else(toggle, gone):
    assert stages(plan()) - stages(plan(**toggle)) == gone


def test_without_resampling_the_native_grid_is_used_throughout():
    found = plan(resolution_um=-1)
    assert found.tasks["fix_illumination z00"].inputs["grid"] == "mosaic_grid_3d_z00.ome.zarr"
    assert found.tasks["estimate_illumination"].inputs["grids"][0] == "mosaic_grid_3d_z00.ome.zarr"
    bare = plan(resolution_um=-1, fix_illum_enabled=False)
    assert bare.tasks["stitch_3d z00"].inputs["grid"] == "mosaic_grid_3d_z00.ome.zarr"


def test_tiles_are_stitched_as_they_are_where_no_curvature_was_found():
    task = plan().tasks["stitch_3d z01"]
    lit, lifted = (f"mosaic_grid_3d_z01_{name}_fix.ome.zarr" for name in ("illum", "focal"))
    assert task.inputs["grid"] == lifted
    assert task.unless == {"grid": ("focal_curvature.json", lit)}
    assert plan(fix_curvature_enabled="never").tasks["stitch_3d z01"].inputs["grid"] == lit


def test_tile_positions_are_measured_on_the_native_grid():
    task = plan().tasks["estimate_tile_positions z01"]
    assert task.inputs["grid"] == "mosaic_grid_3d_z01.ome.zarr"
    assert task.inputs["illumination"] == "illumination.npz"


def test_only_slices_and_pairs_may_fail_alone():
    for task in plan().tasks.values():
        if task.stage in (
            "stack",
            "solve_alignment",
            "estimate_depth_profile",
            "estimate_illumination",
            "detect_rehoming",
            "pool_tile_positions",
        ):
            assert task.record == ""
        else:
            assert task.record == f"{'_'.join(task.name.split()[1:])}_failure.json"
    assert "z00_z01_failure.json" in plan().tasks["solve_alignment"].inputs["failures"]


def test_the_volume_is_named_after_the_subject():
    assert plan(subject_name="mouse_7").tasks["stack"].output == "mouse_7.ome.zarr"


def test_settings_reach_their_tasks():
    found = plan(crop_depth_um=300)
    assert found.tasks["crop_interface z00"].settings == {"crop_depth_um": 300.0}
    assert found.tasks["create_mosaic_grid z00"].settings == {"raw": RAW}


@settings(max_examples=25)
@given(
    ids=st.sets(st.integers(0, 99), min_size=1, max_size=4).map(sorted),
    light=st.booleans(),
    psf=st.booleans(),
    rehoming=st.booleans(),
    resolution=st.sampled_from([-1, 10]),
    exports=st.sampled_from([[], ["mrc"], ["placements"]]),
    channels=st.sampled_from([{}, {"1": 0}, {"1": 0, "2cos": 0, "2sin": 0}]),
)
def test_every_task_is_handed_what_its_contract_reads_and_stages_make(
    ids, light, psf, rehoming, resolution, exports, channels
):
    found = plan_run(
        RAW,
        ROOT,
        ids,
        Parameters(
            {
                "fix_illum_enabled": light,
                "compensate_psf_enabled": psf,
                "detect_rehoming": rehoming,
                "resolution_um": resolution,
                "export_formats": exports,
            },
            "test",
        ),
        4,
        channels={part: [f"z{one:02d}" for one in ids] for part in channels},
    )
    for name, task in found.tasks.items():
        contract = STAGES[task.stage].contract
        given_arguments = {*task.inputs, *task.settings, "threads"}
        needed = {n for n, one in contract.parameters.items() if one.default is one.empty}
        outputs = {"output", "output_dir"}
        assert needed - outputs <= given_arguments, name
        assert given_arguments - outputs <= {*contract.arguments, *contract.options}, name
        for base in _bases(task):
            maker = found.maker.get(base)
            stage = "inspect_acquisition" if maker is None else found.tasks[maker].stage
            makes = [*STAGES[stage].contract.makes, FAILURE, PAIR_FAILURE]
            own, _ = split_channel(base)
            is_named = any(kind.labels(own) is not None for kind in makes)
            assert is_named or (stage in ("stack", "join_angle") and "volume" in base), base


def _bases(task):
    for value in (*task.inputs.values(), *(other for _, other in task.unless.values())):
        yield from (value,) if isinstance(value, str) else value
