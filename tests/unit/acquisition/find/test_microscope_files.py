"""Tiles of microscopes and of other programs: sizes, values, places, and what is said of the rest.

Real files: those that nibabel and scipy install with their own tests, and what
tests/data/SOURCE.txt lists. CZI files are written here as real ones are (see `write_czi`).
"""

import contextlib
import json
import struct
from importlib.util import find_spec
from pathlib import Path

import nibabel
import numpy as np
import pytest
import scipy.io
import scipy.io.matlab
import tifffile
import zarr

from mosaicflow.acquisition.discover import discover
from mosaicflow.acquisition.image_sources import source_of
from mosaicflow.acquisition.read.reading import read_tile
from mosaicflow.acquisition.settings import InspectSettings
from mosaicflow.acquisition.tile_numbers import TileNumbering
from mosaicflow.errors import FormatError
from mosaicflow.io.zarr import save_omezarr

DATA = Path(__file__).parents[3] / "data"
RNG = np.random.default_rng(7)
IMAGES = RNG.integers(0, 4000, (2, 3, 4, 20, 30), dtype=np.uint16)  # iy, ix, z, y, x
STEP_PX = (16, 24)


def needs(package):
    return pytest.mark.skipif(find_spec(package) is None, reason=f"{package} is not installed")


def listed_and_read(path):
    source = source_of(path.name)
    tiles = source.list_tiles(path)
    planes = [source.read_planes(path, tile.item) for tile in tiles]
    for tile in tiles:
        for channel in range(1, len(tile.header.channels)):
            assert source.read_planes(path, tile.item, channel).shape == planes[0].shape
    for tile, voxels in zip(tiles, planes, strict=True):
        assert voxels.shape == (tile.header.n_z, tile.header.n_y, tile.header.n_x)
    return tiles, planes


def in_the_grid(raw, **settings):
    """All tiles of the only slice as the grid gets them, by lattice index."""
    acquisition = discover(raw, InspectSettings(**settings))
    acquisition.raise_on_stop()
    (tiles,) = acquisition.slices
    found = {}
    for index, tile in tiles.used.items():
        found[index] = np.empty(tiles.tile_shape, np.float32)
        read_tile(raw, tiles, tile, found[index])
    return tiles, found


def assert_all_in_place(found, images=IMAGES):
    assert len(found) == images.shape[0] * images.shape[1]
    for (iy, ix), voxels in found.items():
        np.testing.assert_array_equal(voxels, images[iy, ix])


# The eight ways through a lattice: which axis is walked first, and both directions.
WAYS = [
    (pattern, f"{across}-{down}")
    for pattern in ("row-by-row", "snake-by-columns")
    for across in ("right", "left")
    for down in ("down", "up")
]


def walk(pattern, order, n_rows, n_columns):
    """Lattice indices in the order in which a microscope that goes this way meets them."""
    rows = range(n_rows) if "down" in order else range(n_rows - 1, -1, -1)
    columns = range(n_columns) if "right" in order else range(n_columns - 1, -1, -1)
    if pattern == "row-by-row":
        return [(iy, ix) for iy in rows for ix in columns]
    lines = [[(iy, ix) for iy in rows] for ix in columns]
    return [place for k, line in enumerate(lines) for place in (line[::-1] if k % 2 else line)]


def write_nifti(path, planes):
    image = nibabel.Nifti1Image(planes.T, np.diag([0.002, 0.002, 0.005, 1]))
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)


def write_mat(path, planes):
    scipy.io.savemat(path, {"tile": planes.transpose(1, 2, 0), "gain": 2.0}, do_compression=True)


def write_mat73(path, planes):
    import h5py

    with h5py.File(path, "w", userblock_size=512) as file:
        file["tile"] = planes.transpose(1, 2, 0).T  # as MATLAB: axes turned round
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64")


