"""Which tasks a run consists of, and which of them wait for which."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mosaicflow import names
from mosaicflow.engine.channels import Carrying
from mosaicflow.engine.layout import RunFolder
from mosaicflow.engine.tasks import Task
from mosaicflow.names import parse_slice_id, slice_label
from mosaicflow.stages._table import STAGES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mosaicflow.engine.parameters import Parameters

__all__ = ["Plan", "inspection_task", "plan_run", "report_task"]

# What estimate_tile_positions writes of a slice.
_OF_TILES = {"links": names.LINKS, "stages": names.STAGE, "windows": names.WINDOWS}


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
    bases = [name.rpartition("/")[2] for name in outputs]
    told = tuple(name for name in bases if _SMALL.fullmatch(name))
    return Task("report", "report", root, {"files": told}, settings)


# What the report reads: tables, metrics, records and pictures, no voxels and no checksums.
_SMALL = re.compile(r"(?!.*\.crc32c\.json).*\.(json|csv|png)")


def plan_run(
    raw: Path,
    root: Path,
    slice_ids: Sequence[int],
    parameters: Parameters,
    threads: int,
    *,
    channels: Mapping[str, Sequence[str]] | None = None,
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
    channels : mapping, optional
        What is made beside the channel that is measured (see `channel_parts`).

    Returns
    -------
    Plan
    """
    planner = _Planner(raw, root, parameters, threads, min(len(slice_ids), threads))
    digits = parameters.setting("inspect_acquisition", "slice_digits")
    ids = [slice_label(number, digits) for number in slice_ids]
    for slice_id in ids:
        planner.grid(slice_id)
    if parameters.engine("fix_illum_enabled"):
        planner.illumination(ids)
    planner.positions(ids)
    for slice_id in ids:
        planner.slice(slice_id)
    planner.across(ids)
    planner.carry(channels or {})
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
        measured = parameters.engine("positions_channel")
        self.raw_settings = {"raw": raw, **({"channel": str(measured)} if measured else {})}
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
        threads = self.threads if STAGES[stage].per == "run" else self.threads_each
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
        native, record = names.GRID.of(z), names.FAILURE.of(z)
        self.add(
            "create_mosaic_grid",
            z,
            {"tiles": names.TILES.of(z)},
            output=native,
            record=record,
            extra=self.raw_settings,
        )
        if self.is_coarser:
            self.add(
                "resample_mosaic_grid",
                z,
                {"grid": native},
                output=names.RESAMPLED.of(z),
                record=record,
            )

    @property
    def is_coarser(self) -> bool:
        return bool(self.parameters.setting("resample_mosaic_grid", "resolution_um") > 0)

    def illumination(self, ids: Sequence[str]) -> None:
        # At native pitch: coarser planes do not show how the field is curved.
        grids = tuple(names.GRID.of(z) for z in ids)
        light = names.ILLUMINATION.of()
        makes = [light, *([names.CURVATURE.of()] if self.straight else [])]
        self.add("estimate_illumination", "", {"grids": grids}, output=light, makes=makes)

    def light(self) -> dict[str, str | tuple[str, ...]]:
        return {"illumination": names.ILLUMINATION.of()} if self.lit else {}

    def positions(self, ids: Sequence[str]) -> None:
        for z in ids:
            self.add(
                "estimate_tile_positions",
                z,
                {"grid": names.GRID.of(z), **self.light()},
                makes=[kind.of(z) for kind in _OF_TILES.values()],
                record=names.FAILURE.of(z),
            )
        kinds = {**_OF_TILES, "tiles": names.TILES}
        self.add(
            "pool_tile_positions",
            "",
            {key: tuple(kind.of(z) for z in ids) for key, kind in kinds.items()},
            makes=[
                *(names.STAGE_MODEL.of(), names.DISTORTION.of()),
                *(names.POSITIONS.of(z) for z in ids),
            ],
        )

    def slice(self, z: str) -> None:
        record = names.FAILURE.of(z)
        grid = (names.RESAMPLED if self.is_coarser else names.GRID).of(z)
        if self.lit:
            lit = names.EVENLY_LIT.of(z)
            inputs = {"grid": grid, **self.light()}
            self.add("fix_illumination", z, inputs, output=lit, record=record)
            grid = lit
        unless = {}
        if self.straight:
            flat, curvature = names.FLAT.of(z), names.CURVATURE.of()
            inputs = {"grid": grid, "curvature": curvature}
            self.add("fix_focal_curvature", z, inputs, output=flat, record=record)
            unless["grid"] = (curvature, grid)
            grid = flat
        current = names.STITCHED.of(z)
        placed: dict[str, str | tuple[str, ...]] = {
            "grid": grid,
            "positions": names.POSITIONS.of(z),
            "distortion": names.DISTORTION.of(),
        }
        self.add("stitch_3d", z, placed, output=current, record=record, unless=unless)
        chain = [("crop_interface", names.CROPPED), ("normalize", names.NORMALIZED)]
        if self.parameters.engine("compensate_psf_enabled"):
            chain.insert(0, ("correct_axial", names.AXIAL))
        for stage, kind in chain:
            output = kind.of(z)
            self.add(stage, z, {"slice_path": current}, output=output, record=record)
            current = output

    def across(self, ids: Sequence[str]) -> None:
        shifts = names.SHIFTS.of()
        fragments: tuple[str, ...] = ()
        if self.parameters.engine("detect_rehoming"):
            clean = names.CLEAN_SHIFTS.of()
            fragments = (names.REHOMING_LEDGER.of(),)
            self.add("detect_rehoming", "", {"shifts": shifts}, makes=[clean, *fragments])
            shifts = clean
        pairs = self.pairs(ids)
        for pair in pairs:
            self.pair(pair, shifts)
        slices = tuple(names.NORMALIZED.of(z) for z in ids)
        alignment, profile = names.ALIGNMENT.of(), names.PROFILE.of()
        self.add(
            "solve_alignment",
            "",
            {
                "shifts": shifts,
                "slice_config": names.LEDGER.of(),
                "slices": slices,
                "transforms": tuple(names.TRANSFORM.of(*pair) for pair in pairs),
                "failures": (
                    *(names.FAILURE.of(z) for z in ids),
                    *(names.PAIR_FAILURE.of(*pair) for pair in pairs),
                ),
                "config_fragments": fragments,
            },
            makes=[alignment],
            optional=frozenset({"transforms", "failures", "config_fragments"}),
        )
        volume = f"{self.volume}.ome.zarr"
        placed: dict[str, str | tuple[str, ...]] = {"slices": slices, "alignment": alignment}
        self.add("estimate_depth_profile", "", placed, output=profile)
        self.add("stack", "", {**placed, "depth_profile": profile}, output=volume)
        self.exports(ids, volume, slices)

    def pair(self, pair: tuple[str, str], shifts: str) -> None:
        fixed, moving = map(names.NORMALIZED.of, pair)
        self.add(
            "register_pairwise",
            " ".join(pair),
            {"fixed": fixed, "moving": moving, "shifts": shifts},
            output=names.TRANSFORM.of(*pair),
            record=names.PAIR_FAILURE.of(*pair),
        )

    def exports(self, ids: Sequence[str], volume: str, slices: tuple[str, ...]) -> None:
        wanted = self.parameters.setting("export", "export_formats")
        if not wanted:
            return
        inputs: dict[str, str | tuple[str, ...]] = {"volume": volume}
        if "placements" in wanted:
            inputs["positions"] = tuple(names.POSITIONS.of(z) for z in ids)
            inputs["stages"] = tuple(names.STAGE.of(z) for z in ids)
            inputs["slices"] = slices
        stem = volume.removesuffix(".ome.zarr")
        self.add("export", "", inputs, makes=[f"{stem}_export.metrics.json"])

    def carry(self, channels: Mapping[str, Sequence[str]]) -> None:
        """Bring the other channels to where the measured one was found."""
        carrying = Carrying(
            raw=self.raw,
            volume=self.volume,
            resampled=self.is_coarser,
            lit=self.lit,
            straight=self.straight,
            has_psf=bool(self.parameters.engine("compensate_psf_enabled")),
        )
        for one in (task for part, ids in channels.items() for task in carrying.tasks(ids, part)):
            self.add(
                one.stage,
                one.of,
                one.inputs,
                output=one.output,
                record=one.record,
                extra=one.extra,
                unless=one.unless,
            )

    @property
    def volume(self) -> str:
        """Name of the volume."""
        return str(self.parameters.engine("subject_name") or "3d_volume")

    def pairs(self, ids: Sequence[str]) -> list[tuple[str, str]]:
        span = self.parameters.engine("graph_span")
        numbers = [parse_slice_id(z) for z in ids]
        return [
            (ids[i], ids[j])
            for i, first in enumerate(numbers)
            for j, second in enumerate(numbers)
            if 0 < second - first <= span
        ]
