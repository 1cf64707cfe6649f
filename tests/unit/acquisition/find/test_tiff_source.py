import numpy as np
import pytest
import tifffile

from mosaicflow.acquisition.discover import discover
from mosaicflow.acquisition.find.tiff_files import read_tiff_header, read_tiff_planes
from mosaicflow.acquisition.read.reading import read_tile
from mosaicflow.acquisition.settings import InspectSettings
from mosaicflow.acquisition.tile_numbers import TileNumbering
from mosaicflow.errors import FormatError, InputError

PITCH = 2.5
STEP = 80  # px between tiles of 100 px


def image(path, value=0, shape=(100, 100), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, np.full(shape, value, np.uint16), **options)


@pytest.fixture
def tiles(tmp_path):
    """Twelve numbered tiles, boustrophedon from the upper right, the last row not listed."""
    root = tmp_path / "tiles"
    path = TileNumbering("snake-by-rows", "left-down", "4x3").path
    lines = ["dim = 2"]
    for rank in range(12):
        iy, ix = path.index(rank)
        image(root / f"b_{rank + 1:04d}.tif", value=10 * iy + ix)
        if iy < 3:
            lines.append(f"b_{rank + 1:04d}.tif; ; ({STEP * ix}.0, {STEP * iy}.0)")
    (root / "TileConfiguration.txt").write_text("\n".join(lines))
    return root


def found(root, **settings):
    settings = {"pixel_size_um": PITCH} | settings
    return discover(root, InspectSettings(**settings))


def values(acquisition, root):
    (tiles,) = acquisition.slices
    return {i: int(tifffile.imread(root / t.path)[0, 0]) for i, t in tiles.used.items()}


def test_listed_tiles_are_placed_and_the_others_named(tiles):
    acquisition = found(tiles)
    (piece,) = acquisition.slices

    assert values(acquisition, tiles) == {
        (iy, ix): 10 * iy + ix for iy in range(3) for ix in range(3)
    }
    assert (piece.positions, piece.tile_shape) == ("file", (1, 100, 100))
    unplaced = [tile for tile in piece.tiles if tile.status == "unplaced"]
    assert [tile.path for tile in unplaced] == ["b_0010.tif", "b_0011.tif", "b_0012.tif"]
    assert all("not listed in TileConfiguration.txt" in tile.problem for tile in unplaced)
    np.testing.assert_allclose(piece.used[1, 2].centre_mm, (0.325, 0.525))


def test_with_a_running_number_all_are_placed(tiles):
    numbering = TileNumbering("snake-by-rows", "left-down", "4x3")

    acquisition = found(tiles, numbering=numbering)
    (piece,) = acquisition.slices

    assert values(acquisition, tiles) == {
        (iy, ix): 10 * iy + ix for iy in range(4) for ix in range(3)
    }
    assert acquisition.problems == ()
    assert piece.used[3, 0].position_source == "nominal"
    assert piece.used[2, 0].position_source == "file"
    np.testing.assert_allclose(piece.used[3, 0].centre_mm, (0.725, 0.125))


def test_numbers_that_contradict_the_positions_stop(tiles):
    numbering = TileNumbering("row-by-row", "right-down", "4x3")

    with pytest.raises(InputError, match="check tile_pattern"):
        found(tiles, numbering=numbering).raise_on_stop()


def test_numbers_alone_give_nominal_positions(tiles):
    (tiles / "TileConfiguration.txt").unlink()

    acquisition = found(tiles, numbering=TileNumbering("snake-by-rows", "left-down", "4x3"))

    assert len(acquisition.slices[0].used) == 12
    assert acquisition.slices[0].positions == "nominal"


def test_only_the_exact_configuration_name_is_read(tiles):
    (tiles / "TileConfiguration.txt").rename(tiles / "TileConfiguration.registered.txt")

    unnamed = found(tiles)
    named = found(tiles, positions_file=tiles / "TileConfiguration.registered.txt")

    assert unnamed.slices[0].used == {}
    assert "12 of 12 tiles cannot be used, 12 of them without a place" in unnamed.slices[0].failure
    assert "the first: no position" in unnamed.slices[0].failure
    assert len(named.slices[0].used) == 9


def test_a_listed_file_that_does_not_exist_counts(tiles):
    (tiles / "b_0005.tif").unlink()

    (piece,) = found(tiles).slices

    assert [t.problem for t in piece.tiles if t.status == "skipped"] == [
        "is listed with a position but does not exist"
    ]
    assert len(piece.tiles) == 12


