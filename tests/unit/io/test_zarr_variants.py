"""The table of stores by others in docs/omezarr.md is what the reader does.

Written anew by ``python -m tests.unit.io.test_zarr_variants``.
"""

import json
import re
import shutil
import tempfile
import warnings
from pathlib import Path

import numpy as np
import zarr
from tests.unit.io.test_zarr_layouts import AXES, image, v2_array, v3_array

from mosaicflow.errors import MosaicflowError
from mosaicflow.io.zarr import open_level

PAGE = Path(__file__).parents[3] / "docs" / "omezarr.md"
START, END = "<!-- variants -->\n", "<!-- end of variants -->"
V2 = ("<u2", "zstd", "C", "/", 0, None)
V3 = ("uint16", [], "little", None, False, "default", "/", 0)
SCALE = {"type": "scale", "scale": [2, 0.5, 0.5]}


def v2(**changes):
    names = ("dtype", "compressor", "order", "separator", "fill", "filters")
    layout = tuple(changes.get(n, value) for n, value in zip(names, V2, strict=True))
    return lambda path: image(path, lambda array: v2_array(array, layout))


def v3(**changes):
    names = ("dtype", "inner", "endian", "order", "is_sharded", "key", "separator", "fill")
    layout = tuple(changes.get(n, value) for n, value in zip(names, V3, strict=True))
    return lambda path: image(path, lambda array: v3_array(array, layout))


def member(store, change):
    """Change the metadata of the array of a store."""
    (path,) = [p for n in (".zarray", "zarr.json") if (p := store / "0" / n).exists()]
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    return store


def changed(make, **change):
    return lambda path: member(make(path), change)


def with_image(make, edit):
    """Change the metadata of the image of a store in Zarr v3."""

    def made(path):
        store = make(path)
        group = json.loads((store / "zarr.json").read_text())
        edit(group["attributes"]["ome"])
        (store / "zarr.json").write_text(json.dumps(group))
        return store

    return made


def rfc5(*transforms):
    def edit(ome):
        systems = [{"name": "physical", "axes": AXES}]
        moves = [{**t, "input": "0", "output": "physical"} for t in transforms]
        data = [{"path": "0", "coordinateTransformations": moves}]
        ome.update(version="0.6", multiscales=[{"coordinateSystems": systems, "datasets": data}])

    return with_image(v3(), edit)


def consolidated_only(path):
    store = v2()(path)
    zarr.consolidate_metadata(store, zarr_format=2)
    (store / "0" / ".zarray").unlink()
    return store


def archive(suffix):
    def made(path):
        packed = shutil.make_archive(str(path.with_name("packed")), "zip", v3()(path))
        return Path(packed).rename(path.with_name(f"packed{suffix}"))

    return made


def series(path):
    v2()(path / "0")
    (path / ".zattrs").write_text('{"bioformats2raw.layout": 3}')
    (path / ".zgroup").write_text('{"zarr_format": 2}')
    return path


def plate(path):
    v2()(path / "A" / "1" / "0")
    for folder in (path, path / "A", path / "A" / "1"):
        (folder / ".zgroup").write_text('{"zarr_format": 2}')
    (path / ".zattrs").write_text(json.dumps({"plate": {"wells": [{"path": "A/1"}]}}))
    return path


TURN = {"type": "rotation", "rotation": [[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]]}
SHEAR = {"type": "affine", "affine": [[2, 0, 0, 0], [0, 1, 0.5, 0], [0, 0, 1, 0]]}
VARIANTS = [
    ("0.4, Zarr v2", "zarr-python, ome-zarr-py, ngff-zarr", v2()),
    ("big-endian", "bioformats2raw, n5-zarr, BigStitcher-Spark", v2(dtype=">u2")),
    ("Fortran order", "zarr-python, MATLAB bridges", v2(order="F")),
    ("keys with dots", "zarr-python before 3", v2(separator=".")),
    ("no fill value", "zarr-python, n5-zarr", v2(fill=None)),
    ("float16", "acquisition programs", v2(dtype="<f2")),
    ("zlib, lzma, bz2, lz4", "numcodecs", v2(compressor="zlib")),
    ("series in folders", "bioformats2raw", series),
    ("consolidated metadata only", "xarray, object stores", consolidated_only),
    ("0.5, Zarr v3", "zarr-python 3, ome-zarr-py, tensorstore", v3()),
    ("sharded", "zarr-python 3, webknossos, zarr-java", v3(is_sharded=True)),
    ("big-endian, transposed (v3)", "tensorstore, zarr-java", v3(endian="big", order=(2, 1, 0))),
    ("keys as in v2 (v3)", "zarrita, tensorstore", v3(key="v2", separator=".")),
    (".zip", "zarr-python, mosaicflow", archive(".zip")),
    (".ozx (RFC-9)", "omero-cli-zarr, webknossos", archive(".ozx")),
    ("0.6: scale, translation, sequence (RFC-5)", "ome-zarr-py, ngff-zarr", rfc5(SCALE)),
    ("0.6: rotation", "registration programs", rfc5(SCALE, TURN)),
    ("0.6: shear", "registration programs", rfc5(SHEAR)),
    ("HCS plate", "iohub, ome-zarr-py, fractal", plate),
    ("JPEG XL, JPEG 2000 chunks", "imagecodecs", changed(v2(), compressor={"id": "jpegxl"})),
    ("structured elements", "zarr-python", changed(v2(), dtype=[["a", "<u2"]])),
    ("bfloat16", "tensorstore", changed(v3(), data_type="bfloat16")),
    ("rectilinear chunks", "zarr extensions", changed(v3(), chunk_grid={"name": "rectilinear"})),
]  # fmt: skip


def outcome(make, folder):
    """What the reader does with a variant, in words."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        store = make(folder / "image.zarr")
        told.clear()
        try:
            reader = open_level(store)
            values = reader[...]
        except MosaicflowError as error:
            text = str(error).replace(str(folder), "").removeprefix("/image.zarr: ")
            return f"refused: {text}".replace("|", "/")
    expected = np.random.default_rng(5).integers(0, 100, (3, 9, 10))[:2]
    np.testing.assert_array_equal(values[:2], expected)
    assert [round(pitch, 9) for pitch in reader.resolution_mm] == [0.002, 0.0005, 0.0005]
    notes = {re.sub(r"^.*?\.zarr\S*: ", "", str(w.message)) for w in told}
    return "read" + "".join(f", with a warning: {note}" for note in sorted(notes))


def table():
    lines = ["| variant | written by | here |", "|---|---|---|"]
    for name, writers, make in VARIANTS:
        with tempfile.TemporaryDirectory() as folder:
            lines.append(f"| {name} | {writers} | {outcome(make, Path(folder))} |")
    return "\n".join(lines) + "\n"


def test_the_table_in_the_documentation_is_what_the_reader_does():
    assert PAGE.read_text(encoding="utf-8").split(START)[1].split(END)[0] == table()


if __name__ == "__main__":
    before, rest = PAGE.read_text(encoding="utf-8").split(START)
    PAGE.write_text(before + START + table() + END + rest.split(END)[1], encoding="utf-8")
