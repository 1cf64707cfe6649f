import bz2
import gzip
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

from mosaicflow import errors, formats
from mosaicflow.formats import (
    FormatError,
    GeometryData,
    MissingExtraError,
    NotASegmentationError,
    open_file,
    open_session,
    resolve_parser,
    write_density,
    write_geometries,
)
from mosaicflow.formats.ground.errors import library
from mosaicflow.formats.ground.source import extension_of

EXTENSIONS = (
    *("star", "tsv", "txt", "xyz", "csv", "ndjson", "obj", "ply", "stl", "off", "gltf", "glb"),
    *("fbx", "tsi", "q", "vtu", "mrc", "map", "em", "h5", "nrrd", "nii", "pdb", "cif", "gro"),
)


def test_every_public_name_is_there():
    for name in formats.__all__:
        assert getattr(formats, name).__name__ == name
        assert getattr(formats, name).__doc__
    assert set(formats.__all__) <= set(dir(formats))
    with pytest.raises(AttributeError, match="nothing"):
        formats.nothing  # noqa: B018


def test_importing_the_package_loads_no_library_of_a_format():
    code = (
        "import sys, mosaicflow.formats as f\n"
        "first = set(sys.modules)\n"
        "f.open_file, f.write_geometries, f.OrientationsWriter\n"
        "heavy = {'vtk', 'zarr', 'trimesh', 'h5py', 'nibabel', 'nrrd', 'gemmi', 'scipy'}\n"
        "print(sorted(heavy & set(sys.modules)), 'numpy' in first)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[] False"


@pytest.mark.parametrize(
    ("extension", "module"),
    [("h5", "h5py"), ("nii", "nibabel"), ("nrrd", "nrrd"), ("cif", "gemmi"), ("glb", "trimesh")],
)
def test_a_missing_library_names_the_extra_to_install(tmp_path, monkeypatch, extension, module):
    path = tmp_path / f"a.{extension}"
    path.write_bytes(b"anything")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"pip install.*\[formats\]") as caught:
        open_file(path)
    assert isinstance(caught.value, MissingExtraError)
    assert isinstance(caught.value, errors.MissingExtraError)


def test_library_imports_what_is_there():
    assert library("numpy") is np


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_every_extension_has_a_reader_in_any_case(extension):
    assert resolve_parser(extension) is resolve_parser(extension.upper())


def test_an_unknown_extension_is_named_before_the_file_is_looked_for(tmp_path):
    with pytest.raises(ValueError, match="Unknown extension 'docx', supported are star, ") as found:
        open_file(tmp_path / "absent.docx")
    assert all(extension in str(found.value) for extension in EXTENSIONS)
    assert not isinstance(found.value, FormatError)
    for name in ("absent", "absent.gz"):
        with pytest.raises(ValueError, match="Unknown extension"):
            open_file(tmp_path / name)
    with pytest.raises(ValueError, match="Unknown extension"):
        resolve_parser("x")


@pytest.mark.parametrize(
    ("name", "extension"),
    [
        ("a.star", "star"),
        ("A.MRC.GZ", "mrc"),
        ("1.5A.v2.nii.bz2", "nii"),
        ("a.gz", "gz"),
        (".q", "q"),
        ("star", ""),
        ("folder.d/star", ""),
    ],
)
def test_the_extension_is_the_text_after_the_last_dot(name, extension):
    assert extension_of(name) == extension


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_an_absent_file_is_not_found_in_any_format(tmp_path, extension):
    with pytest.raises(FileNotFoundError, match=f"absent.{extension}"):
        open_file(tmp_path / f"absent.{extension}")
    with pytest.raises(FileNotFoundError):
        resolve_parser(extension)(tmp_path / f"absent.{extension}")


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_an_empty_file_or_a_folder_is_refused_in_any_format(tmp_path, extension):
    path = tmp_path / f"a.{extension}"
    path.write_bytes(b"")
    if extension == "ndjson":
        assert len(open_file(path)[0].vertices) == 0
    else:
        with pytest.raises(FormatError, match=f"a.{extension}"):
            open_file(path)
    folder = tmp_path / f"b.{extension}"
    folder.mkdir()
    with pytest.raises(FormatError, match="is a folder"):
        open_file(folder)


