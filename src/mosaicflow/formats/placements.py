"""Tile positions as other stitchers read them: Fiji's tile configuration, BigStitcher's XML."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from mosaicflow.formats.ground.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "TilePosition",
    "bdv_xml",
    "parse_bdv_xml",
    "parse_configuration",
    "tile_configuration",
]

_LINE = re.compile(r"(?P<name>[^;#]+);[^;]*;\s*\((?P<numbers>[^()]*)\)")


@dataclass(frozen=True, slots=True)
class TilePosition:
    """A tile and where its first sample lies.

    Parameters
    ----------
    file : str
        Its file or folder, relative to the raw folder, with forward slashes.
    corner_px : (float, float, float)
        (z, y, x) of its first sample, in px.
    shape : (int, int, int)
        Samples along z, y and x.
    """

    file: str
    corner_px: tuple[float, float, float]
    shape: tuple[int, int, int]


def tile_configuration(tiles: Sequence[TilePosition]) -> str:
    """Write positions as Fiji's stitching plugin keeps them in TileConfiguration.txt.

    Parameters
    ----------
    tiles : sequence of TilePosition
        Tiles of one plane give two dimensions, others three.

    Returns
    -------
    str
        The text; coordinates are (x, y) or (x, y, z) in px.
    """
    flat = all(tile.shape[0] == 1 for tile in tiles)
    lines = ["# Define the number of dimensions we are working on", f"dim = {2 if flat else 3}"]
    lines += ["", "# Define the image coordinates"]
    for tile in tiles:
        z, y, x = tile.corner_px
        numbers = (x, y) if flat else (x, y, z)
        _refuse(tile.file, ";#\n")
        lines.append(f"{tile.file}; ; ({', '.join(repr(float(n)) for n in numbers)})")
    return "\n".join(lines) + "\n"


def _refuse(name: str, marks: str) -> None:
    found = [mark for mark in marks if mark in name]
    if found:
        raise FormatError(
            name,
            f"found {found[0]!r} in the name, which a tile configuration cannot hold; rename the "
            "file or use the BigStitcher XML",
        )


def parse_configuration(
    text: str, where: str = "TileConfiguration.txt"
) -> dict[str, tuple[float, ...]]:
    """Read what `tile_configuration` writes: name -> (y, x) or (z, y, x) in px.

    Raises
    ------
    FormatError
        When a line is none of a tile configuration.
    """
    found: dict[str, tuple[float, ...]] = {}
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.split("#", 1)[0].strip()
        if not line or line.replace(" ", "").startswith("dim="):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise FormatError(where, f"line {number}: found {line!r}, expected 'name; ; (x, y)'")
        numbers = tuple(float(part) for part in match["numbers"].split(","))
        found[match["name"].strip()] = numbers[::-1]
    return found


def bdv_xml(tiles: Sequence[TilePosition], pitch_um: tuple[float, float, float]) -> str:
    """Write positions as a BigStitcher / BigDataViewer project that opens the tiles themselves.

    Parameters
    ----------
    tiles : sequence of TilePosition
        One file each.
    pitch_um : (float, float, float)
        Sample spacing (z, y, x) in um.

    Returns
    -------
    str
        XML; each tile is a view setup of its own, calibrated by its pitch and moved to its place
        in px of x.
    """
    root = ET.Element("SpimData", version="0.2")
    ET.SubElement(root, "BasePath", type="relative").text = "."
    sequence = ET.SubElement(root, "SequenceDescription")
    loader = ET.SubElement(sequence, "ImageLoader", format="spimreconstruction.filemap2")
    ET.SubElement(loader, "ZGrouped").text = "false"
    mapping = ET.SubElement(loader, "files")
    setups = ET.SubElement(sequence, "ViewSetups")
    registrations = ET.Element("ViewRegistrations")
    for number, tile in enumerate(tiles):
        entry = ET.SubElement(
            mapping,
            "FileMapping",
            view_setup=str(number),
            timepoint="0",
            series="0",
            channel="0",
        )
        ET.SubElement(entry, "file", type="relative").text = tile.file
        _add_setup(setups, number, tile, pitch_um)
        _add_registration(registrations, number, tile, pitch_um)
    _add_attributes(setups, len(tiles))
    points = ET.SubElement(sequence, "Timepoints", type="pattern")
    ET.SubElement(points, "integerpattern").text = "0"
    ET.SubElement(sequence, "MissingViews")
    root.append(registrations)
    ET.SubElement(root, "ViewInterestPoints")
    ET.SubElement(root, "BoundingBoxes")
    ET.SubElement(root, "PointSpreadFunctions")
    ET.SubElement(root, "StitchingResults")
    ET.SubElement(root, "IntensityAdjustments")
    ET.indent(root, space="  ")
    body = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def _add_setup(
    setups: ET.Element, number: int, tile: TilePosition, pitch_um: tuple[float, float, float]
) -> None:
    setup = ET.SubElement(setups, "ViewSetup")
    ET.SubElement(setup, "id").text = str(number)
    ET.SubElement(setup, "name").text = tile.file
    ET.SubElement(setup, "size").text = " ".join(str(n) for n in tile.shape[::-1])
    voxel = ET.SubElement(setup, "voxelSize")
    ET.SubElement(voxel, "unit").text = "um"
    ET.SubElement(voxel, "size").text = " ".join(repr(float(p)) for p in pitch_um[::-1])
    attributes = ET.SubElement(setup, "attributes")
    for name, value in (("illumination", 0), ("channel", 0), ("tile", number), ("angle", 0)):
        ET.SubElement(attributes, name).text = str(value)


def _add_attributes(setups: ET.Element, n_tiles: int) -> None:
    names = (("illumination", 1), ("channel", 1), ("tile", n_tiles), ("angle", 1))
    for name, count in names:
        group = ET.SubElement(setups, "Attributes", name=name)
        for number in range(count):
            item = ET.SubElement(group, name.capitalize())
            ET.SubElement(item, "id").text = str(number)
            ET.SubElement(item, "name").text = str(number)


def _add_registration(
    registrations: ET.Element,
    number: int,
    tile: TilePosition,
    pitch_um: tuple[float, float, float],
) -> None:
    """Scale samples to px of x, then move the tile to its place; the last is applied first."""
    view = ET.SubElement(registrations, "ViewRegistration", timepoint="0", setup=str(number))
    scale = [pitch / pitch_um[2] for pitch in pitch_um]
    z, y, x = (corner * factor for corner, factor in zip(tile.corner_px, scale, strict=True))
    for name, diagonal, shift in (
        ("Stitching Transform", (1.0, 1.0, 1.0), (x, y, z)),
        ("calibration", tuple(scale[::-1]), (0.0, 0.0, 0.0)),
    ):
        transform = ET.SubElement(view, "ViewTransform", type="affine")
        ET.SubElement(transform, "Name").text = name
        rows = [
            [float(diagonal[i]) if i == j else 0.0 for j in range(3)] + [float(shift[i])]
            for i in range(3)
        ]
        ET.SubElement(transform, "affine").text = " ".join(repr(v) for row in rows for v in row)


def parse_bdv_xml(text: str, where: str = "tiles.bdv.xml") -> list[TilePosition]:
    """Read what `bdv_xml` writes.

    Raises
    ------
    FormatError
        When it is no such project: a view lacks its file, size or place.
    """
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise FormatError(where, "declares entities, which no BigStitcher project needs")
    try:
        root = ET.fromstring(text)  # no entities: refused above
    except ET.ParseError as error:
        raise FormatError(where, f"is no XML: {error}") from error
    files = {m.get("view_setup"): m.findtext("file") for m in root.iter("FileMapping")}
    sizes = {s.findtext("id"): s.findtext("size") for s in root.iter("ViewSetup")}
    found = []
    for view in root.iter("ViewRegistration"):
        setup = view.get("setup")
        affines = {t.findtext("Name"): t.findtext("affine") for t in view.iter("ViewTransform")}
        place, scale = affines.get("Stitching Transform"), affines.get("calibration")
        file, size = files.get(setup), sizes.get(setup)
        if not (place and scale and file and size):
            raise FormatError(where, f"view setup {setup}: file, size or place is missing")
        moved, scaled = ([float(v) for v in one.split()] for one in (place, scale))
        x, y, z = (moved[i] / scaled[k] for i, k in ((3, 0), (7, 5), (11, 10)))
        n_x, n_y, n_z = (int(n) for n in size.split())
        found.append(TilePosition(file, (z, y, x), (n_z, n_y, n_x)))
    return found
