"""Which tasks a run consists of, and which of them wait for which."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from mosaicflow import names
from mosaicflow.engine.channels import is_angle
from mosaicflow.engine.taken import TakenRun
from mosaicflow.engine.task import Task
from mosaicflow.ledger.overrides import read_overrides
from mosaicflow.names import parse_slice_id, slice_label
from mosaicflow.stages._table import STAGES, slice_chain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mosaicflow.engine.parameters import Parameters

__all__ = ["Plan", "plan_run"]

Inputs = dict[str, str | tuple[str, ...]]
# What pool_tile_positions reads of a slice.
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


def plan_run(
    raw: Path,
    root: Path,
    slice_ids: Sequence[int],
    parameters: Parameters,
    threads: int,
    *,
    channels: Mapping[str, Sequence[str]] | None = None,
    volumes_at: str = "",
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
    volumes_at : str
        Address that volumes are written to; empty: the output folder.

    Returns
    -------
    Plan
    """
    planner = _Planner(raw, root, parameters, threads, min(len(slice_ids), threads))
    planner.volumes_at = volumes_at
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
    for part, its_ids in (channels or {}).items():
        planner.carry(part, its_ids)
    return Plan(planner.tasks, planner.after, planner.maker)


class _Planner:
    def __init__(
        self, raw: Path, root: Path, parameters: Parameters, threads: int, side_by_side: int
    ) -> None:
        self.raw = raw
        self.root = root
        self.volumes_at = ""
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
        run = parameters.engine("positions_from")
        self.taken = None if run is None else TakenRun(run)

    def add(
        self,
        stage: str,
        of: str,
        inputs: Inputs,
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

    def grid(self, z: str, part: str = "") -> None:
        raw = {"raw": self.raw, "channel": part} if part else self.raw_settings
        tiles = names.TILES.of(z)
        native = self.of_slice("create_mosaic_grid", z, part, {"tiles": tiles}, extra=raw)
        if self.is_coarser:
            self.of_slice("resample_mosaic_grid", z, part, {"grid": native})

    @property
    def is_coarser(self) -> bool:
        return bool(self.parameters.setting("resample_mosaic_grid", "resolution_um") > 0)

    def illumination(self, ids: Sequence[str], part: str = "") -> None:
        # At native pitch: coarser planes do not show how the field is curved.
        grids = tuple(_named(names.GRID, z, part) for z in ids)
        light = names.channel_name(names.ILLUMINATION.of(), part)
        # The field is curved alike in all channels: the measured one tells.
        measures = self.straight and not part and self.taken is None
        makes = [light, *([names.CURVATURE.of()] if measures else [])]
        of = f"c{part}" if part else ""
        self.add("estimate_illumination", of, {"grids": grids}, output=light, makes=makes)

    def light(self, part: str = "") -> Inputs:
        is_corrected = self.lit and not is_angle(part)
        light = names.channel_name(names.ILLUMINATION.of(), part)
        return {"illumination": light} if is_corrected else {}

    def positions(self, ids: Sequence[str]) -> None:
        placed = [
            *(names.STAGE_MODEL.of(), names.DISTORTION.of()),
            *(names.POSITIONS.of(z) for z in ids),
        ]
        if self.taken is not None:
            lists = tuple(names.TILES.of(z) for z in ids)
            makes = [*placed[1:], *(names.STAGE.of(z) for z in ids), names.ALIGNMENT.of()]
            tables = self.taken.tables()
            self.add("take_positions", "", {"tiles": lists}, makes=makes, extra=tables)
            return
        for z in ids:
            self.add(
                "estimate_tile_positions",
                z,
                {"grid": names.GRID.of(z), **self.light()},
                makes=[k.of(z) for k in STAGES["estimate_tile_positions"].contract.makes],
                record=names.FAILURE.of(z),
            )
        kinds = {**_OF_TILES, "tiles": names.TILES}
        self.add(
            "pool_tile_positions",
            "",
            {key: tuple(kind.of(z) for z in ids) for key, kind in kinds.items()},
            makes=placed,
            extra=self.corrections_of_tiles(),
        )

    def corrections_of_tiles(self) -> dict[str, Any]:
        """Keep a table of corrections from the tiles where all of it is about slices."""
        table = self.parameters.setting("pool_tile_positions", "overrides")
        if table is None or any(one.kind == "tile" for one in read_overrides(table)):
            return {}
        return {"overrides": None}

    def slice(self, z: str, part: str = "") -> None:
        """Plan what makes of a grid the slice that is drawn.

        Another channel than the measured one takes its places and face; angles are taken as they
        are recorded.
        """
        grid = _named(names.RESAMPLED if self.is_coarser else names.GRID, z, part)
        if light := self.light(part):
            grid = self.of_slice("fix_illumination", z, part, {"grid": grid, **light})
        grid, unless = self.flattened(grid, z, part)
        placed: Inputs = {
            "grid": grid,
            "positions": names.POSITIONS.of(z),
            "distortion": names.DISTORTION.of(),
        }
        current = self.of_slice("stitch_3d", z, part, placed, unless=unless)
        for stage in self.after_stitching(part):
            inputs: Inputs = {"slice_path": current}
            extra: dict[str, Any] = {}
            if part and stage == "crop_interface":
                inputs["face_of"] = names.CROPPED.of(z)
            elif self.taken is not None and stage == "crop_interface":
                extra = self.taken.face(z)
            current = self.of_slice(stage, z, part, inputs, extra=extra)

    def flattened(self, grid: str, z: str, part: str) -> tuple[str, dict[str, tuple[str, str]]]:
        """Plan to take off the field's curvature; give the grid after it, and that without one."""
        if self.taken is not None:
            bowl = self.taken.curvature()
            if bowl is None:
                return grid, {}
            extra = {"curvature": bowl}
            return self.of_slice("fix_focal_curvature", z, part, {"grid": grid}, extra=extra), {}
        if not self.straight:
            return grid, {}
        curvature = names.CURVATURE.of()
        inputs: Inputs = {"grid": grid, "curvature": curvature}
        flat = self.of_slice("fix_focal_curvature", z, part, inputs)
        return flat, {"grid": (curvature, grid)}

    def after_stitching(self, part: str) -> list[str]:
        """List the stages of a stitched slice."""
        if is_angle(part):
            return ["crop_interface"]
        is_axial = self.parameters.engine("compensate_psf_enabled")
        return [stage for stage in slice_chain() if is_axial or stage != "correct_axial"]

    def of_slice(
        self,
        stage: str,
        z: str,
        part: str,
        inputs: Inputs,
        **more: Any,  # noqa: ANN401  # as for `add`
    ) -> str:
        """Add the task of a stage that makes one store of a slice, and name it."""
        of = f"{z} c{part}" if part else z
        output = _named(_output_of(stage), z, part)
        self.add(stage, of, inputs, output=output, record=_named(names.FAILURE, z, part), **more)
        return output

    def across(self, ids: Sequence[str]) -> None:
        if self.taken is None:
            self.alignment(ids)
        slices = tuple(names.NORMALIZED.of(z) for z in ids)
        profile, volume = names.PROFILE.of(), f"{self.volume}.ome.zarr"
        placed: Inputs = {"slices": slices, "alignment": names.ALIGNMENT.of()}
        self.add("estimate_depth_profile", "", placed, output=profile)
        drawn: Inputs = {**placed, "depth_profile": profile}
        self.add("stack", "", drawn, output=volume, extra=self.volume_place(volume))
        self.exports(ids, volume, slices)

    def alignment(self, ids: Sequence[str]) -> None:
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
            makes=[names.ALIGNMENT.of()],
            optional=frozenset({"transforms", "failures", "config_fragments"}),
        )

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
        inputs: Inputs = {"volume": volume}
        if "placements" in wanted:
            inputs["positions"] = tuple(names.POSITIONS.of(z) for z in ids)
            inputs["stages"] = tuple(names.STAGE.of(z) for z in ids)
            inputs["slices"] = slices
        stem = volume.removesuffix(".ome.zarr")
        self.add("export", "", inputs, makes=[f"{stem}_export.metrics.json"])

    def carry(self, part: str, ids: Sequence[str]) -> None:
        """Bring another channel to where the measured one was found, and make its volume."""
        for z in ids:
            self.grid(z, part)
        if self.light(part):
            self.illumination(ids, part)
        for z in ids:
            self.slice(z, part)
        last = _output_of(self.after_stitching(part)[-1])
        placed: Inputs = {
            "slices": tuple(_named(last, z, part) for z in ids),
            "alignment": names.ALIGNMENT.of(),
        }
        of, channel = f"c{part}", {"channel": part}
        if not is_angle(part):
            profile = names.channel_name(names.PROFILE.of(), part)
            self.add("estimate_depth_profile", of, placed, output=profile, extra=channel)
            placed = {**placed, "depth_profile": profile}
        volume = f"{self.volume}.ome.zarr"
        drawn = names.channel_name(volume, part)
        # Cosine and sine are read again, to make the angle.
        place = {} if is_angle(part) else self.volume_place(drawn)
        self.add("stack", of, placed, output=drawn, extra={**channel, **place})
        if part.endswith("sin"):
            number = part.removesuffix("sin")
            cosine = names.channel_name(volume, f"{number}cos")
            joined = names.channel_name(volume, number)
            both: Inputs = {"cosine": cosine, "sine": drawn}
            self.add("join_angle", f"c{number}", both, output=joined)

    def volume_place(self, volume: str) -> dict[str, str]:
        """Say where a volume is written, where that is not here."""
        return {"volume_at": f"{self.volumes_at}/{volume}"} if self.volumes_at else {}

    @property
    def volume(self) -> str:
        """Name of the volume."""
        return str(self.parameters.engine("subject_name") or "3d_volume")

    def pairs(self, ids: Sequence[str]) -> list[tuple[str, str]]:
        span = self.parameters.engine("graph_span")
        return [
            (first, second)
            for first, second in combinations(ids, 2)
            if parse_slice_id(second) - parse_slice_id(first) <= span
        ]


def _output_of(stage: str) -> names.Kind:
    return STAGES[stage].contract.makes[0]


def _named(kind: names.Kind, z: str, part: str) -> str:
    """Name what a slice has in a channel; without a part in the measured one."""
    return names.channel_name(kind.of(z), part)