def test_names_with_indices_need_nothing_else(tmp_path):
    for y in range(2):
        for x in range(3):
            image(tmp_path / f"scan_x{x}_y{y}.tif")

    assert sorted(found(tmp_path).slices[0].used) == [(y, x) for y in range(2) for x in range(3)]


def test_sub_folders_are_slices(tmp_path):
    for z in (2, 10):
        for x in range(2):
            image(
                tmp_path / f"z{z:02d}" / f"x{x}_y0.tif", shape=(4, 20, 30), photometric="minisblack"
            )

    slices = found(tmp_path).slices

    assert [piece.slice_id for piece in slices] == [2, 10]
    assert slices[0].tile_shape == (4, 20, 30)


def test_without_a_pitch_the_option_is_named(tmp_path):
    image(tmp_path / "x0_y0.tif")

    with pytest.raises(InputError, match=r"x0_y0.tif: .*--pixel_size_um"):
        found(tmp_path, pixel_size_um=None).raise_on_stop()


@pytest.mark.parametrize(
    ("options", "pitch"),
    [
        ({"imagej": True, "resolution": (0.4, 0.5), "metadata": {"unit": "um"}}, (None, 2.0, 2.5)),
        (
            {"imagej": True, "resolution": (2, 2), "metadata": {"unit": "mm", "spacing": 0.01}},
            (10.0, 500.0, 500.0),
        ),
        ({"resolution": (4000, 4000), "resolutionunit": "CENTIMETER"}, (None, 2.5, 2.5)),
        ({"resolution": (72, 72), "resolutionunit": "INCH"}, (None, None, None)),
        (
            {
                "ome": True,
                "metadata": {
                    "axes": "YX",
                    "PhysicalSizeX": 500,
                    "PhysicalSizeXUnit": "nm",
                    "PhysicalSizeY": 0.7,
                    "PhysicalSizeYUnit": "µm",
                },
            },
            (None, 0.7, 0.5),
        ),
    ],
)
def test_the_pitch_is_read_from_the_file(tmp_path, options, pitch):
    path = tmp_path / ("a.ome.tif" if options.get("ome") else "a.tif")
    image(path, **options)

    assert read_tiff_header(path).pitch_um == pytest.approx(pitch)


def test_planes_are_the_depth(tmp_path):
    stack = np.arange(3 * 4 * 5, dtype=np.uint16).reshape(3, 4, 5)
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack")

    np.testing.assert_array_equal(read_tiff_planes(tmp_path / "a.tif"), stack)


@pytest.mark.parametrize("dtype", ["u1", "u2", ">u2", "i2", "f4", "f8"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bigtiff": True},
        {"compression": "adobe_deflate"},
        {"compression": "adobe_deflate", "rowsperstrip": 3},
        {"tile": (16, 16)},
    ],
)
def test_kinds_of_files_that_need_no_other_package(tmp_path, dtype, options):
    stack = np.arange(2 * 20 * 24).reshape(2, 20, 24).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack", **options)

    np.testing.assert_array_equal(read_tiff_planes(tmp_path / "a.tif"), stack)


def test_an_imagej_stack_is_depth_with_its_spacing(tmp_path):
    stack = np.arange(3 * 8 * 9, dtype=np.uint16).reshape(3, 8, 9)
    metadata = {"axes": "ZYX", "spacing": 2.0, "unit": "um"}
    tifffile.imwrite(
        tmp_path / "a.tif", stack, imagej=True, metadata=metadata, resolution=(2.0, 4.0)
    )

    assert read_tiff_header(tmp_path / "a.tif").pitch_um == pytest.approx((2.0, 0.25, 0.5))
    np.testing.assert_array_equal(read_tiff_planes(tmp_path / "a.tif"), stack)


