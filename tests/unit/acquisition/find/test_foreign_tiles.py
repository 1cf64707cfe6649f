"""Tiles as other programs write them: the right pixels at the right place, or one clear line."""

import contextlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mosaicflow.acquisition.discover import discover
from mosaicflow.acquisition.find.tiff_files import read_tiff_header, read_tiff_planes
from mosaicflow.acquisition.read.reading import read_tile
from mosaicflow.acquisition.settings import InspectSettings
from mosaicflow.acquisition.tile_numbers import TileNumbering
from mosaicflow.acquisition.tiles import SliceTiles
from mosaicflow.cli.inspect import _text
from mosaicflow.errors import FormatError, InputError, MosaicflowError
from mosaicflow.io.lengths import micrometers_per_unit

FOREIGN = Path("/work/shared/data/foreign_files")
for parent in Path(__file__).parents:
    if (parent / "shared" / "data" / "foreign_files").is_dir():
        FOREIGN = parent / "shared" / "data" / "foreign_files"
needs_shared = pytest.mark.skipif(not FOREIGN.is_dir(), reason="the shared data is not here")


def found(root, **settings):
    return discover(root, InspectSettings(**settings))


def only_slice(root, **settings):
    acquisition = found(root, **settings)
    acquisition.raise_on_stop()
    (tiles,) = acquisition.slices
    # What a later stage reads is what is written.
    return SliceTiles.from_dict(json.loads(json.dumps(tiles.to_dict())))


def pixels(root, tiles, index):
    out = np.empty(tiles.tile_shape, np.float32)
    read_tile(root, tiles, tiles.used[index], out)
    return out


def own_page(path):
    with tifffile.TiffFile(path) as file:
        return file.pages[0].asarray()


@needs_shared
@pytest.mark.parametrize(
    "name", ["T10/no hash", "T10/Größe 1 µm", "T11", "T18", "T19/a", "T19/b", "T19/c", "T17b"]
)
def test_four_tiles_that_are_listed_in_a_strange_spelling_are_placed(name):
    tiles = only_slice(FOREIGN / name)

    assert sorted(tiles.used) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    ys, xs = zip(*(tiles.used[i].centre_mm for i in sorted(tiles.used)), strict=True)
    np.testing.assert_allclose(np.diff(ys), [0, 0.038, 0], atol=1e-9)
    np.testing.assert_allclose(np.diff(xs), [0.038, -0.038, 0.038], atol=1e-9)
    first = tiles.used[0, 0]
    np.testing.assert_array_equal(
        pixels(FOREIGN / name, tiles, (0, 0))[0], tifffile.imread(FOREIGN / name / first.path)
    )


@needs_shared
def test_images_of_one_file_are_tiles_of_their_own():
    tiles = only_slice(FOREIGN / "T01a")

    for number, index in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        stored = tifffile.imread(FOREIGN / "T01a" / "scan_MMStack.ome.tif", series=number)
        np.testing.assert_array_equal(pixels(FOREIGN / "T01a", tiles, index)[0], stored)


@needs_shared
def test_planes_that_are_listed_one_by_one_are_one_tile():
    tiles = only_slice(FOREIGN / "T02", axial_resolution_um=1.5)

    assert (len(tiles.used), tiles.tile_shape, tiles.pitch_um) == (6, (2, 48, 48), (1.5, 1, 1))
    tile = pixels(FOREIGN / "T02", tiles, (0, 0))
    for plane in (0, 1):
        name = f"a0-f2-r0-c0-z{plane}.tiff"
        np.testing.assert_array_equal(tile[plane], tifffile.imread(FOREIGN / "T02" / name))


@needs_shared
def test_time_points_without_z_are_planes_and_said():
    acquisition = found(FOREIGN / "T08")

    assert acquisition.slices[0].tile_shape == (6, 48, 48)
    assert acquisition.slices[0].pitch_um[0] == 2
    assert any("6 time points and no z" in p.message for p in acquisition.problems)


@needs_shared
def test_units_of_ome_are_all_known():
    assert only_slice(FOREIGN / "T15a").pitch_um == (2.0, 1.0, 1.0)


@needs_shared
def test_a_plane_in_a_file_is_that_plane_whatever_its_xml_tells_of_others():
    tiles = only_slice(FOREIGN / "T16")
    tile = pixels(FOREIGN / "T16", tiles, (1, 0))
    files = sorted((FOREIGN / "T16" / "tile_x0_y1").glob("*.tif"))

    assert tile.shape == (6, 48, 48)
    for plane, file in zip(tile, files, strict=True):
        np.testing.assert_array_equal(plane, own_page(file))


