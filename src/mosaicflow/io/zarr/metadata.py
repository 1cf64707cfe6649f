"""NGFF multiscales metadata: parsed tolerantly from any writer, built strictly for ours."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from mosaicflow.errors import FormatError, StoreError
from mosaicflow.io.tables import SCHEMA
from mosaicflow.io.zarr.errors import ArgumentError, AssumedUnitWarning, OmeZarrWarning
from mosaicflow.io.zarr.transforms import (
    AxisTransform,
    UnsupportedTransformError,
    axis_transform,
    output_system,
)
from mosaicflow.io.zarr.units import clean_um, micrometers_per_unit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "Axis",
    "Dataset",
    "LevelScale",
    "Multiscale",
    "NgffVersion",
    "PyramidNotes",
    "add_contrast",
    "build_attributes",
    "multiscales_of",
    "own_block",
    "parse_multiscale",
    "zarr_format_of",
]

NgffVersion = Literal["0.4", "0.5"]


@dataclass(frozen=True, slots=True)
class Axis:
    """One array dimension.

    Parameters
    ----------
    name : str
        Lower-case name.
    type : str
        `space`, `time`, `channel`, or empty when the file does not say.
    unit : str
        Unit name as written; empty when the file has none.
    """

    name: str
    type: str = ""
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Dataset:
    """One pyramid level in the array's own axis order.

    `scale` and `translation` are in micrometres on spatial axes, the other two as stored.
    """

    path: str
    scale: tuple[float, ...] | None
    translation: tuple[float, ...] | None
    stored_scale: tuple[float, ...] | None = None
    stored_translation: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Multiscale:
    """One multiscale image."""

    name: str
    version: str
    axes: tuple[Axis, ...]
    datasets: tuple[Dataset, ...]
    type: str
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LevelScale:
    """Pitch of a level to be written and, optionally, where its first voxel's centre is (um)."""

    path: str
    scale_um: tuple[float, ...]
    translation_um: tuple[float, ...] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the entry of the level in `datasets`."""
        transforms: list[dict[str, Any]] = [{"type": "scale", "scale": list(self.scale_um)}]
        if self.translation_um is not None:
            shift = {"type": "translation", "translation": list(self.translation_um)}
            transforms.append(shift)
        return {"path": self.path, "coordinateTransformations": transforms}


@dataclass(frozen=True, slots=True)
class PyramidNotes:
    """How the levels came about: the content of `type` and `metadata`.

    `kept` holds the notes of the file that was copied; they win.
    """

    type: str
    method: str
    mode: str
    downscale_axes: str
    resolutions_um: tuple[float, ...] = ()
    kept: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the `metadata` object."""
        from mosaicflow import __version__

        notes: dict[str, Any] = {
            "method": self.method,
            "version": __version__,
            "downscale_axes": self.downscale_axes,
            "mode": self.mode,
            **self.kept,
        }
        if self.resolutions_um:
            notes["resolutions_um"] = list(self.resolutions_um)
        return notes


def zarr_format_of(ngff_version: str) -> Literal[2, 3]:
    """Return the Zarr version that carries an NGFF version."""
    if ngff_version not in get_args(NgffVersion):
        raise ArgumentError(f"ngff_version {ngff_version!r} is not known (expected 0.4 or 0.5)")
    return 2 if ngff_version == "0.4" else 3


def build_attributes(
    name: str,
    levels: Sequence[LevelScale],
    notes: PyramidNotes,
    ngff_version: str,
) -> dict[str, Any]:
    """Return the root attributes of an image.

    The models of ome-zarr-models judge them in `validate_omezarr`, and a test compares with what
    these models write themselves. They are not used here because importing them takes 0.4 s of
    processor time, in each of the hundreds of processes of a run that finish a store.

    Parameters
    ----------
    name : str
        Name of the image.
    levels : sequence of LevelScale
        Finest first, axes (z, y, x) or (y, x).
    notes : PyramidNotes
        Method of the pyramid.
    ngff_version : {"0.4", "0.5"}
        0.5 puts everything under `ome`.
    """
    names = "zyx"[-len(levels[0].scale_um) :]
    image = {
        "axes": [{"name": n, "type": "space", "unit": "micrometer"} for n in names],
        "datasets": [level.as_dict() for level in levels],
        "metadata": notes.as_dict(),
        "name": name,
        "type": notes.type,
    }
    if ngff_version == "0.4":
        return {"multiscales": [{**image, "version": "0.4"}]}
    return {"ome": {"version": "0.5", "multiscales": [image]}}


