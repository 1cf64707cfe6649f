"""What a store holds, read from its metadata alone."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mosaicflow.errors import FormatError, MosaicflowError, StoreError
from mosaicflow.io.zarr.array_info import LevelInfo, array_document, level_of
from mosaicflow.io.zarr.errors import AssumedUnitWarning
from mosaicflow.io.zarr.location import Location, StorePath, locate
from mosaicflow.io.zarr.metadata import Axis, Multiscale, multiscales_of, parse_multiscale
from mosaicflow.io.zarr.root import (
    Root,
    find_root,
    images_inside,
    kind_of_group,
    root_attributes,
    warn_reader,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["OmeZarrInfo", "is_finished", "read_array_info", "read_omezarr_info"]

# Pitch assumed where a file gives none, as for a plain Zarr array.
_UNKNOWN_PITCH_UM = 1.0


@dataclass(frozen=True)
class OmeZarrInfo:
    """Metadata of a store.

    Parameters
    ----------
    location : Location
        Group (or bare array) that holds the image.
    name : str
        Name in the metadata, or the file name.
    ngff_version : str
        `0.4`, `0.5`, or empty for a store without NGFF metadata.
    zarr_format : int
        2 or 3.
    axes : tuple of Axis
        In array order.
    levels : tuple of LevelInfo
        Finest first; levels whose array is absent are left out with a warning.
    attributes : mapping
        All root attributes.
    pyramid : mapping
        The writer's notes on how the levels were made.
    """

    location: Location
    name: str
    ngff_version: str
    zarr_format: int
    axes: tuple[Axis, ...]
    levels: tuple[LevelInfo, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    pyramid: Mapping[str, Any] = field(default_factory=dict)

    @property
    def mosaicflow(self) -> dict[str, Any]:
        """The attribute block of mosaicflow; empty for files by other software."""
        block = self.attributes.get("mosaicflow")
        return dict(block) if isinstance(block, dict) else {}

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shape of every level."""
        return tuple(level.shape for level in self.levels)

    @property
    def scales_um(self) -> tuple[tuple[float, ...], ...]:
        """Pitch of every level, per axis."""
        return tuple(level.scale_um for level in self.levels)

    @property
    def translations_um(self) -> tuple[tuple[float, ...] | None, ...]:
        """Translation of every level, where it has one."""
        return tuple(level.translation_um for level in self.levels)


def is_finished(path: StorePath | Location) -> bool:
    """Whether a store was finished by its writer: whether its metadata lists an image.

    Parameters
    ----------
    path : path or URL
        A store; a path where nothing lies is not finished.
    """
    location = locate(path)
    # Web servers need not answer for a folder, only for the files in it.
    there = location.is_url or location.exists()
    return there and bool(multiscales_of(root_attributes(location)))


def read_omezarr_info(path: StorePath | Location, *, allow_bare: bool = True) -> OmeZarrInfo:
    """Return levels, shapes, axes, scales, chunks, codec and attributes of a store.

    Parameters
    ----------
    path : path or URL
        Folder, `.zip` file or fsspec URL.
    allow_bare : bool, optional
        Whether a group without `multiscales` is shown (with a warning) or refused.

    Returns
    -------
    OmeZarrInfo

    Raises
    ------
    StoreError
        Nothing is there, the store is unfinished, or its full resolution is missing.
    FormatError
        The metadata cannot be understood.
    """
    location = locate(path)
    try:
        return _understood(find_root(location), allow_bare=allow_bare)
    except (MosaicflowError, OSError, Warning):
        raise
    # Metadata by anybody may hold anything anywhere.
    except Exception as error:
        raise FormatError(
            f"{location}: metadata is malformed ({error!r:.200})", remedy="write the store again"
        ) from error


def _understood(root: Root, *, allow_bare: bool) -> OmeZarrInfo:
    if root.is_array:
        return _bare_array(root)
    if multiscales_of(root.attributes):
        return _image(root, parse_multiscale(root.attributes, str(root.location)))
    return _unfinished(root, allow_bare=allow_bare)


