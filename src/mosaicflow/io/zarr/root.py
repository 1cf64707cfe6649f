"""Which group or array lies at an address: the root of a store, or what its folders hold."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mosaicflow.errors import StoreError
from mosaicflow.io.zarr.errors import NotAStoreError, OmeZarrWarning
from mosaicflow.io.zarr.metadata import multiscales_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mosaicflow.io.zarr.location import Location

__all__ = ["Root", "find_root", "images_inside", "kind_of_group", "root_attributes", "warn_reader"]

# Groups between a plate and an image: row, column; one more for a group around the plate.
_DEEPEST_IMAGE = 3
# Members of a group that are looked into for an image: enough for one to turn up, few to ask for.
_LOOKED_AT = 20


@dataclass(frozen=True, slots=True)
class Root:
    """What lies at the root of a store before anything is interpreted."""

    location: Location
    zarr_format: int
    is_array: bool
    attributes: Mapping[str, Any]


def find_root(location: Location) -> Root:
    """Return the group or array at a location, one folder deeper where an unzip tool put it."""
    root = _root_at(location)
    if root is None:
        if not location.exists():
            raise _absent(location)
        children = location.children()
        inner = _root_at(location.child(children[0])) if len(children) == 1 else None
        if inner is None:
            raise _no_store(location)
        warn_reader(f"{location}: the store lies one folder deeper, in {children[0]}")
        root = inner
    return _first_series(root)


def _no_store(location: Location) -> NotAStoreError:
    if location.is_url and location.address.endswith(".zip"):
        return NotAStoreError(
            f"{location}: an archive is read from a local disk only", remedy="download it first"
        )
    what = "a file" if location.is_folder and location.path.is_file() else "a folder"
    return NotAStoreError(
        f"{location}: not a Zarr store but {what} (no zarr.json, .zgroup, .zattrs or .zarray in"
        " it)",
        remedy="list the folder and look for .zattrs",
    )


def _absent(location: Location) -> StoreError:
    if location.is_folder:
        for kind in ("tmp", "base.tmp"):
            left = location.sibling(f".{location.path.name}.{kind}")
            if left.exists():
                return StoreError(
                    f"{location}: unfinished: only {left.path.name} lies beside it",
                    remedy="the program that wrote it was interrupted or still runs; run it again",
                )
    return StoreError(f"{location}: no such store")


def _root_at(location: Location) -> Root | None:
    document = location.metadata("zarr.json")
    if document is not None:
        is_array = document.get("node_type") == "array"
        return Root(location, 3, is_array, root_attributes(location))
    if location.metadata(".zarray") is not None:
        return Root(location, 2, True, root_attributes(location))
    if any(location.metadata(name) is not None for name in (".zattrs", ".zgroup")):
        return Root(location, 2, False, root_attributes(location))
    return None


def _first_series(root: Root) -> Root:
    """Step into the first image of a Bio-Formats layout, which numbers its images."""
    layout = "bioformats2raw.layout" in _ome_part(root.attributes)
    if multiscales_of(root.attributes) or not layout:
        return root
    images = [name for name in root.location.children() if name.isdigit()]
    first = _root_at(root.location.child("0"))
    if first is None:
        raise StoreError(f"{root.location}: a Bio-Formats layout without image 0")
    if len(images) > 1:
        warn_reader(f"{root.location}: holds images {', '.join(images)}; image 0 is read")
    return first


def root_attributes(location: Location) -> Mapping[str, Any]:
    """Read the attributes of the group or array at a location; none where nothing lies."""
    document = location.metadata("zarr.json")
    if document is not None:
        attributes = document.get("attributes")
        return attributes if isinstance(attributes, dict) else {}
    return location.metadata(".zattrs") or {}


def kind_of_group(root: Root) -> str:
    """Say what a group is that is no image."""
    own = _ome_part(root.attributes)
    if isinstance(own.get("plate"), dict):
        return f"an HCS plate with {len(own['plate'].get('wells') or ())} wells"
    if isinstance(own.get("well"), dict):
        return f"a well of an HCS plate with {len(own['well'].get('images') or ())} fields"
    return "a group that holds images"


def _ome_part(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    ome = attributes.get("ome")
    return ome if isinstance(ome, dict) else attributes


def images_inside(root: Root, depth: int = _DEEPEST_IMAGE) -> list[str]:
    """Return the paths of some images below a group, as its metadata or its folders name them."""
    own = _ome_part(root.attributes)
    plate, well = own.get("plate"), own.get("well")
    entries: list[Any] = []
    if isinstance(plate, dict):
        entries = list(plate.get("wells") or ())
    elif isinstance(well, dict):
        entries = list(well.get("images") or ())
    names = [str(entry["path"]) for entry in entries if isinstance(entry, dict) and "path" in entry]
    for name in (names or root.location.children())[:_LOOKED_AT]:
        inner = _root_at(root.location.child(name))
        if inner is None or inner.is_array:
            continue
        if multiscales_of(inner.attributes):
            return [name]
        if depth and (found := images_inside(inner, depth - 1)):
            return [f"{name}/{found[0]}"]
    return []


def fields_of_plate(root: Root) -> list[str]:
    """Return the paths of all images of a plate or a well, as its metadata names them."""
    own = _ome_part(root.attributes)
    found = []
    for group, member in (("plate", "wells"), ("well", "images")):
        described = own.get(group)
        entries = described.get(member) if isinstance(described, dict) else None
        for entry in entries if isinstance(entries, list) else ():
            name = str(entry["path"]) if isinstance(entry, dict) and "path" in entry else ""
            inner = _root_at(root.location.child(name)) if name else None
            if inner is not None:
                below = fields_of_plate(inner)
                found += [f"{name}/{field}" for field in below] if below else [name]
    return found


def warn_reader(text: str) -> None:
    """Say that something in a store is not as it should be."""
    warnings.warn(text, OmeZarrWarning, stacklevel=4)