@needs_shared
def test_a_file_whose_partners_are_absent_is_its_own_plane(tmp_path):
    file = next((FOREIGN / "T16" / "tile_x0_y0").glob("*Z0003*"))
    shutil.copy(file, tmp_path / "x0_y0.ome.tif")
    acquisition = found(tmp_path)

    assert acquisition.slices[0].tile_shape == (1, 48, 48)
    np.testing.assert_array_equal(
        pixels(tmp_path, acquisition.slices[0], (0, 0))[0],
        own_page(file),
    )
    assert any("speaks of 6 planes, the file holds 1" in p.message for p in acquisition.problems)


@needs_shared
def test_a_time_stamp_does_not_make_a_mosaic_of_one_tile():
    numbering = TileNumbering("row-by-row", "right-down", "2x2")

    assert len(only_slice(FOREIGN / "T28", numbering=numbering).used) == 4


@needs_shared
def test_tiles_that_start_at_different_depths_are_placed_in_depth():
    tiles = only_slice(FOREIGN / "T31")

    assert tiles.tile_shape == (18, 48, 48)
    for number, (index, start) in enumerate({(0, 0): 0, (0, 1): 4, (1, 0): 8, (1, 1): 2}.items()):
        tile = pixels(FOREIGN / "T31", tiles, index)
        np.testing.assert_array_equal(
            tile[start : start + 10], tifffile.imread(FOREIGN / "T31" / f"t{number}.tif")
        )
        assert not tile[:start].any()
        assert not tile[start + 10 :].any()


@pytest.mark.parametrize("given", [None, 3.0, 1.36])
@pytest.mark.parametrize("stored", [None, 2.0])
def test_the_depth_spacing_is_what_was_given_else_what_the_file_says_else_asked_for(
    tmp_path, given, stored
):
    stack = np.zeros((3, 20, 20), np.uint16)
    metadata = {"axes": "ZYX", "unit": "um"} | ({"spacing": stored} if stored else {})
    tifffile.imwrite(
        tmp_path / "x0_y0.tif", stack, imagej=True, metadata=metadata, resolution=(2, 2)
    )

    acquisition = found(tmp_path, axial_resolution_um=given)

    assert acquisition.slices[0].pitch_um[1:] == (0.5, 0.5)
    if given or stored:
        assert acquisition.slices[0].pitch_um[0] == (given or stored)
        assert acquisition.stops == []
    else:
        assert [problem.code for problem in acquisition.stops] == ["no_depth_spacing"]
        assert "--axial_resolution_um" in acquisition.stops[0].remedy


def test_z_of_the_file_is_kept_when_x_and_y_are_given_by_hand(tmp_path):
    stack = np.zeros((3, 20, 20), np.uint16)
    sizes = {"PhysicalSizeZ": 4.0, "PhysicalSizeX": 7.0, "PhysicalSizeXUnit": "pixel"}
    tifffile.imwrite(tmp_path / "x0_y0.ome.tif", stack, ome=True, metadata={"axes": "ZYX"} | sizes)

    assert only_slice(tmp_path, pixel_size_um=0.5).pitch_um == (4.0, 0.5, 0.5)


OME_UNITS = (
    "Ym Zm Em Pm Tm Gm Mm km hm dam m dm cm mm µm nm pm fm am zm ym Å thou li in ft yd mi ua ly",
    "pc pt",
)
NGFF_UNITS = (
    "angstrom attometer centimeter decimeter exameter femtometer foot gigameter hectometer inch",
    "kilometer megameter meter micrometer mile millimeter nanometer parsec petameter picometer",
    "terameter yard yoctometer yottameter zeptometer zettameter",
)
UNITS = " ".join(OME_UNITS + NGFF_UNITS).split()


@given(st.sampled_from(UNITS), st.booleans())
def test_every_unit_of_ome_and_ngff_is_a_length(unit, as_entities):
    text = "".join(f"&#{ord(letter)};" for letter in unit) if as_entities else f" {unit} "

    assert micrometers_per_unit(text) > 0


