import gzip

import numpy as np
import pytest
import starfile

from mosaicflow.formats import (
    FormatError,
    open_file,
    read_star,
    read_star_header,
    write_geometries,
)

OPTICS_31 = """
# version 30001

data_optics

loop_
_rlnOpticsGroup #1
_rlnImagePixelSize #2
1 2.5
2 9.9
"""
PARTICLES_31 = """
# version 30001

data_particles

loop_
_rlnCoordinateX #1
_rlnCoordinateY #2
_rlnCoordinateZ #3
_rlnAngleRot #4
_rlnAngleTilt #5
_rlnAnglePsi #6
_rlnClassNumber #7
_rlnMicrographName #8
_rlnOriginXAngst #9
_rlnOriginYAngst #10
_rlnOriginZAngst #11
10 20 30 10 20 30 2 a.mrc 5 0 -5
11 21 31 0 0 0 1 b.mrc 0 0 0
12 22 32 0 90 0 2 c.mrc 0 2.5 0
"""
OPTICS_5 = """
# version 50001

data_general

_rlnTomoSubTomosAre2DStacks 1


# version 50001

data_optics

loop_
_rlnOpticsGroup #1
_rlnTomoTiltSeriesPixelSize #2
_rlnTomoSubtomogramBinning #3
_rlnImagePixelSize #4
1 1.35 2 2.7
"""


def relion_5(sizes="", rows=("13.5 -27 0",)):
    labels = [f"_rlnCenteredCoordinate{axis}Angst" for axis in "XYZ"]
    labels += [f"_rlnTomoSize{axis}" for axis in "XYZ"] if sizes else []
    labels += ["_rlnTomoVisibleFrames"]
    body = "\n".join(f"{row} {sizes} [1,1,0]" for row in rows)
    return OPTICS_5 + "\ndata_particles\n\nloop_\n" + "\n".join(labels) + f"\n{body}\n"


def test_relion_31_groups_by_class_and_turns_angles_into_quaternions(text_file):
    container = open_file(text_file("p.star", OPTICS_31 + PARTICLES_31))
    assert len(container) == 2
    np.testing.assert_array_equal(container[0].vertices, [[11, 21, 31]])
    np.testing.assert_array_equal(container[1].vertices, [[10, 20, 30], [12, 22, 32]])
    assert container.sampling == (2.5, 2.5, 2.5)
    np.testing.assert_allclose(container[1].normals[0], [-0.29620, 0.17101, 0.93969], atol=1e-5)
    quaternion = container[1].quaternions[0]
    assert abs(quaternion @ [0.92542, -0.03015, -0.17101, -0.33682]) == pytest.approx(1, abs=1e-4)


def test_every_other_column_is_a_property_under_its_label(text_file):
    entity = open_file(text_file("p.star", OPTICS_31 + PARTICLES_31))[1]
    box = entity.vertex_properties
    assert box.properties == [
        "_rlnMicrographName",
        "_rlnOriginXAngst",
        "_rlnOriginYAngst",
        "_rlnOriginZAngst",
        "entity",
        "pytme_score",
    ]
    assert box.get_property("_rlnMicrographName").tolist() == ["a.mrc", "c.mrc"]
    assert box.get_property("entity").tolist() == [2, 2]
    assert box.get_property("pytme_score").tolist() == [0, 0]


def test_the_score_comes_from_its_column(text_file):
    text = "data_particles\nloop_\n" + "\n".join(
        [f"_rlnCoordinate{axis}" for axis in "XYZ"] + ["_pytmeScore", "1 2 3 0.5", ""]
    )
    box = open_file(text_file("p.star", text))[0].vertex_properties
    assert box.get_property("pytme_score").tolist() == [0.5]
    assert box.get_property("entity").tolist() == [-1]


@pytest.mark.parametrize("block", ["particles", "images", ""])
def test_particles_come_from_any_of_three_blocks(text_file, block):
    labels = "\n".join(f"_rlnCoordinate{axis}" for axis in "XYZ")
    other = "data_optics\n_rlnImagePixelSize 3\n\n"
    path = text_file("p.star", f"{other}data_{block}\nloop_\n{labels}\n1 2 3\n")
    container = open_file(path)
    assert container.sampling == (3, 3, 3)
    np.testing.assert_array_equal(container[0].vertices, [[1, 2, 3]])