@pytest.mark.parametrize(("pattern", "order"), WAYS)
@pytest.mark.parametrize(
    ("suffix", "write"), [("nii.gz", write_nifti), ("mat", write_mat), ("mat", write_mat73)]
)
def test_numbered_tiles_are_placed_in_all_eight_orders(tmp_path, pattern, order, suffix, write):
    for number, (iy, ix) in enumerate(walk(pattern, order, 2, 3)):
        write(tmp_path / f"tile_{number:03d}.{suffix}", IMAGES[iy, ix])
    size = {} if suffix == "nii.gz" else {"pixel_size_um": 2.0, "axial_resolution_um": 5.0}
    tiles, found = in_the_grid(
        tmp_path, numbering=TileNumbering(pattern=pattern, order=order, grid="2x3"), **size
    )
    assert_all_in_place(found)
    assert tiles.pitch_um == (5.0, 2.0, 2.0)


def test_a_real_nifti_file_has_its_pitch_and_its_scaled_values():
    """Of nibabel: 2 mm, scaled int16, big-endian."""
    path = Path(nibabel.__file__).parent / "tests" / "data" / "anatomical.nii"
    (tile,), (voxels,) = listed_and_read(path)
    assert tile.header.pitch_um == (2000.0, 2000.0, 2000.0)
    np.testing.assert_array_equal(voxels, nibabel.load(path).get_fdata().T)


@pytest.mark.parametrize("version", ["4.2c_SOL2", "6.1_SOL2", "6.5.1_GLNX86", "7.4_GLNX86"])
def test_real_matlab_files_have_rows_along_y(version):
    """Of scipy, written by MATLAB: a matrix of 3 rows and 5 columns, ones on its diagonal."""
    path = Path(scipy.io.matlab.__file__).parent / f"tests/data/testmatrix_{version}.mat"
    (tile,), (voxels,) = listed_and_read(path)
    assert (tile.header.n_z, tile.header.n_y, tile.header.n_x) == (1, 3, 5)
    np.testing.assert_array_equal(voxels[0], scipy.io.loadmat(path)["testmatrix"])


def test_a_real_matlab_volume_has_its_pages_as_planes():
    path = Path(scipy.io.matlab.__file__).parent / "tests/data/test3dmatrix_7.4_GLNX86.mat"
    _, (voxels,) = listed_and_read(path)
    # MATLAB counts down the columns, then along the rows, then the pages.
    np.testing.assert_array_equal(voxels, np.arange(1, 25).reshape(4, 3, 2).transpose(0, 2, 1))


def test_every_matlab_file_of_scipy_is_read_or_refused():
    for path in sorted((Path(scipy.io.matlab.__file__).parent / "tests/data").glob("*.mat")):
        with contextlib.suppress(FormatError):  # anything else fails the test
            listed_and_read(path)


def test_two_arrays_of_the_same_size_are_no_tile(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", {"left": np.ones((4, 5)), "right": np.ones((4, 5))})
    with pytest.raises(FormatError, match=r"same size: left, right.*file of its own"):
        source_of("a.mat").list_tiles(tmp_path / "a.mat")


@pytest.mark.parametrize(
    ("suffix", "write"),
    [("nii", write_nifti), ("nii.gz", write_nifti), ("mat", write_mat), ("mat", write_mat73)],
)
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9, 0.99])
def test_files_that_were_cut_are_refused(tmp_path, suffix, write, share):
    path = tmp_path / f"a.{suffix}"
    write(path, IMAGES[0, 0])
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(FormatError):
        listed_and_read(path)


@pytest.mark.parametrize(("at", "value"), [(70, 36), (70, 1536), (42, -9), (108, -1), (40, 99)])
def test_a_nifti_with_a_header_of_nonsense_is_refused(tmp_path, at, value):
    """Type of the voxels, an extent, the place of the data, the number of axes."""
    write_nifti(tmp_path / "a.nii", IMAGES[0, 0])
    content = bytearray((tmp_path / "a.nii").read_bytes())
    struct.pack_into("<f" if at == 108 else "<h", content, at, value)
    (tmp_path / "a.nii").write_bytes(content)
    with pytest.raises(FormatError):
        listed_and_read(tmp_path / "a.nii")


