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
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from mosaicflow.engine.parameters import Parameters
    from mosaicflow.names import Kind

__all__ = ["Plan", "plan_run"]

Inputs = dict[str, str | tuple[str, ...]]
Choices = dict[str, list[str | tuple[str, ...]]]


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
    digits = parameters.setting("inspect_acquisition", "slice_digits")
    ids = [slice_label(number, digits) for number in slice_ids]
    planner = _Planner(raw, root, parameters, ids, threads)
    planner.volumes_at = volumes_at
    for slice_id in ids:
        planner.grid(slice_id)
    if parameters.engine("fix_illum_enabled"):
        planner.add("estimate_illumination")
    planner.positions()
    for slice_id in ids:
        planner.slice(slice_id)
    planner.across()
    for part, its_ids in (channels or {}).items():
        planner.carry(part, its_ids)
    return Plan(planner.tasks, planner.after, planner.maker)


class _Planner:
    """Adds tasks; what each reads and makes is found by the contract of its stage."""

    def __init__(
        self, raw: Path, root: Path, parameters: Parameters, ids: Sequence[str], threads: int
    ) -> None:
        self.raw = raw
        self.root = root
        self.volumes_at = ""
        self.parameters = parameters
        self.reads = {name: stage.reads for name, stage in STAGES.items()}
        self.ids = {"": ids}  # of each channel
        self.pairs = _pairs(ids, parameters.engine("graph_span"))
        self.threads = threads
        self.threads_each = max(1, threads // max(1, min(len(ids), threads)))
        self.tasks: dict[str, Task] = {}
        self.after: dict[str, tuple[str, ...]] = {}
        self.maker: dict[str, str] = {}  # base name of an output -> task
        # What is there before: tables of the inspection; and any task may leave a record.
        kinds = (*STAGES["inspect_acquisition"].contract.makes, names.FAILURE, names.PAIR_FAILURE)
        self.before = {name for kind in kinds for name in self.named(kind).values()}
        # Output -> the file without which its task has nothing to do, which may be itself.
        self.unless = {kind.of(): kind.of() for kind in names.KINDS if kind.sometimes}
        self.lit = bool(parameters.engine("fix_illum_enabled"))
        self.straight = self.lit and parameters.engine("fix_curvature_enabled") == "auto"
        measured = parameters.engine("positions_channel")
        self.raw_settings = {"raw": raw, **({"channel": str(measured)} if measured else {})}
        run = parameters.engine("positions_from")
        self.taken = None if run is None else TakenRun(run)

    def add(
        self,
        stage: str,
        *labels: str,
        part: str = "",
        given: Mapping[str, str | tuple[str, ...]] | None = None,
        extra: Mapping[str, Any] | None = None,
        output: str = "",
    ) -> None:
        """Add a task; it waits for the makers of its inputs.

        `labels` are those of its slice or pair, `part` another channel than the measured one;
        `given` are inputs that the contract does not tell, empty where it shall have none; `output`
        is a name that users choose.
        """
        contract = STAGES[stage].contract
        settings = {**self.parameters.for_stage(stage), **(extra or {})}
        choices = self.choices(stage, labels, part)
        choices |= {name: [value] for name, value in (given or {}).items()}
        choices = {n: found for n, found in choices.items() if n not in settings and any(found)}
        inputs = {name: found[0] for name, found in choices.items()}
        makes = [n for kind in contract.makes for n in self.named(kind, labels, part).values()]
        output = output or (makes[0] if "output" in contract.parameters else "")
        name = " ".join([stage, *labels, *([f"c{part}"] if part else [])])
        self.tasks[name] = Task(
            name,
            stage,
            self.root,
            inputs,
            settings,
            output,
            _record(labels, part),
            self.threads if contract.per == "run" else self.threads_each,
            frozenset(key for key, one in contract.parameters.items() if one.default == ()),
            thorough=self.parameters.setting("inspect_acquisition", "verify_content"),
            unless=self.otherwise(choices, output),
        )
        self.after[name] = tuple(
            dict.fromkeys(self.maker[base] for base in _listed(inputs) if base in self.maker)
        )
        self.maker |= dict.fromkeys([output, *makes] if output else makes, name)

    def choices(self, stage: str, labels: Sequence[str], part: str) -> Choices:
        """Find what a stage may be handed of what is there by now, the best first."""
        several = STAGES[stage].contract.several
        found: Choices = {}
        for name, kinds in self.reads[stage].items():
            # What another channel has not was measured on that one.
            there = self.there(kinds, labels, part) or self.there(kinds, labels, "")
            if name in several:
                best: dict[tuple[str, ...], str] = {}
                for row in there:
                    best |= {key: n for key, n in row.items() if key not in best}
                found[name] = [tuple(best.values())]
            else:
                found[name] = [n for row in there for n in row.values()]
        return found

    def there(
        self, kinds: Sequence[Kind], labels: Sequence[str], part: str
    ) -> list[dict[tuple[str, ...], str]]:
        """List what there is of each kind by now, by the slice or pair."""
        rows = [self.named(kind, labels, part) for kind in kinds]
        known = (self.maker, self.before)
        there = [{key: n for key, n in row.items() if any(n in k for k in known)} for row in rows]
        return [row for row in there if row]

    def named(
        self, kind: Kind, labels: Sequence[str] = (), part: str = ""
    ) -> dict[tuple[str, ...], str]:
        """Name the files of a kind that a task is about: its own, or all for one of the run."""
        if labels or not kind.n_labels:
            subjects: Sequence[tuple[str, ...]] = [tuple(labels)[: kind.n_labels]]
        else:
            subjects = [(z,) for z in self.ids[part]] if kind.n_labels == 1 else self.pairs
        return {one: names.channel_name(kind.of(*one), part) for one in subjects}

    def otherwise(self, choices: Choices, output: str) -> dict[str, tuple[str, str]]:
        """Say what is taken where the best may not be made; else the output may not be either."""
        found = {}
        for name, (best, *others) in choices.items():
            if isinstance(best, str) and best in self.unless:
                if others:
                    found[name] = (self.unless[best], str(others[0]))
                else:
                    self.unless[output] = self.unless[best]
        return found

    def grid(self, z: str, part: str = "") -> None:
        raw = {"raw": self.raw, "channel": part} if part else self.raw_settings
        self.add("create_mosaic_grid", z, part=part, extra=raw)
        if self.parameters.setting("resample_mosaic_grid", "resolution_um") > 0:
            self.add("resample_mosaic_grid", z, part=part)

    def positions(self) -> None:
        if self.taken is not None:
            self.add("take_positions", extra=self.taken.tables())
            return
        for z in self.ids[""]:
            self.add("estimate_tile_positions", z)
        self.add("pool_tile_positions", extra=self.corrections_of_tiles())

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
        if self.lit and not is_angle(part):
            self.add("fix_illumination", z, part=part)
        bowl = None if self.taken is None else self.taken.curvature()
        if bowl is not None:
            self.add("fix_focal_curvature", z, part=part, extra={"curvature": bowl})
        elif self.straight and self.taken is None:
            # The field is curved alike in all channels: the measured one tells.
            given = {"curvature": names.CURVATURE.of()}
            self.add("fix_focal_curvature", z, part=part, given=given)
        self.add("stitch_3d", z, part=part)
        for stage in self.after_stitching(part):
            other = self.taken if stage == "crop_interface" and not part else None
            self.add(stage, z, part=part, extra={} if other is None else other.face(z))

    def after_stitching(self, part: str) -> list[str]:
        """List the stages of a stitched slice."""
        if is_angle(part):
            return ["crop_interface"]
        is_axial = self.parameters.engine("compensate_psf_enabled")
        return [stage for stage in slice_chain() if is_axial or stage != "correct_axial"]

    def across(self) -> None:
        if self.taken is None:
            self.alignment()
        self.add("estimate_depth_profile")
        self.volume()
        if wanted := self.parameters.setting("export", "export_formats"):
            of_places = {} if "placements" in wanted else dict.fromkeys(STAGES["export"].reads, ())
            self.add("export", given={"volume": self.volume_name(), **of_places})

    def alignment(self) -> None:
        if self.parameters.engine("detect_rehoming"):
            self.add("detect_rehoming")
        for pair in self.pairs:
            found = [self.choices("register_pairwise", (z,), "") for z in pair]
            given = {"fixed": found[0]["fixed"][0], "moving": found[1]["moving"][0]}
            self.add("register_pairwise", *pair, given=given)
        self.add("solve_alignment")

    def carry(self, part: str, ids: Sequence[str]) -> None:
        """Bring another channel to where the measured one was found, and make its volume."""
        self.ids[part] = ids
        for z in ids:
            self.grid(z, part)
        if self.lit and not is_angle(part):
            self.add("estimate_illumination", part=part)
        for z in ids:
            self.slice(z, part)
        if not is_angle(part):
            self.add("estimate_depth_profile", part=part, extra={"channel": part})
        self.volume(part)
        if part.endswith("sin"):
            self.angle(part.removesuffix("sin"))

    def volume(self, part: str = "") -> None:
        output = self.volume_name(part)
        extra = {"channel": part} if part else {}
        # Cosine and sine are read again, to make the angle.
        if self.volumes_at and not is_angle(part):
            extra["volume_at"] = f"{self.volumes_at}/{output}"
        # They have no brightness, and so no profile of it.
        given = {"depth_profile": ""} if is_angle(part) else {}
        self.add("stack", part=part, given=given, extra=extra, output=output)

    def angle(self, number: str) -> None:
        both = {"cosine": f"{number}cos", "sine": f"{number}sin"}
        given = {name: self.volume_name(part) for name, part in both.items()}
        self.add("join_angle", part=number, given=given, output=self.volume_name(number))

    def volume_name(self, part: str = "") -> str:
        subject = self.parameters.engine("subject_name") or "3d_volume"
        return names.channel_name(f"{subject}.ome.zarr", part)


def _pairs(ids: Sequence[str], span: int) -> list[tuple[str, ...]]:
    return [
        (first, second)
        for first, second in combinations(ids, 2)
        if parse_slice_id(second) - parse_slice_id(first) <= span
    ]


def _record(labels: Sequence[str], part: str) -> str:
    """Name the record of what goes wrong; none of a task whose failure stops the run."""
    kinds = {1: names.FAILURE, 2: names.PAIR_FAILURE}
    return names.channel_name(kinds[len(labels)].of(*labels), part) if labels else ""


def _listed(inputs: Mapping[str, str | tuple[str, ...]]) -> Iterator[str]:
    for value in inputs.values():
        yield from (value,) if isinstance(value, str) else value