def test_particles_win_over_images_and_voxels_over_angstrom(text_file):
    labels = [f"_rlnCoordinate{axis}" for axis in "XYZ"]
    labels += [f"_rlnCenteredCoordinate{axis}Angst" for axis in "XYZ"]
    loop = "loop_\n" + "\n".join(labels)
    blocks = {"": "1 1 1", "images": "2 2 2", "particles": "3 3 3"}
    for text in ("", "images"), ("images", "particles"), ("particles", "images", ""):
        body = "\n".join(f"data_{name}\n{loop}\n{blocks[name]} 9 9 9\n" for name in text)
        entity = open_file(text_file("p.star", body))[0]
        best = next(name for name in ("particles", "images") if name in text)
        assert entity.vertices.tolist() == [[float(v) for v in blocks[best].split()]]
        centred = entity.vertex_properties.get_property("_rlnCenteredCoordinateXAngst")
        assert centred.tolist() == [9]


def test_a_missing_angle_is_zero(text_file):
    labels = "\n".join([*(f"_rlnCoordinate{axis}" for axis in "XYZ"), "_rlnAngleTilt"])
    container = open_file(text_file("p.star", f"data_\nloop_\n{labels}\n1 2 3 90\n"))
    np.testing.assert_allclose(container[0].normals, [[-1, 0, 0]], atol=1e-6)


def test_relion_30_has_its_pixel_size_in_the_magnification(text_file):
    labels = "\n".join(
        [
            *(f"_rlnCoordinate{axis}" for axis in "XYZ"),
            "_rlnDetectorPixelSize",
            "_rlnMagnification",
        ]
    )
    container = open_file(text_file("p.star", f"data_\nloop_\n{labels}\n1 2 3 5 10000\n"))
    assert container.sampling == (5, 5, 5)


def test_without_any_pixel_size_sampling_is_one(text_file):
    labels = "\n".join(f"_rlnCoordinate{axis}" for axis in "XYZ")
    path = text_file("p.star", f"data_images\nloop_\n{labels}\n1 2 3\n")
    assert open_file(path).sampling == (1, 1, 1)
    assert read_star_header(path) == {"pixel_size": None, "centered": False, "shape": None}


def test_relion_4_counts_unbinned_pixels(text_file):
    text = OPTICS_5.replace("50001", "40001") + PARTICLES_31
    assert open_file(text_file("p.star", text)).sampling == (1.35, 1.35, 1.35)


def test_relion_5_coordinates_become_voxels_from_the_corner(text_file):
    path = text_file("p.star", relion_5(sizes="401 300 200"))
    container = open_file(path)
    np.testing.assert_allclose(container[0].vertices, [[210, 130, 100]], rtol=1e-6)
    assert container.sampling == (1.35, 1.35, 1.35)
    assert read_star_header(path) == {
        "pixel_size": 1.35,
        "centered": True,
        "shape": (401, 300, 200),
    }


def test_relion_5_without_size_stays_centred_with_a_warning(text_file):
    path = text_file("p.star", relion_5())
    with pytest.warns(UserWarning, match="relative to the tomogram's centre"):
        container = open_file(path)
    np.testing.assert_allclose(container[0].vertices, [[10, -20, 0]], rtol=1e-6)


def test_relion_5_without_pixel_size_stays_in_angstrom_with_a_warning(text_file):
    path = text_file("p.star", relion_5(sizes="4 4 4").replace("PixelSize", "Nothing"))
    with pytest.warns(UserWarning, match="no pixel size"):
        container = open_file(path)
    np.testing.assert_allclose(container[0].vertices, [[13.5, -27, 0]], rtol=1e-6)
    assert container.sampling == (1, 1, 1)


def test_shifts_are_properties_unless_asked_to_be_applied(text_file):
    path = text_file("p.star", OPTICS_31 + PARTICLES_31)
    np.testing.assert_array_equal(open_file(path)[1].vertices[0], [10, 20, 30])
    shifted = read_star(path, apply_shifts=True)
    np.testing.assert_allclose(shifted[1].vertices, [[8, 20, 32], [12, 21, 32]])


def test_what_was_subtracted_is_not_there_to_be_subtracted_again(text_file, tmp_path):
    path = text_file("p.star", OPTICS_31 + PARTICLES_31)
    assert open_file(path)[1].vertex_properties.get_property("_rlnOriginXAngst")[0] == 5
    shifted = read_star(path, apply_shifts=True)
    assert not shifted[1].vertex_properties.get_property("_rlnOriginXAngst").any()
    write_geometries(list(shifted), tmp_path / "q.star")
    again = read_star(tmp_path / "q.star", apply_shifts=True)
    np.testing.assert_allclose(again[1].vertices, shifted[1].vertices)