@pytest.mark.parametrize("code", [0, 4, 80])
def test_a_nifti_without_a_known_unit_asks_for_the_pixel_size(tmp_path, code):
    image = nibabel.Nifti1Image(IMAGES[0, 0].T, np.eye(4))
    image.header["xyzt_units"] = code
    nibabel.save(image, tmp_path / "tile_1.nii")
    (tile,) = source_of("a.nii").list_tiles(tmp_path / "tile_1.nii")
    assert tile.header.pitch_um == (None, None, None)
    assert "names no unit" in tile.header.notes[0]


def write_store(path, planes, corner_um=None):
    save_omezarr(planes, path, (0.005, 0.002, 0.002), chunks=(2, 16, 16))
    if corner_um is not None:
        _translate(path, corner_um)


def _translate(path, corner_um):
    file = path / ".zattrs"
    attributes = json.loads(file.read_text())
    for dataset in attributes["multiscales"][0]["datasets"]:
        dataset["coordinateTransformations"] = [
            dataset["coordinateTransformations"][0],
            {"type": "translation", "translation": [0.0, *corner_um]},
        ]
    file.write_text(json.dumps(attributes))


def test_stores_of_one_position_each_are_placed_by_their_translation(tmp_path):
    for number, (iy, ix) in enumerate([(1, 2), (0, 0), (1, 0), (0, 1), (1, 1), (0, 2)]):
        corner_um = (100 + 2 * iy * STEP_PX[0], -40 + 2 * ix * STEP_PX[1])
        write_store(tmp_path / f"position{number}.zarr", IMAGES[iy, ix], corner_um)
    tiles, found = in_the_grid(tmp_path)
    assert_all_in_place(found)
    assert tiles.positions == "stage"
    assert tiles.pitch_um == (5.0, 2.0, 2.0)
    # the middle between the first and the last of 20 rows and 30 columns
    assert tiles.used[0, 0].centre_mm == pytest.approx((0.119, -0.011))


def test_stores_that_all_lie_at_one_place_are_placed_by_their_names(tmp_path):
    """Many writers put a translation of zero where they do not know the stage."""
    for iy, ix in np.ndindex(2, 3):
        write_store(tmp_path / f"x{ix}_y{iy}.zarr", IMAGES[iy, ix], (0.0, 0.0))
    tiles, found = in_the_grid(tmp_path)
    assert_all_in_place(found)
    assert tiles.positions == "nominal"


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_fields_of_a_plate_are_tiles(tmp_path, version):
    """As iohub 0.2 writes positions (compared with a plate that it wrote), and fractal."""
    plate = {"wells": [{"path": "A/1"}], "rows": [{"name": "A"}], "columns": [{"name": "1"}]}
    _write_group(tmp_path / "plate.zarr", {"plate": plate}, version)
    _write_group(tmp_path / "plate.zarr/A", {}, version)
    images = [{"path": str(k)} for k in range(6)]
    _write_group(tmp_path / "plate.zarr/A/1", {"well": {"images": images}}, version)
    for number, (iy, ix) in enumerate(np.ndindex(2, 3)):
        other = np.zeros_like(IMAGES[iy, ix])
        corner = [0.0, 0.0, 7.0, 2.0 * iy * STEP_PX[0], 2.0 * ix * STEP_PX[1]]
        field = tmp_path / f"plate.zarr/A/1/{number}"
        axes = [{"name": "t", "type": "time"}, {"name": "c", "type": "channel"}]
        axes += [{"name": a, "type": "space", "unit": "micrometer"} for a in "zyx"]
        transforms = [
            {"type": "scale", "scale": [1.0, 1.0, 5.0, 2.0, 2.0]},
            {"type": "translation", "translation": corner},
        ]
        entry = {"axes": axes, "version": version,
                 "datasets": [{"path": "0", "coordinateTransformations": transforms}]}  # fmt: skip
        _write_group(field, {"multiscales": [entry]}, version)
        zarr.save_array(
            str(field / "0"), np.stack([IMAGES[iy, ix], other])[None],
            zarr_format=2 if version == "0.4" else 3,
        )  # fmt: skip
    tiles, found = in_the_grid(tmp_path)
    assert_all_in_place(found)
    assert tiles.positions == "stage"
    assert {tile.item for tile in tiles.tiles} == {f"A/1/{k}" for k in range(6)}
    assert not source_of("a.zarr").read_planes(tmp_path / "plate.zarr", "A/1/0", 1).any()
    assert all(f.name.startswith(f"{tile.item}/") for tile in tiles.tiles for f in tile.files)


