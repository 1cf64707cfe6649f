"""The other channels of the tiles: places, faces and transforms are those of the measured one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mosaicflow import names
from mosaicflow.io.tables import read_document

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mosaicflow.engine.parameters import Parameters

__all__ = ["CarriedTask", "Carrying", "channel_parts"]

_ANGLES = ("cos", "sin")

Inputs = dict[str, "str | tuple[str, ...]"]


def channel_parts(lists: Mapping[str, Path], parameters: Parameters) -> dict[str, list[str]]:
    """Name what is made beside the channel that is measured.

    Parameters
    ----------
    lists : mapping
        Label of a slice, such as z07 -> its zNN_tiles.json.
    parameters : Parameters
        Settings of the run.

    Returns
    -------
    dict
        Such as ``2``, or of angles ``2cos`` and ``2sin`` -> the slices that have this channel.
    """
    kinds = parameters.engine("channel_kind")
    found: dict[str, list[str]] = {}
    for z, path in lists.items():
        for number in range(read_document(path)["n_channels"]):
            kind = kinds[0] if len(kinds) == 1 else dict(enumerate(kinds)).get(number)
            if number != parameters.engine("positions_channel"):
                for part in _ANGLES if kind == "angle" else ("",):
                    found.setdefault(f"{number}{part}", []).append(z)
    return found


@dataclass(frozen=True, slots=True)
class CarriedTask:
    """A task as the planner adds it."""

    stage: str
    of: str
    inputs: Inputs
    output: str
    record: str = ""
    extra: dict[str, Any] = field(default_factory=dict)
    unless: dict[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Carrying:
    """What a run does to the measured channel, and so to the others.

    Parameters
    ----------
    raw : Path
        Raw folder.
    volume : str
        Name of the volume of the measured channel.
    resampled, lit, straight, has_psf : bool
        Whether tiles are resampled, evenly lit and straightened, and the beam's profile removed.
    """

    raw: Path
    volume: str
    resampled: bool
    lit: bool
    straight: bool
    has_psf: bool

    def tasks(self, ids: Sequence[str], part: str) -> list[CarriedTask]:
        """List the tasks that make a volume of another channel.

        Light is corrected as in the measured channel, for brightness; angles are taken as they
        are recorded.

        Parameters
        ----------
        ids : sequence of str
            Labels of the slices that have it.
        part : str
            From `channel_parts`.

        Returns
        -------
        list of CarriedTask
            None before what it needs.
        """
        is_light = not part.endswith(_ANGLES)
        made = [task for z in ids for task in self._grid(z, part)]
        if is_light and self.lit:
            grids = tuple(_named(names.GRID.of(z), part) for z in ids)
            light = _named(names.ILLUMINATION.of(), part)
            made.append(CarriedTask("estimate_illumination", f"c{part}", {"grids": grids}, light))
        made += [task for z in ids for task in self._slice(z, part)]
        last = names.NORMALIZED if is_light else names.CROPPED
        return made + self._volume(tuple(_named(last.of(z), part) for z in ids), part)

    def _grid(self, z: str, part: str) -> list[CarriedTask]:
        """Tasks up to the grid at working pitch."""
        native = _named(names.GRID.of(z), part)
        raw = {"raw": self.raw, "channel": part}
        tiles: Inputs = {"tiles": names.TILES.of(z)}
        made = [_of_slice("create_mosaic_grid", z, part, tiles, native, extra=raw)]
        if self.resampled:
            grid = _named(names.RESAMPLED.of(z), part)
            made.append(_of_slice("resample_mosaic_grid", z, part, {"grid": native}, grid))
        return made

    def _slice(self, z: str, part: str) -> list[CarriedTask]:
        """Tasks from the grid to the slice that is drawn."""
        is_light = not part.endswith(_ANGLES)
        made, unless = [], {}
        grid = _named((names.RESAMPLED if self.resampled else names.GRID).of(z), part)
        if is_light and self.lit:
            light = _named(names.ILLUMINATION.of(), part)
            inputs: Inputs = {"grid": grid, "illumination": light}
            grid = _named(names.EVENLY_LIT.of(z), part)
            made.append(_of_slice("fix_illumination", z, part, inputs, grid))
        if self.straight:
            flat, curvature = _named(names.FLAT.of(z), part), names.CURVATURE.of()
            inputs = {"grid": grid, "curvature": curvature}
            made.append(_of_slice("fix_focal_curvature", z, part, inputs, flat))
            unless, grid = {"grid": (curvature, grid)}, flat
        inputs = {
            "grid": grid,
            "positions": names.POSITIONS.of(z),
            "distortion": names.DISTORTION.of(),
        }
        current = _named(names.STITCHED.of(z), part)
        made.append(_of_slice("stitch_3d", z, part, inputs, current, unless=unless))
        for stage, kind in self._chain(is_light=is_light):
            inputs = {"slice_path": current}
            if stage == "crop_interface":
                inputs["face_of"] = names.CROPPED.of(z)
            current = _named(kind.of(z), part)
            made.append(_of_slice(stage, z, part, inputs, current))
        return made

    def _chain(self, *, is_light: bool) -> list[tuple[str, names.Kind]]:
        """Stages after stitching, and what they write."""
        axial = [("correct_axial", names.AXIAL)] if is_light and self.has_psf else []
        normal = [("normalize", names.NORMALIZED)] if is_light else []
        return [*axial, ("crop_interface", names.CROPPED), *normal]

    def _volume(self, slices: tuple[str, ...], part: str) -> list[CarriedTask]:
        made, channel, of = [], {"channel": part}, f"c{part}"
        inputs: Inputs = {"slices": slices, "alignment": names.ALIGNMENT.of()}
        if not part.endswith(_ANGLES):
            profile = _named(names.PROFILE.of(), part)
            made = [CarriedTask("estimate_depth_profile", of, inputs, profile, extra=channel)]
            inputs = {**inputs, "depth_profile": profile}
        volume = f"{self.volume}.ome.zarr"
        made.append(CarriedTask("stack", of, inputs, _named(volume, part), extra=channel))
        if part.endswith("sin"):
            number = part.removesuffix("sin")
            both: Inputs = {
                "cosine": _named(volume, f"{number}cos"),
                "sine": _named(volume, part),
            }
            joined = _named(volume, number)
            made.append(CarriedTask("join_angle", f"c{number}", both, joined))
        return made


def _named(name: str, part: str) -> str:
    return names.channel_name(name, part)


def _of_slice(
    stage: str,
    z: str,
    part: str,
    inputs: Inputs,
    output: str,
    **more: Any,  # noqa: ANN401  # other fields of the task
) -> CarriedTask:
    record = _named(names.FAILURE.of(z), part)
    return CarriedTask(stage, f"{z} c{part}", inputs, output, record, **more)