def test_shifts_in_pixels_and_centred_shifts_are_applied_too(text_file):
    coordinates = [f"_rlnCoordinate{axis}" for axis in "XYZ"]
    labels = "\n".join([*coordinates, *(f"_rlnOrigin{axis}" for axis in "XYZ")])
    path = text_file("a.star", f"data_\nloop_\n{labels}\n10 20 30 1 2 3\n")
    np.testing.assert_allclose(read_star(path, apply_shifts=True)[0].vertices, [[9, 18, 27]])
    text = relion_5(sizes="400 300 200").replace("_rlnTomoVisibleFrames", "_rlnOriginXAngst")
    path = text_file("b.star", text.replace("[1,1,0]", "2.7"))
    vertices = read_star(path, apply_shifts=True)[0].vertices
    np.testing.assert_allclose(vertices, [[208, 130, 100]], rtol=1e-6)


def test_shifts_in_angstrom_without_pixel_size_cannot_be_applied(text_file):
    path = text_file("p.star", PARTICLES_31)
    with pytest.raises(FormatError, match="no pixel size"):
        read_star(path, apply_shifts=True)


def test_entities_can_follow_another_column(text_file):
    path = text_file("p.star", OPTICS_31 + PARTICLES_31)
    assert len(read_star(path, group_by="_rlnMicrographName")) == 3
    with pytest.raises(ValueError, match="no column _rlnTomoName"):
        read_star(path, group_by="_rlnTomoName")


def test_subtomogram_angles_are_properties_only(text_file):
    text = PARTICLES_31.replace("_rlnOriginXAngst", "_rlnTomoSubtomogramRot")
    box = open_file(text_file("p.star", text))[1].vertex_properties
    assert box.get_property("_rlnTomoSubtomogramRot").tolist() == [5, 0]


def test_a_file_without_particles_is_one_empty_entity(text_file):
    labels = "\n".join(f"_rlnCoordinate{axis}" for axis in "XYZ")
    container = open_file(text_file("p.star", f"data_particles\nloop_\n{labels}\n"))
    assert len(container) == 1
    assert container[0].vertices.shape == (0, 3)
    assert container[0].quaternions.shape == (0, 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data_particles\nloop_\n_rlnCoordinateX\n1\n", "_rlnCoordinateY, _rlnCoordinateZ missing"),
        ("data_optics\nloop_\n_a\n1\n", "no block data_particles"),
        (PARTICLES_31.replace("12 22 32", "12 inf 32"), "line 20: _rlnCoordinateY is inf"),
        (PARTICLES_31.replace("12 22 32", "12 22 1e300"), "line 20: _rlnCoordinateZ is 1e\\+300"),
        (relion_5(sizes="4 4 4").replace("1.35", "1e-300"), "makes coordinates infinite"),
        (PARTICLES_31.replace("12 22 32", "12 x 32"), "line 20: _rlnCoordinateY is 'x'"),
        (PARTICLES_31.replace("0 90 0", "0 ? 0"), "line 20: _rlnAngleTilt is '\\?'"),
        (OPTICS_31.replace("2.5", "-2") + PARTICLES_31, "_rlnImagePixelSize is -2"),
        (OPTICS_31.replace("2.5", "none") + PARTICLES_31, "_rlnImagePixelSize is 'none'"),
    ],
)
def test_bad_particles_are_named(text_file, text, message):
    path = text_file("p.star", text)
    with pytest.raises(FormatError, match=message):
        open_file(path)


def test_a_header_that_cannot_be_parsed_is_empty(text_file, tmp_path):
    assert read_star_header(text_file("p.star", "nothing")) == {}
    with pytest.raises(FileNotFoundError):
        read_star_header(tmp_path / "absent.star")


def test_the_real_particle_file_has_what_its_source_states(shared_data):
    path = shared_data("star_relion/one_loop_full.star")
    container = open_file(path)
    table = starfile.read(path)
    assert len(container) == 1
    assert len(container[0].vertices) == len(table) == 1365
    assert container.sampling == (5, 5, 5)
    expected = table[[f"rlnCoordinate{axis}" for axis in "XYZ"]].to_numpy(dtype=np.float32)
    np.testing.assert_array_equal(container[0].vertices, expected)
    np.testing.assert_allclose(np.abs(container[0].quaternions[:, 0]), 1)
    # SOURCE.txt: 48 tomograms, 12 columns of which 6 are coordinates and angles.
    names = container[0].vertex_properties.get_property("_rlnMicrographName")
    assert len(set(names.tolist())) == table["rlnMicrographName"].nunique() == 48
    assert len(read_star(path, group_by="_rlnMicrographName")) == 48
    assert len(container[0].vertex_properties.properties) == 12 - 6 + 2
    assert read_star_header(path)["pixel_size"] == 5


def test_a_compressed_file_reads_the_same_under_any_name(tmp_path):
    path = tmp_path / "p.star"
    path.write_bytes(gzip.compress((OPTICS_31 + PARTICLES_31).encode()))
    assert len(open_file(path)) == 2