def _write_group(path, attributes, version):
    path.mkdir()
    if version == "0.4":
        (path / ".zgroup").write_text('{"zarr_format": 2}')
        (path / ".zattrs").write_text(json.dumps(attributes))
    else:
        attributes = {"ome": {"version": "0.5", **attributes}}
        group = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
        (path / "zarr.json").write_text(json.dumps(group))


def test_a_store_whose_unit_nobody_gave_asks_for_the_pixel_size(tmp_path):
    write_store(tmp_path / "a.zarr", IMAGES[0, 0])
    file = tmp_path / "a.zarr" / ".zattrs"
    file.write_text(file.read_text().replace("micrometer", "parrot"))
    (tile,) = source_of("a.zarr").list_tiles(tmp_path / "a.zarr")
    assert tile.header.pitch_um == (None, None, None)
    assert any("unit" in note for note in tile.header.notes)


def test_results_beside_tiles_are_no_tiles(tmp_path):
    write_store(tmp_path / "stitched.ome.zarr", IMAGES[0, 0])
    write_mat(tmp_path / "calibration.mat", IMAGES[0, 0])
    for ix in range(3):
        tifffile.imwrite(tmp_path / f"a_x{ix}_y0.tif", IMAGES[0, ix], photometric="minisblack")
    tiles, _ = in_the_grid(tmp_path, pixel_size_um=1.0, axial_resolution_um=1.0)
    assert [tile.path for tile in tiles.tiles] == [f"a_x{ix}_y0.tif" for ix in range(3)]


def write_czi(path, tiles, *, stage_um=None, pitch_um=2.0):
    """Write fields of view as ZEN does: a segment per plane, a directory, the XML.

    `tiles` has (x, y in pixels, planes) by field; laid out after the public description of the
    format and a scan of seven fields of 300 x 400 pixels (tests/data/SOURCE.txt).
    """
    segments, entries, place = [], [], 544
    for field, (x, y, planes) in enumerate(tiles):
        for z, plane in enumerate(planes):
            for channel, pixels in enumerate((plane, plane * 0)):
                sizes = {"M": (field, 1), "C": (channel, 1), "Z": (z, 1),
                         "Y": (y, plane.shape[0]), "X": (x, plane.shape[1])}  # fmt: skip
                dimensions = b"".join(
                    struct.pack("<4siifi", axis.encode(), start, size, 0.0, size)
                    for axis, (start, size) in sizes.items()
                )
                entry = struct.pack("<2siqiiB5si", b"DV", 1, place, 0, 0, 0, b"", len(sizes))
                entry += dimensions
                xml = b""
                if stage_um is not None:
                    xml = (f"<METADATA><Tags><StageXPosition>{stage_um[1]}</StageXPosition>"
                           f"<StageYPosition>{stage_um[0]}</StageYPosition></Tags></METADATA>"
                           ).encode()  # fmt: skip
                data = pixels.astype("<u2").tobytes()
                head = struct.pack("<iiq", len(xml), 0, len(data)) + entry
                segment = _segment(b"ZISRAWSUBBLOCK", head.ljust(256, b"\0") + xml + data)
                segments.append(segment)
                entries.append(entry)
                place += len(segment)
    directory = struct.pack("<i124x", len(entries)) + b"".join(entries)
    directory = _segment(b"ZISRAWDIRECTORY", directory)
    scale = "".join(
        f'<Distance Id="{a}"><Value>{v * 1e-6}</Value></Distance>'
        for a, v in (("X", pitch_um), ("Y", pitch_um), ("Z", 5.0))
    )
    text = f"<Metadata><Scaling><Items>{scale}</Items></Scaling></Metadata>"
    text = f"<ImageDocument>{text}</ImageDocument>"
    xml = _segment(b"ZISRAWMETADATA", struct.pack("<ii248x", len(text), 0) + text.encode())
    header = struct.pack("<iiii16s16siqqiq", 1, 0, 0, 0, b"", b"", 0, place,
                         place + len(directory), 0, 0)  # fmt: skip
    file = _segment(b"ZISRAWFILE", header.ljust(512, b"\0"))
    path.write_bytes(file + b"".join(segments) + directory + xml)