def _image(root: Root, image: Multiscale) -> OmeZarrInfo:
    where = str(root.location)
    levels: list[LevelInfo] = []
    for number, dataset in enumerate(image.datasets):
        document = array_document(root.location, dataset.path)
        if document is None and number == 0:
            raise StoreError(
                f"{where}: the full resolution, array {dataset.path!r}, is missing",
                remedy="copy or create the store again",
            )
        if document is None:
            warn_reader(f"{where}: level {number} (array {dataset.path!r}) is missing and left out")
            continue
        level = level_of(root.location, dataset.path, document)
        ndim = len(level.shape)
        if image.axes and len(image.axes) != ndim:
            raise FormatError(
                f"{where}: metadata names {len(image.axes)} axes, array {dataset.path!r} has {ndim}"
            )
        scale = dataset.scale
        if scale is None:
            scale = _unknown_pitch(ndim, where)
        level = replace(
            level,
            stored_scale=dataset.stored_scale,
            stored_translation=dataset.stored_translation,
        )
        levels.append(_with_scale(level, scale, dataset.translation))
    _check_consolidated(root)
    return OmeZarrInfo(
        location=root.location,
        name=image.name or root.location.name,
        ngff_version=image.version,
        zarr_format=root.zarr_format,
        axes=image.axes or _assumed_axes(len(levels[0].shape)),
        levels=tuple(levels),
        attributes=root.attributes,
        pyramid=image.metadata,
    )


def read_array_info(root: Root, name: str) -> OmeZarrInfo | None:
    """Return what is known of an array that may be an image; None where there is none such."""
    document = array_document(root.location, name)
    if document is None:
        return None
    level = level_of(root.location, name, document)
    if not 2 <= len(level.shape) <= 5:
        return None
    pitch = (_UNKNOWN_PITCH_UM,) * len(level.shape)
    return _bare(root, _with_scale(level, pitch, None))


def _bare_array(root: Root) -> OmeZarrInfo:
    document = array_document(root.location, "")
    if document is None:
        raise StoreError(f"{root.location}: no array metadata")
    level = level_of(root.location, "", document)
    scale = _unknown_pitch(len(level.shape), str(root.location))
    return _bare(root, _with_scale(level, scale, None))


def _unfinished(root: Root, *, allow_bare: bool) -> OmeZarrInfo:
    document = array_document(root.location, "0")
    if document is None and (images := images_inside(root)):
        raise FormatError(
            f"{root.location}: {kind_of_group(root)}, not one image",
            remedy=f"give the path of one image in it, such as {root.location}/{images[0]}",
        )
    if document is None or not allow_bare:
        raise StoreError(
            f"{root.location}: unfinished or foreign store: its metadata has no 'multiscales'",
            remedy="run the step that wrote it again, or read it with allow_bare=True",
        )
    level = level_of(root.location, "0", document)
    warn_reader(
        f"{root.location}: unfinished or foreign store (no 'multiscales'); array '0' is shown,"
        f" with an assumed pixel size of {_UNKNOWN_PITCH_UM:g} um"
    )
    return _bare(root, _with_scale(level, (_UNKNOWN_PITCH_UM,) * len(level.shape), None))


def _bare(root: Root, level: LevelInfo) -> OmeZarrInfo:
    return OmeZarrInfo(
        location=root.location,
        name=root.location.name,
        ngff_version="",
        zarr_format=root.zarr_format,
        axes=_assumed_axes(len(level.shape)),
        levels=(level,),
        attributes=root.attributes,
    )


def _assumed_axes(ndim: int) -> tuple[Axis, ...]:
    if not 2 <= ndim <= 5:
        raise FormatError(f"an array with {ndim} axes is no image (expected 2 to 5)")
    names = "tczyx"[-ndim:]
    return tuple(Axis(name, "space" if name in ("z", "y", "x") else "", "") for name in names)


def _unknown_pitch(ndim: int, where: str) -> tuple[float, ...]:
    warnings.warn(
        f"{where}: the metadata gives no pixel size; {_UNKNOWN_PITCH_UM:g} um is assumed",
        AssumedUnitWarning,
        stacklevel=3,
    )
    return (_UNKNOWN_PITCH_UM,) * ndim


def _with_scale(
    level: LevelInfo, scale: tuple[float, ...], translation: tuple[float, ...] | None
) -> LevelInfo:
    return replace(level, scale_um=scale, translation_um=translation)


def _check_consolidated(root: Root) -> None:
    """Warn when a v2 store carries a second, outdated copy of its metadata."""
    consolidated = root.location.read_json(".zmetadata") if root.zarr_format == 2 else None
    entries = (consolidated or {}).get("metadata")
    if not isinstance(entries, dict):
        return
    for name, copy in entries.items():
        if not name.endswith(".zarray"):
            continue
        own = root.location.read_json(name)
        if own is None:
            warn_reader(f"{root.location}: {name} is missing; its copy in .zmetadata is used")
        elif own != copy:
            warn_reader(f"{root.location}: .zmetadata disagrees with {name}, which is used")
