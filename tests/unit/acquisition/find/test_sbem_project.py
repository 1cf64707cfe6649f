"""Projects of SBEMimage: the program's own image lists say where each tile of each cut lies.

The lines are those of its documentation, and of a real project (tests/data/SOURCE.txt).
"""

import numpy as np
import pytest
import tifffile
from PIL import Image

from mosaicflow.acquisition.discover import discover
from mosaicflow.acquisition.read.reading import read_tile
from mosaicflow.acquisition.settings import InspectSettings
from mosaicflow.errors import InputError

RNG = np.random.default_rng(3)
STEP_PX = (30, 36)  # of tiles of 40 x 48 px
PIXEL_NM, SECTION_NM = 7.5, 25
CORNER_NM = (-398553, 147855)
SESSION = (
    "SESSION: {{'timestamp': 1609707781, 'eht': 1.5, 'slice_thickness': 25, 'grids': {grids}, "
    "'grid_origins': [[-238.719, -419.024]], 'rotation_angles': {angles}, 'pixel_sizes': {pixels}, "
    "'email_addresses: ': ['a@b.ch', '']}}\n"
)


def write_project(root, *, grid=0, suffix="tif", angle=0.0, cuts=(314, 315), line="{}"):
    """Two cuts of 2 x 3 tiles, numbered as the program does: of 4 columns, the last not taken."""
    logs = root / "meta" / "logs"
    logs.mkdir(parents=True)
    images, lines = {}, []
    for cut, (iy, ix) in [(c, p) for c in cuts for p in np.ndindex(2, 3)]:
        name = (
            f"tiles/g{grid:04d}/t{4 * iy + ix:04d}/brain_g{grid:04d}_t{4 * iy + ix:04d}_s{cut:05d}"
        )
        image = RNG.integers(0, 255, (40, 48), dtype=np.uint8)
        path = root / f"{name}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if suffix == "tif":
            tifffile.imwrite(path, image)
        else:
            Image.fromarray(image).save(path)
        images[cut, iy, ix] = image
        y_nm = round(CORNER_NM[0] + iy * STEP_PX[0] * PIXEL_NM)
        x_nm = round(CORNER_NM[1] + ix * STEP_PX[1] * PIXEL_NM)
        windows = f"{name}.{suffix}".replace("/", "\\")
        lines.append(line.format(f"{windows};{x_nm};{y_nm};{cut * SECTION_NM};{cut}"))
    (logs / "imagelist_2020-06-0210021236.txt").write_text("\r\n".join(lines) + "\r\n")
    (logs / "metadata_2020-06-0210021236.txt").write_text(
        SESSION.format(
            grids=["0000", "0001"], angles=[angle, 90.0 - angle], pixels=[PIXEL_NM, PIXEL_NM]
        )
    )
    return images


@pytest.mark.parametrize("suffix", ["tif", "png", "bmp"])
def test_each_tile_of_each_cut_lies_where_the_image_list_says(tmp_path, suffix):
    images = write_project(tmp_path, suffix=suffix)
    (tmp_path / "overviews").mkdir()
    Image.new("L", (9, 9)).save(tmp_path / "overviews" / "brain_ov000_s00314.png")
    acquisition = discover(tmp_path, InspectSettings())
    acquisition.raise_on_stop()
    assert [tiles.slice_id for tiles in acquisition.slices] == [314, 315]
    for tiles in acquisition.slices:
        assert tiles.positions == "stage"
        assert tiles.pitch_um == pytest.approx((0.025, 0.0075, 0.0075))
        assert len(tiles.used) == 6
        for (iy, ix), tile in tiles.used.items():
            found = np.empty(tiles.tile_shape, np.float32)
            read_tile(tmp_path, tiles, tile, found)
            np.testing.assert_array_equal(found[0], images[tiles.slice_id, iy, ix])
            y_nm = CORNER_NM[0] + (iy * STEP_PX[0] + 20) * PIXEL_NM
            x_nm = CORNER_NM[1] + (ix * STEP_PX[1] + 24) * PIXEL_NM
            assert tile.centre_mm == pytest.approx((y_nm * 1e-6, x_nm * 1e-6), abs=1e-6)
            assert tile.z_mm == pytest.approx(tiles.slice_id * SECTION_NM * 1e-6)