def _segment(name, content):
    return struct.pack("<16sqq", name, len(content), len(content)) + content


@needs("czifile")
def test_fields_of_a_czi_scan_lie_where_the_scan_counts_them(tmp_path):
    tiles = [
        (118583 + ix * STEP_PX[1], 88865 + iy * STEP_PX[0], IMAGES[iy, ix])
        for iy in range(2)
        for ix in (range(3) if iy % 2 == 0 else range(2, -1, -1))
    ]
    write_czi(tmp_path / "section.czi", tiles)
    slice_tiles, found = in_the_grid(tmp_path)
    assert_all_in_place(found)
    assert slice_tiles.positions == "stage"
    assert slice_tiles.pitch_um == (5.0, 2.0, 2.0)
    assert slice_tiles.used[0, 0].centre_mm == pytest.approx((2 * 88.875, 2 * 118.598))
    assert slice_tiles.channels == ("channel 0", "channel 1")
    assert not source_of("a.czi").read_planes(tmp_path / "section.czi", "S0M0", 1).any()


@needs("czifile")
def test_czi_files_of_one_field_lie_where_the_stage_was(tmp_path):
    for number, (iy, ix) in enumerate(np.ndindex(2, 3)):
        stage = (35500 + 2 * iy * STEP_PX[0], 49500 + 2 * ix * STEP_PX[1])
        write_czi(tmp_path / f"field{5 - number}.czi", [(0, 0, IMAGES[iy, ix])], stage_um=stage)
    tiles, found = in_the_grid(tmp_path)
    assert_all_in_place(found)
    assert tiles.used[0, 0].centre_mm == (35.5, 49.5)


@needs("czifile")
@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.7, 0.97])
def test_a_czi_that_was_cut_is_refused(tmp_path, share):
    path = tmp_path / "a.czi"
    write_czi(path, [(0, 0, IMAGES[0, 0]), (24, 0, IMAGES[0, 1])])
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(FormatError):
        listed_and_read(path)


@needs("nd2")
def test_a_real_nd2_file_has_its_planes_pitch_and_place():
    (tile,), (planes,) = listed_and_read(DATA / "cluster.nd2")
    header = tile.header
    assert header.pitch_um == pytest.approx((0.5, 0.167809, 0.167809), rel=1e-5)
    assert header.channels == ("5-FAM/pH 9.0", "FM 4-64/2% CHAPS")
    assert "has 3 time points; the first is read" in header.notes
    assert any("check-orientation" in note for note in header.notes)
    assert tile.centre_um == pytest.approx((-4155.4627, -26056.9512))
    import nd2

    every = nd2.imread(DATA / "cluster.nd2")
    np.testing.assert_array_equal(planes, every[0, :, 0])
    other = source_of("a.nd2").read_planes(DATA / "cluster.nd2", "", 1)
    np.testing.assert_array_equal(other, every[0, :, 1])