@pytest.mark.parametrize(
    ("unit", "um"),
    [("mm", 1e3), ("Mm", 1e12), ("&#181;m", 1), ("\\u00B5m", 1), ("dm", 1e5), ("in", 25400),
     ("microns", 1), ("micrometre", 1), ("Å", 1e-4), ("pixel", None), ("reference frame", None),
     ("MM", None), ("", None)],
)  # fmt: skip
def test_a_unit_is_what_its_letters_say(unit, um):
    assert micrometers_per_unit(unit) == um


def colour(shape=(16, 18)):
    rng = np.random.default_rng(1)
    return rng.integers(0, 256, (*shape, 3), dtype=np.uint8)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
@pytest.mark.parametrize("kind", ["grey", "rgb"])
def test_pictures_are_tiles(tmp_path, suffix, kind):
    image = colour() if kind == "rgb" else colour()[..., 0]
    for x in (0, 1):
        Image.fromarray(image).save(tmp_path / f"t_x{x}_y0.{suffix}")
    acquisition = found(tmp_path, pixel_size_um=1.0)
    (tiles,) = acquisition.slices

    expected = image.mean(axis=-1, dtype=np.float32) if kind == "rgb" else image
    np.testing.assert_array_equal(pixels(tmp_path, tiles, (0, 1))[0], expected)
    assert tiles.channels == (("red", "green", "blue") if kind == "rgb" else ("grey",))
    assert ("channels red, green, blue" in _text(acquisition, verbose=True)) == (kind == "rgb")


def test_jpeg_tiles_are_read_and_one_cut_short_is_found_by_the_inspection(tmp_path):
    for x in (0, 1):
        smooth = np.linspace(0, 255, 64 * 64).reshape(64, 64).astype(np.uint8)
        Image.fromarray(smooth).save(tmp_path / f"t_x{x}_y0.jpg", quality=95)
    whole = (tmp_path / "t_x1_y0.jpg").read_bytes()
    tiles = only_slice(tmp_path, pixel_size_um=1.0)
    assert abs(pixels(tmp_path, tiles, (0, 1))[0] - smooth).max() < 4

    (tmp_path / "t_x1_y0.jpg").write_bytes(whole[: len(whole) // 2])

    acquisition = found(tmp_path, pixel_size_um=1.0, max_missing_fraction=0.5)
    assert [t.problem for t in acquisition.slices[0].tiles if not t.is_used] == [
        "is cut short: the end of a JPEG is missing: copy it again"
    ]


def test_a_picture_of_sixteen_bits_keeps_them(tmp_path):
    deep = np.arange(400, dtype=np.uint16).reshape(20, 20) * 150
    Image.fromarray(deep).save(tmp_path / "x0_y0.png")
    tiles = only_slice(tmp_path, pixel_size_um=1.0)

    np.testing.assert_array_equal(pixels(tmp_path, tiles, (0, 0))[0], deep)


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"imagej": True}, {"ome": True}])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_tiff_that_was_cut_is_found_before_it_is_read(tmp_path, options, share):
    rng = np.random.default_rng(2)
    stack = rng.integers(0, 60000, (6, 32, 32), dtype=np.uint16)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stack, photometric="minisblack", metadata={"axes": "ZYX"}, **options)
    whole = path.read_bytes()
    assert read_tiff_header(path).n_z == 6
    path.write_bytes(whole[: int(share * len(whole))])

    with pytest.raises(FormatError, match=r"cut short|not a usable TIFF"):
        read_tiff_header(path)


@given(
    st.permutations("CZYX"),
    st.integers(1, 3),
    st.integers(1, 3),
    st.booleans(),
)
def test_any_order_of_axes_gives_the_first_channel(tmp_path_factory, axes, n_c, n_z, is_ome):
    axes = "".join(axes)
    if not axes.endswith("YX"):
        axes = axes.replace("Y", "").replace("X", "") + "YX"
    sizes = {"C": n_c, "Z": n_z, "Y": 17, "X": 19}
    image = np.random.default_rng(3).integers(0, 9, [sizes[a] for a in axes], dtype=np.uint8)
    path = tmp_path_factory.mktemp("tiff") / ("a.ome.tif" if is_ome else "a.tif")
    options = {"ome": True, "metadata": {"axes": axes}} if is_ome else {}
    if not is_ome:
        image, axes = image.take(0, axes.index("C")), axes.replace("C", "")
    tifffile.imwrite(path, image, photometric="minisblack", **options)

    header, planes = read_tiff_header(path), read_tiff_planes(path)

    expected = image if "C" not in axes else image.take(0, axes.index("C"))
    np.testing.assert_array_equal(planes, expected)
    assert (header.n_z, len(header.channels)) == (n_z, n_c if is_ome else 1)