def test_a_tile_that_was_taken_again_counts_once_and_an_absent_one_is_named(tmp_path):
    write_project(tmp_path, cuts=(7,))
    logs = tmp_path / "meta" / "logs"
    first = (logs / "imagelist_2020-06-0210021236.txt").read_text().splitlines()
    again = [first[0], first[1].replace("t0001", "t0003").replace("148125", "148665")]
    (logs / "imagelist_2020-06-0310021236.txt").write_text("\n".join(again))
    acquisition = discover(tmp_path, InspectSettings(pixel_size_um=PIXEL_NM / 1000))
    (tiles,) = acquisition.slices
    assert len(tiles.used) == 6
    (absent,) = [p for p in acquisition.problems if p.action == "skip"]
    assert "t0003" in absent.path
    assert "No such file" in absent.message


def test_without_its_notes_the_pixel_size_is_asked_for(tmp_path):
    write_project(tmp_path, suffix="png")
    (tmp_path / "meta/logs/metadata_2020-06-0210021236.txt").unlink()
    with pytest.raises(InputError, match="pixel_size_um"):
        discover(tmp_path, InspectSettings()).raise_on_stop()
    discover(tmp_path, InspectSettings(pixel_size_um=0.0075)).raise_on_stop()


def test_a_grid_that_was_turned_and_several_grids_are_named(tmp_path):
    write_project(tmp_path / "turned", angle=15.0)
    with pytest.raises(InputError, match=r"grid 0 was turned by 15 deg.*tile_table"):
        discover(tmp_path / "turned", InspectSettings())
    write_project(tmp_path / "two")
    lines = tmp_path / "two/meta/logs/imagelist_2020-06-0210021236.txt"
    text = lines.read_text()
    lines.write_text(text + text.replace("g0000", "g0001"))
    with pytest.raises(InputError, match="of the grids 0, 1, expected one"):
        discover(tmp_path / "two", InspectSettings())


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("{};9", "expected a path, x, y, z in nm and the slice"),
        ("x{}nan", "expected a path, x, y, z"),
        ("..\\{}", "expected tiles/gN/tN/NAME"),
        ("C:\\{}", None),
        ("/{}", "expected tiles/gN/tN/NAME"),
        ("\\0{}", None),
    ],
)
def test_lines_that_are_none_name_themselves(tmp_path, line, match):
    write_project(tmp_path, line=line)
    if match is None:  # a path that is not there: every tile is absent, and said to be
        with pytest.raises(InputError):
            discover(tmp_path, InspectSettings()).raise_on_stop()
        return
    with pytest.raises(InputError, match=rf"imagelist_.*, line 1: .*{match}"):
        discover(tmp_path, InspectSettings())


@pytest.mark.parametrize(
    "session",
    ["SESSION: {'grids': [", "SESSION: " + "(" * 9999, "SESSION: 7", "SESSION: {'grids':['x']}"],
)
def test_notes_that_cannot_be_read_are_named(tmp_path, session):
    write_project(tmp_path)
    (tmp_path / "meta/logs/metadata_2020-06-0210021236.txt").write_text(session)
    with pytest.raises(InputError, match=r"metadata_.*SESSION cannot be read"):
        discover(tmp_path, InspectSettings())


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("tile_0.oct", "Thorlabs .oct files are not read: export"),
        ("MosaicInfo_1.ve-mif", "ATLAS mosaics are not read: list"),
        ("brain.a5proj", "ATLAS projects are not read: list"),
    ],
)
def test_kinds_that_people_ask_for_and_that_are_not_read_say_what_to_do(tmp_path, name, match):
    (tmp_path / name).write_bytes(b"PK\3\4" + bytes(30))
    with pytest.raises(InputError, match=match):
        discover(tmp_path, InspectSettings())
    (tmp_path / "tile_table.csv").write_text(f"path,iy,ix\n{name},0,0\n")
    with pytest.raises(InputError, match=match):
        discover(tmp_path, InspectSettings(pixel_size_um=1.0)).raise_on_stop()