@needs("nd2")
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.98])
def test_an_nd2_that_was_cut_is_refused(tmp_path, share):
    content = (DATA / "cluster.nd2").read_bytes()
    (tmp_path / "a.nd2").write_bytes(content[: int(share * len(content))])
    with pytest.raises(FormatError):
        listed_and_read(tmp_path / "a.nd2")


def write_lif(path, images, *, flags=None):
    """Write images as LAS X does: the XML, then a block of memory for each.

    `images` has (name, numbers by axes, places of the stage in m); the attributes are those of a
    description of the format in the documentation of liffile, and of real files (SOURCE.txt).
    """
    elements, blocks = [], []
    for number, (name, axes, pixels, places) in enumerate(images):
        attributes = {"X": 1, "Y": 2, "Z": 3, "T": 4, "M": 10}
        step_m = {"X": 2e-6, "Y": 2e-6, "Z": 5e-6}
        inc, dimensions, channels = pixels.itemsize, "", ""
        for axis, size in zip(reversed(axes), reversed(pixels.shape), strict=True):
            if axis == "C":
                channels = "".join(
                    f'<ChannelDescription DataType="0" ChannelTag="0" Resolution="16" '
                    f'NameOfMeasuredQuantity="" Min="0" Max="1" Unit="" LUTName="Gray" '
                    f'IsLUTInverted="0" BytesInc="{k * inc}" BitInc="0"/>'
                    for k in range(size)
                )
            else:
                dimensions += (
                    f'<DimensionDescription DimID="{attributes[axis]}" NumberOfElements="{size}" '
                    f'Origin="0" Length="{step_m.get(axis, 1) * (size - 1)}" Unit="m" '
                    f'BitInc="0" BytesInc="{inc}"/>'
                )
            inc *= size
        channels = channels or (
            '<ChannelDescription DataType="0" ChannelTag="0" Resolution="16" Min="0" Max="1" '
            'NameOfMeasuredQuantity="" Unit="" LUTName="Gray" IsLUTInverted="0" BytesInc="0" '
            'BitInc="0"/>'
        )
        if len(places) == 1:
            (y, x) = places[0]
            told = f'<Attachment Name="HardwareSetting"><S StagePosX="{x}" StagePosY="{y}"/>'
        else:
            told = '<Attachment Name="TileScanInfo" ' + " ".join(
                f'{flag}="1"' for flag in flags or ()
            )
            told += ">" + "".join(
                f'<Tile FieldX="0" FieldY="0" PosX="{x}" PosY="{y}" PosZ="0"/>' for y, x in places
            )
        elements.append(
            f'<Element Name="{name}" Visibility="1"><Data><Image><ImageDescription>'
            f"<Channels>{channels}</Channels><Dimensions>{dimensions}</Dimensions>"
            f"</ImageDescription>{told}</Attachment></Image></Data>"
            f'<Memory Size="{pixels.nbytes}" MemoryBlockID="MemBlock_{number}"/></Element>'
        )
        block = f"MemBlock_{number}"
        head = struct.pack("<IIBQBI", 0x70, 18 + 2 * len(block), 0x2A, pixels.nbytes, 0x2A,
                           len(block))  # fmt: skip
        blocks.append(head + block.encode("utf-16-le") + pixels.astype("<u2").tobytes())
    text = (
        f'<LMSDataContainerHeader Version="2"><Element Name="{path.name}"><Data/><Children>'
        f"{''.join(elements)}</Children></Element></LMSDataContainerHeader>"
    )
    head = struct.pack("<IIBI", 0x70, 5 + 2 * len(text), 0x2A, len(text))
    path.write_bytes(head + text.encode("utf-16-le") + b"".join(blocks))


def stage_m(iy, ix):
    return (0.0209818 + 2e-6 * iy * STEP_PX[0], 0.0154545 + 2e-6 * ix * STEP_PX[1])