def test_names_in_steps_that_are_no_lattice_are_told(tmp_path):
    for x in (0, 12034, 24068):
        tifffile.imwrite(tmp_path / f"s_x{x}_y500.tif", np.zeros((20, 20), np.uint16))

    acquisition = found(tmp_path, pixel_size_um=1.0)

    assert "names_are_no_lattice" in {problem.code for problem in acquisition.stops}


def test_a_slice_of_which_too_many_tiles_have_no_place_is_a_failure(tmp_path):
    for name in ("x0_y0", "x1_y0", "other", "left", "right"):
        tifffile.imwrite(tmp_path / f"{name}.tif", np.zeros((20, 20), np.uint16))

    acquisition = found(tmp_path, pixel_size_um=1.0)

    assert "3 of 5 tiles cannot be used, 3 of them without a place" in (
        acquisition.slices[0].failure
    )
    with pytest.raises(InputError, match="none of the 1 slices can be built"):
        acquisition.raise_on_stop()


@pytest.mark.parametrize("separator", [";", "\t", ","])
@pytest.mark.parametrize("decimal", [",", "."])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_table_of_any_spreadsheet_is_read(tmp_path, separator, decimal, encoding):
    if separator == decimal == ",":
        decimal = "."
    rows = [["path", "slice", "iy", "ix", "y_mm", "x_mm", "z_mm"]]
    for ix in range(2):
        tifffile.imwrite(tmp_path / f"t ä{ix}.tif", np.zeros((20, 20), np.uint16))
        rows.append([f"t ä{ix}.tif", "0", "0", str(ix), "0.064", f"0.0{64 + 16 * ix}", ""])
    rows.append([""] * 7)
    text = "\r\n".join(
        separator.join(c.replace(".", decimal) if c[:2] == "0." else c for c in row) for row in rows
    )
    (tmp_path / "tile_table.csv").write_bytes(text.encode(encoding))

    tiles = only_slice(tmp_path, pixel_size_um=1.0)

    assert tiles.used[0, 1].centre_mm == (0.064, 0.08)


@pytest.mark.parametrize("size", [{"ny": 1}, {"nx": 1}])
def test_tiles_of_one_line_are_a_failure_record_that_says_so(raw, size):
    raw.but(**size).lattice(2, 2)

    assert "are lines, expected at least 2 of each" in found(raw.root).slices[0].failure


def test_positions_that_are_no_lattice_stop(tmp_path):
    lines = ["dim = 2"]
    for number, (x, y) in enumerate(np.random.default_rng(0).uniform(0, 400, (9, 2))):
        tifffile.imwrite(tmp_path / f"t{number}.tif", np.zeros((40, 40), np.uint16))
        lines.append(f"t{number}.tif; ; ({x}, {y})")
    (tmp_path / "TileConfiguration.txt").write_text("\n".join(lines))

    acquisition = found(tmp_path, pixel_size_um=1.0)

    (problem,) = [p for p in acquisition.stops if p.code == "positions_are_no_lattice"]
    assert "9 of 9 tiles lie more than 0.5 fields of view off any lattice" in problem.message
    assert "position_outlier" not in {p.code for p in acquisition.problems}