@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize("content", [b"\x00" * 2000, b"\xff" * 2000, b"nonsense\n" * 300])
def test_nonsense_is_refused_in_any_format(tmp_path, extension, content):
    path = tmp_path / f"a.{extension}"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=f"a.{extension}"):
        open_file(path)


TEXTS = {
    "star": "data_\nloop_\n_rlnCoordinateX\n_rlnCoordinateY\n_rlnCoordinateZ\n1 2 3\n",
    "tsv": "x\ty\tz\n1\t2\t3\n",
    "csv": "1,2,3\n",
    "ndjson": '{"location": {"x": 1, "y": 2, "z": 3}}\n',
    "obj": "v 1 2 3\n",
    "off": "OFF\n1 0 0\n1 2 3\n",
    "tsi": "vertex 1\n0 1 2 3\ntriangle 0\n",
    "q": "9 9 9\n1\n0 1 2 3 0\n0\n",
    "pdb": "ATOM      1  N   GLY A   1       1.000   2.000   3.000\n",
    "gro": "t\n1\n    1SOL     OW    1   1.000   2.000   3.000\n1 1 1\n",
}


@pytest.mark.parametrize("extension", TEXTS)
def test_gzip_works_for_every_text_format_under_either_name(tmp_path, extension):
    for name in (f"a.{extension}.gz", f"b.{extension}"):
        path = tmp_path / name
        path.write_bytes(gzip.compress(TEXTS[extension].encode()))
        np.testing.assert_array_equal(open_file(path)[0].vertices, [[1, 2, 3]])


@pytest.mark.parametrize("extension", ["stl", "ply", "obj"])
def test_gzip_works_for_meshes(tmp_path, extension):
    triangle = GeometryData(vertices=np.eye(3, dtype=np.float32), faces=[[0, 1, 2]])
    path = tmp_path / f"a.{extension}.gz"
    write_geometries([triangle], path, format=extension)
    assert path.read_bytes()[:2] == b"\x1f\x8b"
    np.testing.assert_array_equal(open_file(path)[0].vertices, np.eye(3))


def test_further_arguments_go_to_the_reader(tmp_path):
    write_density(np.arange(8).reshape(2, 2, 2), tmp_path / "a.mrc")
    with pytest.raises(NotASegmentationError, match="more than 5 "):
        open_file(tmp_path / "a.mrc", max_cluster=5)


def test_errors_are_of_the_projects_tree_and_value_errors():
    error = FormatError("a.star", "reason", line=7, remedy="do this")
    assert isinstance(error, errors.FormatError)
    assert isinstance(error, errors.MosaicflowError)
    assert isinstance(error, ValueError)
    assert str(error) == "a.star, line 7: reason: do this"
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
    assert issubclass(NotASegmentationError, FormatError)


def test_a_decompression_bomb_of_text_is_refused(tmp_path, monkeypatch):
    from mosaicflow.formats.ground import source

    monkeypatch.setattr(source, "_WHOLE_FILE_BYTES", 1 << 20)
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"1,2,3\n" * 200_000))
    with pytest.raises(FormatError, match="expands to more than"):
        open_file(path)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_a_table_that_expands_like_a_bomb_is_refused_before_it_fills_memory(
    tmp_path, monkeypatch, pack
):
    from mosaicflow.formats.ground import source

    monkeypatch.setattr(source, "_UNJUDGED_BYTES", 1 << 20)
    numbers = np.random.default_rng(1).uniform(-1, 1, (60_000, 3))
    sound = "\n".join(",".join(map(repr, row)) for row in numbers.tolist()).encode()
    path = tmp_path / "a.csv.gz"
    path.write_bytes(pack(sound))
    assert source.read_bytes(path) == sound  # 3.5 MB
    path.write_bytes(pack(b"1,2,3\n" * 2_000_000))
    with pytest.raises(FormatError, match=r"expands to more than [13] MiB, from \d+ bytes"):
        open_file(path)


@pytest.mark.parametrize("what", ["pipe", "device"])
def test_what_is_waited_for_or_never_ends_is_refused(tmp_path, what):
    for extension in EXTENSIONS:
        path = tmp_path / f"a.{extension}"
        os.mkfifo(path) if what == "pipe" else path.symlink_to("/dev/zero")
        with pytest.raises(FormatError, match="is a pipe or a device, a file is expected"):
            open_file(path)
    with pytest.raises(FormatError, match="is a pipe or a device"):
        open_session(path)