@pytest.mark.parametrize(
    ("tag", "value", "match"),
    [
        ("Compression", 5, "compressed with LZW"),
        ("Compression", 50000, "compressed with ZSTD"),
        ("Predictor", 3, "floating-point predictor"),
    ],
)
def test_a_codec_that_needs_another_package_names_it_before_any_work(
    tmp_path, monkeypatch, tag, value, match
):
    stack = np.zeros((20, 24), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", stack, compression="adobe_deflate", predictor=2)
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as file:
        file.pages.first.tags[tag].overwrite(value)
    monkeypatch.setattr("mosaicflow.acquisition.find.tiff_files.find_spec", lambda name: None)

    with pytest.raises(FormatError, match=rf"{match}.*pip install.*\[images\]"):
        read_tiff_header(tmp_path / "a.tif")


@pytest.fixture
def plane_folders(tmp_path):
    """Two tiles, each a folder of twelve planes whose names sort wrongly as text."""
    root = tmp_path / "planes"
    for x in range(2):
        for z in range(12):
            image(root / f"tile_x{x}_y0" / f"z{z}.tif", value=100 * x + z, shape=(10, 12))
    return root


def test_a_folder_with_one_image_per_plane_is_a_tile(plane_folders):
    (piece,) = found(plane_folders).slices
    assert (piece.grid_shape, piece.tile_shape) == ((1, 2), (12, 10, 12))

    tile = np.empty(piece.tile_shape, np.float32)
    read_tile(plane_folders, piece, piece.used[0, 1], tile)

    assert tile[:, 3, 4].tolist() == [100 + z for z in range(12)]


def test_a_plane_of_another_size_is_named_when_it_is_read(plane_folders):
    image(plane_folders / "tile_x1_y0" / "z7.tif", shape=(9, 12))
    (piece,) = found(plane_folders).slices

    with pytest.raises(FormatError, match=r"9 x 12 px in z7.tif; expected 12 of 10 x 12 px"):
        read_tile(plane_folders, piece, piece.used[0, 1], np.empty(piece.tile_shape, np.float32))


def test_plane_folders_may_lie_in_slice_folders_and_in_a_table(plane_folders):
    (plane_folders / "z03").mkdir()
    for x in range(2):
        (plane_folders / f"tile_x{x}_y0").rename(plane_folders / "z03" / f"tile_x{x}_y0")
    (piece,) = found(plane_folders).slices
    assert (piece.slice_id, len(piece.used)) == (3, 2)

    rows = [f"z03/tile_x{x}_y0,5,0,{x}" for x in range(2)]
    table = plane_folders / "tile_table.csv"
    table.write_text("\n".join(["path,slice,iy,ix", *rows]))
    (piece,) = found(plane_folders).slices
    assert (piece.slice_id, piece.tile_shape, len(piece.used)) == (5, (12, 10, 12), 2)


def test_an_empty_plane_makes_its_tile_unusable(plane_folders):
    (plane_folders / "tile_x1_y0" / "z7.tif").write_bytes(b"")

    (piece,) = found(plane_folders, max_missing_fraction=1.0).slices

    assert [t.problem for t in piece.tiles if t.status == "skipped"] == ["z7.tif has no bytes"]


def test_what_is_no_image_is_refused(tmp_path):
    (tmp_path / "text.tif").write_text("no image")
    tifffile.imwrite(tmp_path / "complex.tif", np.zeros((8, 8), np.complex64))

    with pytest.raises(FormatError, match="is not a usable TIFF"):
        read_tiff_header(tmp_path / "text.tif")
    with pytest.raises(FormatError, match=r"holds complex64 samples.*save the magnitude"):
        read_tiff_header(tmp_path / "complex.tif")


def test_a_damaged_image_is_skipped(tiles):
    (tiles / "b_0005.tif").write_bytes(b"II*\0")

    (piece,) = found(tiles).slices

    assert [t.path for t in piece.tiles if t.status == "skipped"] == ["b_0005.tif"]
    assert len(piece.used) == 8


def test_a_tile_of_complex_numbers_is_skipped_with_the_reason(tiles):
    tifffile.imwrite(tiles / "b_0005.tif", np.zeros((100, 100), np.complex64))

    (piece,) = found(tiles).slices

    (lost,) = [tile for tile in piece.tiles if tile.status == "skipped"]
    assert lost.path == "b_0005.tif"
    assert "complex64" in lost.problem
    assert len(piece.used) == 8


@pytest.mark.parametrize(
    ("size_um", "is_right"), [(0.0005, True), (0.01, True), (5e-6, False), (2000.0, False)]
)
def test_pixels_of_electron_microscopes_are_right_and_nonsense_names_the_option(
    tmp_path, size_um, is_right
):
    for ix in range(2):
        tifffile.imwrite(tmp_path / f"a_x{ix}_y0.tif", np.full((20, 30), ix, np.uint8))
    found = discover(tmp_path, InspectSettings(pixel_size_um=size_um))
    if is_right:
        found.raise_on_stop()
        assert found.slices[0].pitch_um == (size_um, size_um, size_um)
        return
    with pytest.raises(InputError, match=r"pitch along the fast axis.*--pixel_size_um"):
        found.raise_on_stop()