@pytest.mark.parametrize("seed", range(60))
def test_a_tiff_with_tags_of_nonsense_is_a_tile_that_is_left_out(tmp_path, seed):
    """A tag that is no number, an extent of 0, a type that does not exist: each broke tifffile."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 900, (20, 30), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a_x0_y0.tif", image, photometric="minisblack", ome=bool(seed % 2))
    content = bytearray((tmp_path / "a_x0_y0.tif").read_bytes())
    first = int.from_bytes(content[4:8], "little")
    n_tags = int.from_bytes(content[first : first + 2], "little")
    content[first + 2 + rng.integers(12 * n_tags)] = rng.integers(256)
    (tmp_path / "a_x0_y0.tif").write_bytes(content)

    (tiles,) = found(tmp_path, pixel_size_um=1.0).slices
    for tile in tiles.used.values():
        with contextlib.suppress(MosaicflowError):
            read_tile(tmp_path, tiles, tile, np.empty(tiles.tile_shape, np.float32))


CELLS = [(0, 0), (0, 1), (1, 0), (1, 1)]


def write_numbered(folder, name):
    """Four tiles of 20 x 30 px, each full of its number from 1."""
    for number, (iy, ix) in enumerate(CELLS):
        path = folder / name.format(n=number, x=ix, y=iy)
        tifffile.imwrite(path, np.full((20, 30), number + 1, np.uint8), photometric="minisblack")


def assert_numbered(tiles, folder):
    assert sorted(tiles.used) == CELLS
    for number, index in enumerate(CELLS):
        assert (pixels(folder, tiles, index) == number + 1).all()


@pytest.mark.parametrize(
    "name", ["a_x{x}_y{y}.tif", "A_Y{y:02d}_X{x:02d}.TIFF", "y{y}-x{x}.tif", "z7 X{x}Y{y}.tif"]
)
def test_indices_in_names_are_found_in_either_order(tmp_path, name):
    write_numbered(tmp_path, name)
    assert_numbered(only_slice(tmp_path, pixel_size_um=1.0), tmp_path)


@pytest.mark.parametrize(
    "listed",
    ['"{n}.tif"', "'{n}.tif'", "file:/home/x/{n}.tif", "file:///C:/a b/{n}.tif", "{n}.tif "],
)
def test_names_in_quotes_and_as_addresses_are_found(tmp_path, listed):
    write_numbered(tmp_path, "{n}.tif")
    lines = [f"{listed.format(n=n)}; ; ({24 * ix}, {16 * iy})" for n, (iy, ix) in enumerate(CELLS)]
    (tmp_path / "TileConfiguration.txt").write_text("\n".join(["dim = 2", *lines]))
    assert_numbered(only_slice(tmp_path, pixel_size_um=1.0), tmp_path)


def test_columns_of_a_table_may_be_written_in_capitals(tmp_path):
    write_numbered(tmp_path, "{n}.tif")
    rows = [f"{n}.tif;{iy};{ix}" for n, (iy, ix) in enumerate(CELLS)]
    (tmp_path / "tile_table.csv").write_text("\n".join(["Path;IY;Ix", *rows]))
    assert_numbered(only_slice(tmp_path, pixel_size_um=1.0), tmp_path)


@pytest.mark.parametrize("name", ["2024010112000{n}7{n}.tif", "img_{n}_4f2{n}e9.tif"])
def test_numbers_of_which_none_fits_name_the_option(tmp_path, name):
    write_numbered(tmp_path, name)
    numbering = TileNumbering("row-by-row", "right-down", "1x3")
    with pytest.raises(MosaicflowError, match="tile_name"):
        found(tmp_path, pixel_size_um=1.0, numbering=numbering).raise_on_stop()


def test_an_image_of_a_file_that_is_listed_but_not_there_is_named_and_the_others_read(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as file:
        for n in range(5):
            file.write(np.full((20, 30), n + 1, np.uint8), photometric="minisblack")
    lines = [f"a.ome.tif; {n}; ({24 * (n % 3)}, {16 * (n // 3)})" for n in range(6)]
    text = "\n".join(["dim = 2", "multiseries = true", *lines])
    (tmp_path / "TileConfiguration.txt").write_text(text)
    acquisition = found(tmp_path, pixel_size_um=1.0)
    assert len(acquisition.slices[0].used) == 5
    assert any("holds no image of number 5" in p.message for p in acquisition.problems)


def test_an_image_that_calls_zero_white_is_said(tmp_path):
    for ix in range(2):
        image = np.full((20, 30), 9, np.uint8)
        tifffile.imwrite(tmp_path / f"x{ix}_y0.tif", image, photometric="miniswhite")
    acquisition = found(tmp_path, pixel_size_um=1.0)
    assert any("calls 0 white" in p.message for p in acquisition.problems)


def test_a_list_in_another_unit_is_no_matter_of_the_stage(tmp_path):
    write_numbered(tmp_path, "{n}.tif")
    lines = [f"{n}.tif; ; ({24000 * ix}, {16000 * iy})" for n, (iy, ix) in enumerate(CELLS)]
    (tmp_path / "TileConfiguration.txt").write_text("\n".join(["dim = 2", *lines]))
    with pytest.raises(InputError, match=r"units differ.*list of tiles, whose positions are in px"):
        found(tmp_path, pixel_size_um=1.0).raise_on_stop()
