"""Which tasks a run consists of, and which of them wait for which."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mosaicflow.engine.layout import RunFolder
from mosaicflow.engine.tasks import Task
from mosaicflow.io.tables import format_slice_id

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mosaicflow.engine.parameters import Parameters

__all__ = ["Plan", "inspection_task", "plan_run", "report_task"]

# What estimate_tile_positions writes of a slice.
_CURVATURE = "focal_curvature.json"  # of estimate_illumination, where there is any
_OF_TILES = ("tile_links.csv", "tile_stage.json", "tile_windows.csv")


@dataclass(frozen=True, slots=True)
class Plan:
    """All tasks of a run after the inspection.

    Parameters
    ----------
    tasks : dict of str to Task
        By name.
    after : dict of str to tuple of str
        Tasks that must have ended before one starts.
    maker : dict of str to str
        Base name of an output -> task that makes it.
    """

    tasks: dict[str, Task]
    after: dict[str, tuple[str, ...]]
    maker: dict[str, str]


def inspection_task(raw: Path, root: Path, parameters: Parameters) -> Task:
    """Make the task that looks at the raw folder; all others follow from what it finds.

    The ledger goes in again once people have edited it, so that what they wrote counts and
    survives.
    """
    settings = {**parameters.for_stage("inspect_acquisition"), "raw": raw}
    # This engine compares with what was read; in the tile list it would have all made again.
    thorough = settings.pop("verify_content", False)
    edited = RunFolder(root).edited_ledger()
    if edited is not None:
        settings.setdefault("slice_config", edited)
    name = "inspect_acquisition"
    return Task(name, name, root, {}, settings, thorough=thorough)


def report_task(root: Path, facts: Path, outputs: Sequence[str], parameters: Parameters) -> Task:
    """Make the last task: one page about everything that the others published.

    Parameters
    ----------
    root : Path
        Output folder.
    facts : Path
        What only the engine knows (see `mosaicflow.engine.about.write_facts`).
    outputs : sequence of str
        Everything published, relative to `root`.
    parameters : Parameters
        Settings of the run.

    Returns
    -------
    Task
    """
    settings = {**parameters.for_stage("report"), "facts": facts}
    names = [name.rpartition("/")[2] for name in outputs]
    told = tuple(name for name in names if _SMALL.fullmatch(name))
    return Task("report", "report", root, {"files": told}, settings)


# What the report reads: tables, metrics, records and pictures, no voxels and no checksums.
_SMALL = re.compile(r"(?!.*\.crc32c\.json).*\.(json|csv|png)")


def plan_run(
    raw: Path, root: Path, slice_ids: Sequence[int], parameters: Parameters, threads: int
) -> Plan:
    """Lay out the work on the slices that were found.

    Parameters
    ----------
    raw : Path
        Raw folder.
    root : Path
        Output folder.
    slice_ids : sequence of int
        Slices found, ascending.
    parameters : Parameters
        Settings of the run.
    threads : int
        Threads of the machine.

    Returns
    -------
    Plan
    """
    planner = _Planner(raw, root, parameters, threads, min(len(slice_ids), threads))
    digits = parameters.setting("inspect_acquisition", "slice_digits")
    ids = [format_slice_id(number, digits) for number in slice_ids]
    for slice_id in ids:
        planner.grid(slice_id)
    if parameters.engine("fix_illum_enabled"):
        planner.illumination(ids)
    planner.positions(ids)
    for slice_id in ids:
        planner.slice(slice_id)
    planner.across(ids)
    return Plan(planner.tasks, planner.after, planner.maker)


class _Planner:
    def __init__(
        self, raw: Path, root: Path, parameters: Parameters, threads: int, side_by_side: int
    ) -> None:
        self.raw = raw
        self.root = root
        self.parameters = parameters
        self.threads = threads
        self.threads_each = max(1, threads // max(1, side_by_side))
        self.tasks: dict[str, Task] = {}
        self.after: dict[str, tuple[str, ...]] = {}
        self.maker: dict[str, str] = {}  # base name of an output -> task
        self.lit = bool(parameters.engine("fix_illum_enabled"))
        # The curvature is measured with the flat field, and a file only where there is one.
        self.straight = self.lit and parameters.engine("fix_curvature_enabled") == "auto"

    def add(
        self,
        stage: str,
        of: str,
        inputs: dict[str, str | tuple[str, ...]],
        *,
        output: str = "",
        makes: Sequence[str] = (),
        record: str = "",
        extra: dict[str, Any] | None = None,
        optional: frozenset[str] = frozenset(),
        unless: dict[str, tuple[str, str]] | None = None,
    ) -> None:
        """Add a task; it waits for the makers of its inputs."""
        name = f"{stage} {of}".strip()
        settings = {**self.parameters.for_stage(stage), **(extra or {})}
        threads = self.threads_each if of else self.threads
        self.tasks[name] = Task(
            name,
            stage,
            self.root,
            inputs,
            settings,
            output,
            record,
            threads,
            optional,
            thorough=self.parameters.setting("inspect_acquisition", "verify_content"),
            unless=unless or {},
        )
        needed = [
            base
            for value in inputs.values()
            for base in ((value,) if isinstance(value, str) else value)
        ]
        self.after[name] = tuple(
            dict.fromkeys(self.maker[base] for base in needed if base in self.maker)
        )
        for base in makes or [output]:
            self.maker[base] = name

    def grid(self, z: str) -> None:
        native = f"mosaic_grid_3d_z{z}.ome.zarr"
        record = f"z{z}_failure.json"
        self.add(
            "create_mosaic_grid",
            f"z{z}",
            {"tiles": f"z{z}_tiles.json"},
            output=native,
            record=record,
            extra={"raw": self.raw},
        )
        if self.parameters.setting("resample_mosaic_grid", "resolution_um") > 0:
            self.add(
                "resample_mosaic_grid",
                f"z{z}",
                {"grid": native},
                output=self.working_grid(z),
                record=record,
            )

    def working_grid(self, z: str) -> str:
        if self.parameters.setting("resample_mosaic_grid", "resolution_um") > 0:
            return f"mosaic_grid_3d_z{z}_resampled.ome.zarr"
        return f"mosaic_grid_3d_z{z}.ome.zarr"

    def illumination(self, ids: Sequence[str]) -> None:
        # At native pitch: coarser planes do not show how the field is curved.
        grids = tuple(f"mosaic_grid_3d_z{z}.ome.zarr" for z in ids)
        light = ["illumination.npz", *([_CURVATURE] if self.straight else [])]
        self.add(
            "estimate_illumination", "", {"grids": grids}, output="illumination.npz", makes=light
        )

    def light(self) -> dict[str, str | tuple[str, ...]]:
        return {"illumination": "illumination.npz"} if self.lit else {}

    def positions(self, ids: Sequence[str]) -> None:
        for z in ids:
            self.add(
                "estimate_tile_positions",
                f"z{z}",
                {"grid": f"mosaic_grid_3d_z{z}.ome.zarr", **self.light()},
                makes=[f"z{z}_{name}" for name in _OF_TILES],
                record=f"z{z}_failure.json",
            )
        kinds = ("links", "stages", "windows", "tiles")
        names = dict(zip(kinds, (*_OF_TILES, "tiles.json"), strict=True))
        self.add(
            "pool_tile_positions",
            "",
            {key: tuple(f"z{z}_{name}" for z in ids) for key, name in names.items()},
            makes=[
                *("stage_model.json", "tile_distortion.csv"),
                *(f"z{z}_tile_positions.csv" for z in ids),
            ],
        )

    def slice(self, z: str) -> None:
        of, record = f"z{z}", f"z{z}_failure.json"
        grid = self.working_grid(z)
        if self.lit:
            fixed = f"mosaic_grid_3d_z{z}_illum_fix.ome.zarr"
            inputs = {"grid": grid, **self.light()}
            self.add("fix_illumination", of, inputs, output=fixed, record=record)
            grid = fixed
        unless = {}
        if self.straight:
            flat = f"mosaic_grid_3d_z{z}_focal_fix.ome.zarr"
            inputs = {"grid": grid, "curvature": _CURVATURE}
            self.add("fix_focal_curvature", of, inputs, output=flat, record=record)
            unless["grid"] = (_CURVATURE, grid)
            grid = flat
        positions = f"z{z}_tile_positions.csv"
        current = f"slice_z{z}_stitch_3d.ome.zarr"
        placed: dict[str, str | tuple[str, ...]] = {
            "grid": grid,
            "positions": positions,
            "distortion": "tile_distortion.csv",
        }
        self.add("stitch_3d", of, placed, output=current, record=record, unless=unless)
        chain = [("crop_interface", "crop_interface"), ("normalize", "normalize")]
        if self.parameters.engine("compensate_psf_enabled"):
            chain.insert(0, ("correct_axial", "axial_corr"))
        for stage, suffix in chain:
            output = f"slice_z{z}_{suffix}.ome.zarr"
            self.add(stage, of, {"slice_path": current}, output=output, record=record)
            current = output

    def across(self, ids: Sequence[str]) -> None:
        shifts = "shifts_xy.csv"
        fragments: tuple[str, ...] = ()
        if self.parameters.engine("detect_rehoming"):
            clean = "shifts_xy_clean.csv"
            fragments = ("rehoming_config.csv",)
            self.add("detect_rehoming", "", {"shifts": shifts}, makes=[clean, *fragments])
            shifts = clean
        slices = tuple(f"slice_z{z}_normalize.ome.zarr" for z in ids)
        transforms = []
        failures = [f"z{z}_failure.json" for z in ids]
        for first, second in self.pairs(ids):
            transform = f"z{first}_z{second}_transform.json"
            failures.append(f"z{first}_z{second}_failure.json")
            self.add(
                "register_pairwise",
                f"z{first} z{second}",
                {
                    "fixed": f"slice_z{first}_normalize.ome.zarr",
                    "moving": f"slice_z{second}_normalize.ome.zarr",
                    "shifts": shifts,
                },
                output=transform,
                record=failures[-1],
            )
            transforms.append(transform)
        self.add(
            "solve_alignment",
            "",
            {
                "shifts": shifts,
                "slice_config": "slice_config.csv",
                "slices": slices,
                "transforms": tuple(transforms),
                "failures": tuple(failures),
                "config_fragments": fragments,
            },
            makes=["alignment.json"],
            optional=frozenset({"transforms", "failures", "config_fragments"}),
        )
        volume = f"{self.parameters.engine('subject_name') or '3d_volume'}.ome.zarr"
        placed: dict[str, str | tuple[str, ...]] = {
            "slices": slices,
            "alignment": "alignment.json",
        }
        profile = "depth_profile.json"
        self.add("estimate_depth_profile", "", placed, output=profile)
        self.add("stack", "", {**placed, "depth_profile": profile}, output=volume)
        self.exports(ids, volume, slices)

    def exports(self, ids: Sequence[str], volume: str, slices: tuple[str, ...]) -> None:
        wanted = self.parameters.setting("export", "export_formats")
        if not wanted:
            return
        inputs: dict[str, str | tuple[str, ...]] = {"volume": volume}
        if "placements" in wanted:
            names = {"positions": "tile_positions.csv", "stages": "tile_stage.json"}
            inputs |= {key: tuple(f"z{z}_{name}" for z in ids) for key, name in names.items()}
            inputs["slices"] = slices
        stem = volume.removesuffix(".ome.zarr")
        self.add("export", "", inputs, makes=[f"{stem}_export.metrics.json"])

    def pairs(self, ids: Sequence[str]) -> list[tuple[str, str]]:
        span = self.parameters.engine("graph_span")
        return [(a, b) for a in ids for b in ids if 0 < int(b) - int(a) <= span]
