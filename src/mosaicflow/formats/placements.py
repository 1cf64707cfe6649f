"""Tile positions as other stitchers read them: Fiji's tile configuration, BigStitcher's XML."""

from __future__ import annotations

import math
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
    "tile_configuration",
]

# Characters that XML 1.0 (2.2) does not allow.
_NO_XML = "".join(map(chr, (*range(9), 11, 12, *range(14, 32), 0xFFFE, 0xFFFF)))


ZYX = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class TilePosition:
    """A tile and where its first sample lies.

    Parameters
    ----------
    file : str
        Its file or folder, relative to the raw folder, with forward slashes.
    corner_px : (float, float, float)
        (z, y, x) of its first sample, in px of the tile.
    shape : (int, int, int)
        Samples along z, y and x.
    turn_deg : float, optional
        Rotation about its first sample, from +y towards +x.
    pitch_um : (float, float, float), optional
        Its sample spacing (z, y, x), where tiles differ in it.
    """

    file: str
    corner_px: ZYX
    shape: tuple[int, int, int]
    turn_deg: float = 0.0
    pitch_um: ZYX | None = None


def tile_configuration(tiles: Sequence[TilePosition], notes: Sequence[str] = ()) -> str:
    """Write positions as Fiji's stitching plugin keeps them in TileConfiguration.txt.

    Parameters
    ----------
    tiles : sequence of TilePosition
        Tiles of one plane, all in the same one, give two dimensions, others three. The format
        moves tiles and does not turn them.
    notes : sequence of str, optional
        Lines for people.

    Returns
    -------
    str
        The text; coordinates are (x, y) or (x, y, z) in px.

    Raises
    ------
    FormatError
        When the name of a file cannot be told from the marks of the format.
    """
    flat = all(tile.shape[0] == 1 and tile.corner_px[0] == 0 for tile in tiles)
    lines = [f"# {note}" for note in notes]
    lines += ["# Define the number of dimensions we are working on", f"dim = {2 if flat else 3}"]
    lines += ["", "# Define the image coordinates"]
    for tile in tiles:
        z, y, x = tile.corner_px
        numbers = (x, y) if flat else (x, y, z)
        _refuse(tile.file, ";#\n\r", "a tile configuration")
        lines.append(f"{tile.file}; ; ({', '.join(repr(float(n)) for n in numbers)})")
    return "\n".join(lines) + "\n"


def _refuse(name: str, marks: str, what: str) -> None:
    # A lone surrogate stands for a byte that is no text.
    found = [mark for mark in name if mark in marks or "\ud800" <= mark <= "\udfff"]
    if found:
        raise FormatError(
            ascii(name),
            f"found {found[0]!a} in the name, which {what} cannot hold; rename the file",
        )


def bdv_xml(tiles: Sequence[TilePosition], pitch_um: ZYX) -> str:
    """Write positions as a BigStitcher / BigDataViewer project that opens the tiles themselves.

    Parameters
    ----------
    tiles : sequence of TilePosition
        One file each.
    pitch_um : (float, float, float)
        Sample spacing (z, y, x) of tiles without one of their own; its x is the project's unit of
        length.

    Returns
    -------
    str
        XML; each tile is a view setup of its own, calibrated by its pitch, turned, and moved to
        its place in px of x.

    Raises
    ------
    FormatError
        When the name of a file holds what no XML can.
    """
    for tile in tiles:
        _refuse(tile.file, _NO_XML, "XML")
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


def _add_setup(setups: ET.Element, number: int, tile: TilePosition, pitch_um: ZYX) -> None:
    setup = ET.SubElement(setups, "ViewSetup")
    ET.SubElement(setup, "id").text = str(number)
    ET.SubElement(setup, "name").text = tile.file
    ET.SubElement(setup, "size").text = " ".join(str(n) for n in tile.shape[::-1])
    voxel = ET.SubElement(setup, "voxelSize")
    ET.SubElement(voxel, "unit").text = "um"
    ET.SubElement(voxel, "size").text = " ".join(
        repr(float(p)) for p in (tile.pitch_um or pitch_um)[::-1]
    )
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
    registrations: ET.Element, number: int, tile: TilePosition, pitch_um: ZYX
) -> None:
    """Scale samples to px of x, then turn the tile and move it; the last is applied first."""
    view = ET.SubElement(registrations, "ViewRegistration", timepoint="0", setup=str(number))
    scale = [pitch / pitch_um[2] for pitch in reversed(tile.pitch_um or pitch_um)]
    x, y, z = (corner * s for corner, s in zip(reversed(tile.corner_px), scale, strict=True))
    angle = math.radians(tile.turn_deg)
    cos, sin = math.cos(angle), math.sin(angle)
    for name, rows in (
        ("Stitching Transform", ((cos, sin, 0.0, x), (-sin, cos, 0.0, y), (0.0, 0.0, 1.0, z))),
        ("calibration", [[s if i == k else 0.0 for k in range(4)] for i, s in enumerate(scale)]),
    ):
        transform = ET.SubElement(view, "ViewTransform", type="affine")
        ET.SubElement(transform, "Name").text = name
        numbers = " ".join(repr(float(v) + 0.0) for row in rows for v in row)
        ET.SubElement(transform, "affine").text = numbers


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
    setups = {s.findtext("id"): s for s in root.iter("ViewSetup")}
    found = []
    for view in root.iter("ViewRegistration"):
        number = view.get("setup")
        try:
            found.append(_position(files[number], setups[number], view))
        except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            text = f"view setup {number}: file, size or place is missing or no number"
            raise FormatError(where, text) from error
    return found


def _position(file: str | None, setup: ET.Element, view: ET.Element) -> TilePosition:
    affines = {t.findtext("Name"): t.findtext("affine") for t in view.iter("ViewTransform")}
    moved = _numbers(affines["Stitching Transform"], 12)
    scale = _numbers(affines["calibration"], 12)[::5]
    n_x, n_y, n_z = (int(n) for n in (setup.findtext("size") or "").split())
    pitch = _numbers(setup.findtext("voxelSize/size"), 3)[::-1]
    x, y, z = (place / factor for place, factor in zip(moved[3::4], scale, strict=True))
    if not file:
        raise ValueError("no file")
    turn = math.degrees(math.atan2(moved[1], moved[0]))
    return TilePosition(file, (z, y, x), (n_z, n_y, n_x), turn, (pitch[0], pitch[1], pitch[2]))


def _numbers(text: str | None, count: int) -> list[float]:
    numbers = [float(part) for part in (text or "").split()]
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise ValueError(f"{count} numbers expected")
    return numbers