def own_block(attrs: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the `mosaicflow` block of a store: its form, who wrote it, and what a stage adds.

    Raises
    ------
    StoreError
        When something in it is no JSON.
    """
    from mosaicflow import __version__

    software = {"name": "mosaicflow", "version": __version__}
    block = {"schema": SCHEMA, "software": software, **attrs}
    try:
        json.dumps(block, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise StoreError(f"{where}: attributes are not plain JSON ({error})") from error
    return block


def add_contrast(
    attributes: dict[str, Any], window: tuple[float, float], limits: tuple[float, float]
) -> None:
    """Tell viewers which values to show as black and white (the ``omero`` block), in place.

    Parameters
    ----------
    attributes : dict
        From `build_attributes`.
    window : tuple of float
        Values shown as black and white.
    limits : tuple of float
        Smallest and largest value.
    """
    start, end = window
    low, high = limits
    channel = {
        "active": True,
        "coefficient": 1,
        "color": "FFFFFF",
        "family": "linear",
        "inverted": False,
        "label": "intensity",
        "window": {"start": start, "end": end, "min": low, "max": high},
    }
    holder = attributes.get("ome", attributes)
    holder["omero"] = {"channels": [channel], "rdefs": {"model": "greyscale"}}


def multiscales_of(attributes: Mapping[str, Any]) -> list[Any]:
    """Return the `multiscales` list of root attributes of either flavour; empty if unfinished."""
    ome = attributes.get("ome")
    holder = ome if isinstance(ome, dict) and "multiscales" in ome else attributes
    found = holder.get("multiscales")
    return found if isinstance(found, list) else []


# A level is opened each: 32 are written at most, and 64 halvings leave one voxel of any image.
_MOST_LEVELS = 64


def parse_multiscale(attributes: Mapping[str, Any], where: str) -> Multiscale:
    """Return the first multiscale image of root attributes.

    Parameters
    ----------
    attributes : mapping
        Attributes of the root group; they must hold a `multiscales` list.
    where : str
        Location, for messages.
    """
    entries = multiscales_of(attributes)
    if not entries or not isinstance(entries[0], dict):
        raise FormatError(f"{where}: 'multiscales' holds no image")
    if len(entries) > 1:
        warnings.warn(
            f"{where}: holds {len(entries)} multiscales; the first is used",
            OmeZarrWarning,
            stacklevel=2,
        )
    entry = entries[0]
    try:
        if len(entry["datasets"]) > _MOST_LEVELS:
            found = f"{len(entry['datasets'])} levels, expected {_MOST_LEVELS} at most"
            raise FormatError(f"{where}: multiscales announces {found}")
        axes, common = _axes_of(entry)
        datasets = tuple(_raw_dataset(dataset, common, len(axes)) for dataset in entry["datasets"])
        axes = _in_array_order(axes, datasets)
        factors = _unit_factors(axes, where)
        levels = tuple(_dataset(raw, factors, where) for raw in datasets)
    except UnsupportedTransformError as error:
        raise FormatError(
            f"{where}: {error}", remedy="apply it in the program that wrote it, and store the image"
        ) from error
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise FormatError(f"{where}: multiscales metadata is malformed ({error!r})") from error
    if not levels:
        raise FormatError(f"{where}: multiscales lists no datasets")
    ome = attributes.get("ome")
    version = (ome.get("version") if isinstance(ome, dict) else "") or entry.get("version")
    notes = entry.get("metadata")
    return Multiscale(
        name=str(entry.get("name") or ""),
        version=str(version or ""),
        axes=axes,
        datasets=levels,
        type=str(entry.get("type") or ""),
        metadata=notes if isinstance(notes, dict) else {},
    )


def _axes_of(entry: Mapping[str, Any]) -> tuple[tuple[Axis, ...], list[Any]]:
    """Return the axes of an image, and the transformations that all its levels share.

    From 0.6 on (RFC-5) the axes belong to the coordinate system that the levels lead to; what
    the image adds then leads on to other systems and does not concern the pitch.
    """
    systems = entry.get("coordinateSystems")
    if not systems:
        common = entry.get("coordinateTransformations") or []
        return tuple(_parse_axis(axis) for axis in entry.get("axes") or ()), list(common)
    name = output_system(entry["datasets"][0].get("coordinateTransformations") or [])
    named = [system for system in systems if system.get("name") == name]
    return tuple(_parse_axis(axis) for axis in (named or systems)[0]["axes"]), []


def _in_array_order(axes: tuple[Axis, ...], datasets: Sequence[_RawDataset]) -> tuple[Axis, ...]:
    orders = {raw.transform.order for raw in datasets if raw.transform is not None}
    if not axes or not orders:
        return axes
    if len(orders) > 1:
        raise ValueError("levels whose axes are in different orders")
    return tuple(axes[k] for k in orders.pop())


@dataclass(frozen=True, slots=True)
class _RawDataset:
    path: str
    transform: AxisTransform | None


def _raw_dataset(dataset: Mapping[str, Any], common: Sequence[Any], n_axes: int) -> _RawDataset:
    own = list(dataset.get("coordinateTransformations") or [])
    transforms = [*own, *common]
    ndim = n_axes or _length_of(transforms)
    return _RawDataset(str(dataset["path"]), axis_transform(transforms, ndim))


def _length_of(transforms: Sequence[Mapping[str, Any]]) -> int:
    lengths = (len(t[kind]) for t in transforms for kind in ("scale", "translation") if kind in t)
    return next(lengths, 0)


def _parse_axis(axis: str | Mapping[str, Any]) -> Axis:
    if isinstance(axis, str):  # before 0.4 an axis was its name alone
        return Axis(axis.lower(), "space" if axis.lower() in ("z", "y", "x") else "")
    return Axis(str(axis["name"]).lower(), str(axis.get("type") or ""), str(axis.get("unit") or ""))


def _unit_factors(axes: Sequence[Axis], where: str) -> tuple[float, ...]:
    factors = []
    unknown = []
    for axis in axes:
        factor = micrometers_per_unit(axis.unit) if axis.name in ("z", "y", "x") else 1.0
        if factor is None:
            unknown.append(f"{axis.name}: {axis.unit or 'none'}")
        factors.append(1.0 if factor is None else factor)
    if unknown:
        warnings.warn(
            f"{where}: no known length unit on axes ({', '.join(unknown)}); micrometre is assumed",
            AssumedUnitWarning,
            stacklevel=3,
        )
    return tuple(factors)


def _dataset(raw: _RawDataset, factors: Sequence[float], where: str) -> Dataset:
    found = raw.transform
    if found is None:
        return Dataset(raw.path, None, None)
    if found.left_out:
        warnings.warn(
            f"{where}: {found.left_out} of the voxels in space is not applied: the image is read"
            " along its own axes, with its own pitch",
            OmeZarrWarning,
            stacklevel=3,
        )
    shift = found.translation
    return Dataset(
        raw.path,
        _in_um(found.scale, factors) if found.has_scale else None,
        None if shift is None else _in_um(shift, factors),
        found.scale if found.has_scale else None,
        shift,
    )


def _in_um(values: Sequence[float], factors: Sequence[float]) -> tuple[float, ...]:
    if not factors:
        return tuple(values)
    return tuple(clean_um(v * f) for v, f in zip(values, factors, strict=True))