@needs("liffile")
def test_images_of_a_lif_lie_where_the_stage_was(tmp_path):
    write_lif(
        tmp_path / "a.lif",
        [
            (f"Position {iy}{ix}", "ZCYX", np.stack([IMAGES[iy, ix], 0 * IMAGES[iy, ix]], 1),
             [stage_m(iy, ix)])
            for iy, ix in [(1, 2), (0, 0), (1, 0), (0, 1), (1, 1), (0, 2)]
        ],
    )  # fmt: skip
    tiles, found = in_the_grid(tmp_path)
    assert_all_in_place(found)
    assert tiles.positions == "stage"
    assert tiles.pitch_um == (5.0, 2.0, 2.0)
    assert tiles.channels == ("channel 0", "channel 1")
    assert not source_of("a.lif").read_planes(tmp_path / "a.lif", "0", 1).any()


SNAKE = [(0, 0), (0, 1), (0, 2), (1, 2), (1, 1), (1, 0)]


@needs("liffile")
@pytest.mark.parametrize(
    ("flags", "image_axes"),
    [
        ((), lambda y, x: (y, x)),
        (("FlipX",), lambda y, x: (y, -x)),
        (("FlipY",), lambda y, x: (-y, x)),
        (("SwapXY",), lambda y, x: (x, y)),
        (("SwapXY", "FlipX", "FlipY"), lambda y, x: (-x, -y)),
    ],
)
@pytest.mark.parametrize("axes", ["MZYX", "MCZYX", "MZCYX"])
def test_fields_of_a_lif_scan_lie_along_the_axes_of_the_image(tmp_path, flags, image_axes, axes):
    fields = np.stack([IMAGES[place] for place in SNAKE])
    if "C" in axes:
        fields = np.stack([fields, 0 * fields], axes.index("C"))
    # The stage's own numbers, from which these flags lead back to the axes of the image.
    places = [image_axes(*stage_m(iy, ix)) for iy, ix in SNAKE]
    merged = ("Scan_Merged", "ZYX", np.zeros((4, 40, 90), np.uint16), [(0, 0)])
    write_lif(tmp_path / "a.lif", [("Scan", axes, fields, places), merged], flags=flags)
    tiles, found = in_the_grid(tmp_path)
    assert_all_in_place(found)
    assert tiles.positions == "stage"
    assert [tile.item for tile in tiles.used.values()] == ["0M0", "0M1", "0M2", "0M5", "0M4", "0M3"]
    (note,) = [p.message for p in tiles.problems if "left out" in p.message]
    assert note.startswith("1 images that are not the tile scan are left out")
    if "C" in axes:
        assert not source_of("a.lif").read_planes(tmp_path / "a.lif", "0M3", 1).any()


@needs("liffile")
@pytest.mark.parametrize(
    ("scans", "match"),
    [
        ([("Scan", 6, 5)], "tile scan Scan of 6 fields and the places of 5"),
        ([("North", 2, 2), ("South", 3, 3)], "tile scans North, South, expected one.*zNN"),
    ],
)
def test_lif_scans_without_one_place_for_each_field_are_named(tmp_path, scans, match):
    write_lif(
        tmp_path / "a.lif",
        [
            (name, "MYX", np.zeros((n, 8, 9), np.uint16), [stage_m(0, k) for k in range(n_told)])
            for name, n, n_told in scans
        ],
    )
    with pytest.raises(FormatError, match=match):
        listed_and_read(tmp_path / "a.lif")


@needs("liffile")
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.7, 0.99])
def test_a_lif_that_was_cut_is_refused(tmp_path, share):
    path = tmp_path / "a.lif"
    write_lif(path, [("a", "ZYX", IMAGES[0, 0], [(0, 0)]), ("b", "ZYX", IMAGES[0, 1], [(0, 1)])])
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(FormatError):
        listed_and_read(path)
