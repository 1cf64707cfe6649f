import collections
import json
import pickle
import pickletools
import struct
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mosaicflow
from mosaicflow import errors, formats
from mosaicflow.formats import (
    FormatError,
    GeometryData,
    GeometryDataContainer,
    UntrustedSessionError,
    VertexPropertyContainer,
    is_session_file,
    open_session,
    read_session_index,
    read_session_meta,
    read_session_section,
    write_session,
)


def by_the_table(content):
    """The sections of a session, read from the layout table alone."""
    (length,) = struct.unpack(">I", content[:4])
    index = json.loads(content[4 : 4 + length].decode("utf-8"))
    places = index["sections"]
    sections = {
        name: content[place["offset"] : place["offset"] + place["size"]]
        for name, place in places.items()
    }
    # One after another, no gaps, in index order, up to the end.
    assert content[4 + length :] == b"".join(sections.values())
    return index, sections


def by_hand(state_pickle, meta, version="1.2.4"):
    """A session put together from the table, without our writer."""
    length = 0
    while True:
        first = 4 + length
        places = {
            "state": {"offset": first, "size": len(state_pickle), "encoding": "pickle"},
            "meta": {"offset": first + len(state_pickle), "size": len(meta), "encoding": "json"},
        }
        index = json.dumps({"format_version": 1, "version": version, "sections": places}).encode()
        if len(index) == length:
            return struct.pack(">I", length) + index + state_pickle + meta
        length = len(index)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *(("a.pickle", True), ("a.PICKLE", True), ("b/a.mosaic", True), ("a.Mosaic", True)),
        *(("a.pkl", False), ("pickle", False), ("a.pickle.gz", False), ("a", False)),
    ],
)
def test_the_extension_alone_makes_a_session_file(name, expected):
    assert is_session_file(name) is expected


def test_a_session_is_byte_for_byte_what_the_table_says(tmp_path):
    state, meta = {"a": [1, 2.5, "b"], "c": np.arange(5)}, json.dumps({"n": 1}).encode()
    write_session(tmp_path / "a.pickle", state, {"meta": ("json", meta)})
    expected = by_hand(pickle.dumps(state, protocol=5), meta, mosaicflow.__version__)
    assert (tmp_path / "a.pickle").read_bytes() == expected


def test_a_session_of_known_bytes_opens(tmp_path):
    index = (
        b'{"format_version": 1, "version": "1.2.4", "sections": {"state": {"offset": 175, '
        b'"size": 18, "encoding": "pickle"}, "meta": {"offset": 193, "size": 8, '
        b'"encoding": "json"}}}'
    )
    state = b"\x80\x05}\x94\x8c\x01a\x94]\x94(K\x01K\x02es."
    path = tmp_path / "known.pickle"
    path.write_bytes(len(index).to_bytes(4, "big") + index + state + b'{"b": 3}')
    assert open_session(path) == {"a": [1, 2]}
    assert read_session_index(path) == json.loads(index)
    assert read_session_meta(path) == {"b": 3}
    assert read_session_section(path, "state") == state
    assert read_session_section(path, "thumbnail") is None


@given(
    sizes=st.lists(st.integers(0, 12_000), max_size=4),
    state_bytes=st.one_of(st.integers(0, 12_000), st.integers(780, 860), st.integers(9_700, 9_900)),
)
@settings(deadline=None, max_examples=150)
def test_offsets_are_right_whatever_the_sizes(tmp_path_factory, sizes, state_bytes):
    path = tmp_path_factory.mktemp("session") / "a.pickle"
    given_sections = {f"s{i}": ("raw", bytes([i]) * size) for i, size in enumerate(sizes)}
    write_session(path, b"x" * state_bytes, given_sections)
    index, sections = by_the_table(path.read_bytes())
    assert list(sections) == ["state", *given_sections]
    assert pickle.loads(sections.pop("state")) == b"x" * state_bytes
    assert sections == {name: content for name, (_, content) in given_sections.items()}
    assert index["sections"].keys() == read_session_index(path)["sections"].keys()
    assert open_session(path) == b"x" * state_bytes


@pytest.mark.parametrize("digits", [3, 4, 5, 6])
def test_offsets_are_right_around_every_digit(tmp_path, digits):
    path = tmp_path / "a.pickle"
    write_session(path, b"", {"b": ("raw", b"end"), "c": ("raw", b"of")})
    start = read_session_index(path)["sections"]["b"]["offset"]
    for size in range(10**digits - start - 12, 10**digits - start + 12):
        write_session(path, b"x" * max(size, 0), {"b": ("raw", b"end"), "c": ("raw", b"of")})
        _, sections = by_the_table(path.read_bytes())
        assert (sections["b"], sections["c"]) == (b"end", b"of")
        assert read_session_section(path, "b") == b"end"


def test_offsets_that_a_writer_left_too_small_are_put_right(tmp_path):
    state = pickle.dumps({"a": "b" * 900})
    sound = by_hand(state, b'{"n": 1}')
    length = int.from_bytes(sound[:4], "big")
    index = json.loads(sound[4 : 4 + length])
    for place in index["sections"].values():
        place["offset"] -= 1
    short = json.dumps(index).encode()
    assert len(short) == length
    path = tmp_path / "a.pickle"
    path.write_bytes(sound[:4] + short + sound[4 + length :])
    assert open_session(path) == {"a": "b" * 900}
    assert read_session_meta(path) == {"n": 1}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_bare_pickle_opens_and_has_no_sections(tmp_path, protocol):
    path = tmp_path / "old.pickle"
    path.write_bytes(pickle.dumps({"a": np.arange(3)}, protocol))
    assert open_session(path)["a"].tolist() == [0, 1, 2]
    assert read_session_index(path) == {"format_version": 0}
    assert read_session_meta(path) == {}
    assert read_session_section(path, "state") is None


def everything():
    shared = np.arange(3.0)
    box = VertexPropertyContainer({"area": np.arange(2), "name": np.array(["a", "bc"])})
    container = GeometryDataContainer(
        [np.eye(2, 3), np.ones((2, 3))], normals=[np.eye(2, 3), None], vertex_properties=[box, box]
    )
    return {
        "plain": [1, -7, 300, 70_000, 2.5, None, True, False, b"x", "é\U0001f600", 1j, -(2**90)],
        "boxes": [(), (1,), (1, 2), (1, (2, 3), 4, 5), [], {}, {1: "a", (1, "b"): 2}, set()],
        "sets": [{1, "a"}, frozenset("ab"), bytearray(b"yy"), b"", bytearray()],
        "ordered": collections.OrderedDict(b=1, a=2),
        "arrays": [
            np.arange(12).reshape(3, 4),
            np.asfortranarray(np.eye(3, 4)),
            np.arange(20.0).reshape(4, 5)[::2, 1:],
            np.array(["a", "bcd"]),
            np.array([b"a"]),
            np.zeros((0, 3)),
            np.array(3.5),
            np.array([[1, "x"], [None, (2,)]], dtype=object),
            np.array([1, 2], "M8[25us]"),
            np.array([3], "m8[D]"),
            np.zeros(3, [("a", "<f4"), ("b", ">i2", (2,)), ("c", [("d", "U3")])]),
            np.array([True, False]),
            np.arange(3, dtype=">i4"),
            np.zeros(2, "V7"),
            np.arange(3, dtype=np.float16),
            np.arange(3, dtype=np.complex128),
        ],
        "scalars": [np.float32(1.5), np.int8(3), np.bool_(True), np.str_("hh"), np.uint64(2**63)],
        "times": [np.datetime64(3, "s"), np.timedelta64(2, "ns")],
        "types": [np.dtype("f4"), np.dtype(">u2"), np.dtype([("a", "i4"), ("b", "S2")])],
        "container": container,
        "entity": container[0],
        "shared": [shared, shared],
    }


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_whatever_is_allowed_comes_back_as_pickle_brings_it_back(tmp_path, protocol):
    path = tmp_path / "a.pickle"
    path.write_bytes(pickle.dumps(everything(), protocol))
    found, expected = open_session(path), pickle.loads(path.read_bytes())
    for name in ("plain", "boxes", "sets", "ordered", "types", "times", "scalars"):
        assert found[name] == expected[name]
        assert type(found[name]) is type(expected[name])
        assert [type(item) for item in found[name]] == [type(item) for item in expected[name]]
    dtypes = [array.dtype for array in everything()["arrays"]]
    # Pickle may turn bytes round to those of this machine; the type that was written stays here.
    assert [array.dtype for array in found["arrays"]] == dtypes
    for mine, theirs in zip(found["arrays"], expected["arrays"], strict=True):
        assert (mine.shape, mine.strides) == (theirs.shape, theirs.strides)
        assert mine.flags.writeable == theirs.flags.writeable
        np.testing.assert_array_equal(mine, theirs)
    assert found["shared"][0] is found["shared"][1]
    assert repr(found["container"]) == repr(expected["container"])
    for mine, theirs in zip(
        [*found["container"], found["entity"]],
        [*expected["container"], expected["entity"]],
        strict=True,
    ):
        np.testing.assert_array_equal(mine.vertices, theirs.vertices)
        np.testing.assert_array_equal(mine.normals, theirs.normals)
        assert mine.sampling == theirs.sampling
        box = mine.vertex_properties
        assert box.get_property("name").tolist() == ["a", "bc"]
        assert len(box[1:]) == 1


def test_what_points_at_itself_comes_back(tmp_path):
    loop = []
    loop.append(loop)
    write_session(tmp_path / "a.pickle", {"loop": loop})
    found = open_session(tmp_path / "a.pickle")["loop"]
    assert found[0] is found


def renamed(content, old, new):
    """A pickle of protocol 2 with a module under another name."""
    assert b"c" + old + b"\n" in content
    return content.replace(b"c" + old + b"\n", b"c" + new + b"\n")


@pytest.mark.parametrize("core", [b"numpy.core", b"numpy._core"])
def test_arrays_of_numpy_1_and_2_open_alike(tmp_path, core):
    path = tmp_path / "a.pickle"
    for protocol, module in ((2, b".multiarray"), (5, b".numeric")):
        content = pickle.dumps([np.arange(3), np.float32(2)], protocol)
        if protocol == 5:
            # Protocol 5 counts its texts: one is written by hand.
            content = (
                b"\x80\x05c" + core + module + b"\n_frombuffer\n(\x96" + struct.pack("<Q", 3)
                + b"\x00\x01\x02cnumpy\ndtype\n\x8c\x02u1\x89\x88\x87R(K\x03\x8c\x01|NNN"
                + b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tbK\x03\x85\x8c\x01CtR."
            )  # fmt: skip
            path.write_bytes(content)
            assert open_session(path).tolist() == [0, 1, 2]
            continue
        path.write_bytes(renamed(content, b"numpy._core" + module, core + module))
        array, scalar = open_session(path)
        assert (array.tolist(), scalar) == ([0, 1, 2], np.float32(2))


@pytest.mark.parametrize(
    "module",
    [
        *(b"mosaic.formats.parser", b"mosaic.formats.records", b"colabseg.formats.parser"),
        *(b"mosaicflow.formats.records", b"mosaicflow.formats", b"colabseg.parser"),
    ],
)
@pytest.mark.parametrize("trusted", [False, True])
def test_records_open_under_every_name_they_have_had(tmp_path, module, trusted):
    path = tmp_path / "a.pickle"
    for record, ours in (
        (VertexPropertyContainer({"a": [1, 2]}), b"mosaicflow.formats.ground.properties"),
        (GeometryData(vertices=np.eye(3)), b"mosaicflow.formats.ground.records"),
        (GeometryDataContainer([np.eye(3)]), b"mosaicflow.formats.ground.records"),
    ):
        content = pickle.dumps(record, 2)
        for home in (b"mosaicflow.formats.ground.properties", ours):
            if b"c" + home in content:
                content = renamed(content, home, module)
        path.write_bytes(content)
        assert type(open_session(path, trusted=trusted)) is type(record)


def test_the_pickled_state_of_the_references_property_box_opens(tmp_path):
    class VertexPropertyContainer:  # as the reference pickles it: these two attributes
        def __init__(self):
            self._properties = {"a": np.array([3.0, 4.0])}
            self._n_vertices = 2

    VertexPropertyContainer.__module__ = "mosaicflow.formats"
    VertexPropertyContainer.__qualname__ = "VertexPropertyContainer"
    ours = formats.VertexPropertyContainer
    path = tmp_path / "a.pickle"
    try:
        formats.VertexPropertyContainer = VertexPropertyContainer
        content = pickle.dumps({"box": VertexPropertyContainer()}, 2)
    finally:
        formats.VertexPropertyContainer = ours
    path.write_bytes(renamed(content, b"mosaicflow.formats", b"mosaic.formats.parser"))
    box = open_session(path)["box"]
    assert type(box) is ours
    assert box.get_property("a").tolist() == [3, 4]
    assert (len(box), box.properties) == (2, ["a"])


class Evil:
    """Pickles as a call."""

    def __init__(self, function, *arguments):
        self._call = (function, arguments)

    def __reduce__(self):
        return self._call


def evil_pickles(sentinel):
    """Pickles that would make the file `sentinel`, in many disguises."""
    import functools
    import os

    touch = f"touch {sentinel}"
    code = f"open({str(sentinel)!r}, 'w')"
    yield from (pickle.dumps({"a": [Evil(os.system, touch)]}, p) for p in (2, 3, 4, 5))
    yield pickle.dumps(Evil(eval, code))
    yield pickle.dumps(Evil(exec, code))
    yield pickle.dumps(Evil(subprocess.Popen, ["touch", str(sentinel)]))
    yield pickle.dumps(Evil(open, str(sentinel), "w"))
    yield pickle.dumps(Evil(functools.partial(os.system, touch)))
    yield pickle.dumps(Evil(getattr, int, "from_bytes"))
    call = b"X" + struct.pack("<I", len(touch)) + touch.encode() + b"\x85R."
    yield b"\x80\x02cnumpy\nos.system\n" + call
    yield b"\x80\x04\x8c\x05numpy\x8c\x09os.system\x93" + call
    yield b"\x80\x04\x8c\x22mosaicflow.formats.ground.errors\x8c\x00\x93" + call
    yield (
        b"\x80\x04\x8c\x22mosaicflow.formats.ground.records\x8c\x17importlib.import_module\x93"
        + call
    )
    yield b"\x80\x04\x8c\x12mosaicflow.formats\x8c\x0eimportlib.sys\x93" + call
    yield b"\x80\x02cnumpy\nload\n" + call
    yield b"\x80\x02cnumpy.testing._private.utils\nrunstring\n" + call
    yield b"\x80\x02(cposix\nsystem\no" + call[:-2] + b"o."
    yield b"\x80\x02(X\x01\0\0\0aiposix\nsystem\n."
    yield b"\x80\x02Pos.system\n."
    yield b"\x80\x02X\x01\0\0\0aQ."
    yield b"\x80\x02\x82\x01."
    yield b"\x80\x02cbuiltins\nbytearray\n}X\x01\0\0\0ab."
    # An allowed class whose state would replace what calls it.
    yield b"\x80\x02cnumpy\ndtype\ncposix\nsystem\nb."
    yield b"\x80\x02ccollections\nOrderedDict\n)R}X\x0a\0\0\0__reduce__cposix\nsystem\nsb."


def test_a_session_that_would_run_something_is_refused_by_name(tmp_path):
    path, sentinel = tmp_path / "a.pickle", tmp_path / "ran"
    for content in evil_pickles(sentinel):
        path.write_bytes(content)
        with pytest.raises(FormatError, match=r"a\.pickle") as caught:
            open_session(path)
        assert isinstance(caught.value, errors.MosaicflowError)
        assert not sentinel.exists(), content
    path.write_bytes(pickle.dumps(Evil(print, "ran")))
    with pytest.raises(pickle.UnpicklingError, match=r"builtins\.print.*trusted=True"):
        open_session(path)


def test_trust_lifts_the_restriction(tmp_path):
    path = tmp_path / "a.pickle"
    write_session(path, {"range": range(3), "call": Evil(abs, -3)})
    with pytest.raises(UntrustedSessionError, match="builtins"):
        open_session(path)
    assert open_session(path, trusted=True) == {"range": range(3), "call": 3}
    path.write_bytes(b"\x80\x02]]")
    with pytest.raises(FormatError, match="broken"):
        open_session(path, trusted=True)


N = 3_000_000
NEW = b"h\x00)\x81"
BOMBS = {
    "lists": b"]" * N,
    "dicts": b"}" * N,
    "sets": b"\x8f" * N,
    "frozen sets": b"(\x91" * N,
    "marks": b"(" * N,
    "remembered lists": b"]\x94" * N,
    "nested lists": b"]" * N + b"a" * (N - 1),
    "nested tuples": b"N" + b"\x85" * N,
    "numbers": b"J\xff\xff\xff\x7f" * N,
    "strings": b"\x8c\x08abcdefgh" * (N // 2),
    "ordered": b"ccollections\nOrderedDict\n\x94" + b"h\x00)R" * (N // 4),
    "records": b"cmosaic.formats.parser\nVertexPropertyContainer\n\x94" + NEW * (N // 4),
    "containers": b"cmosaic.formats.parser\nGeometryDataContainer\n\x94" + NEW * (N // 4),
    "types": b"cnumpy\ndtype\n\x94" + b"h\x00X\x02\0\0\0f8\x89\x88\x87R" * (N // 10),
    "memo": b"Nr\xff\xff\xff\xff0",
    "memo read": b"j\xff\xff\xff\xff",
    "bytes": b"\x8e" + struct.pack("<Q", 2**62),
    "bytearray": b"\x96" + struct.pack("<Q", 2**40),
    "text": b"\x8d" + struct.pack("<Q", 2**63),
    "old bytes": b"B\xff\xff\xff\xff",
    "frame": b"\x95" + struct.pack("<Q", 2**63),
    "whole number": b"\x8b\xff\xff\xff\x7f",
    "negative size": b"\x8b\xff\xff\xff\xff",
    "long whole number": b"\x8b" + struct.pack("<i", N) + b"\x01" * N,
    "copies": b"B" + struct.pack("<I", 1 << 20) + bytes(1 << 20)
    + b"\x94cbuiltins\nbytearray\n\x94" + b"h\x01h\x00\x85R" * 50_000,
    "made bytes": b"cbuiltins\nbytearray\n\x8a\x05\0\0\0\0\x10\x85R",
    "copied lists": b"("
    + b"N" * 50_000
    + b"l\x94cbuiltins\nset\n\x94"
    + b"h\x01h\x00\x85R" * 9_000,
    "shape": b"cnumpy._core.multiarray\n_reconstruct\ncnumpy\nndarray\n\x8a\x05\0\0\0\0\x10\x85"
    b"C\x01b\x87R",
    "hash of doubled tuples": b"}N\x85"
    + b"".join(b"\x94h" + bytes([i]) + b"\x86" for i in range(60)) + b"Ns",
    "hash of a nested tuple": b"}N" + b"\x85" * 100_000 + b"Ns",
    "tuple keys": b"}" + b"".join(b"M" + struct.pack("<H", i) + b"\x85Ns" for i in range(60_000)),
    "colliding keys": b"}" + b"".join(
        b"\x8a\x10" + (i * (2**61 - 1)).to_bytes(16, "little") + b"Ns" for i in range(60_000)
    ),
    "name without end": b"c" + b"a" * N,
    "one long name": b"\x8c\x01a" + b"X" + struct.pack("<I", N) + b"b" * N + b"\x93",
}  # fmt: skip

MEASURE = """
import sys, time
from pathlib import Path
from mosaicflow import formats
formats.open_session, formats.GeometryData  # their imports are no part of what an input costs
for path in map(Path, sys.argv[1:]):
    start = time.process_time()
    try:
        formats.open_session(path)
        outcome = "opened"
    except formats.FormatError as error:
        outcome = "refused"
    print(path.stem, time.process_time() - start, outcome, sep="\\t")
# Not getrusage: that starts with the peak of the parent process.
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print("peak", int(status["VmHWM"].split()[0]) / 1024, "", sep="\\t")
"""


@pytest.mark.slow
def test_hostile_pickles_cost_less_than_a_second_and_100_megabytes(tmp_path):
    paths = []
    for name, body in BOMBS.items():
        paths.append(tmp_path / f"{name}.pickle")
        paths[-1].write_bytes(b"\x80\x05" + body + b".")
    result = subprocess.run(
        [sys.executable, "-c", MEASURE, *map(str, paths)],
        capture_output=True,
        text=True,
        check=True,
    )
    *rows, (_, peak, _) = [line.split("\t") for line in result.stdout.splitlines()]
    assert [row[0] for row in rows] == list(BOMBS)
    assert all(outcome == "refused" for _, _, outcome in rows), rows
    slowest = max(rows, key=lambda row: float(row[1]))
    # CPU seconds: the wall clock also counts what else the machine does.
    assert float(slowest[1]) < 1, slowest
    assert float(peak) < 100  # MB, Python and NumPy (30 MB) included


def test_deep_nesting_within_the_budget_opens_and_goes_away(tmp_path):
    path = tmp_path / "a.pickle"
    path.write_bytes(b"\x80\x05" + b"]" * 100_000 + b"a" * 99_999 + b".")
    found = open_session(path)
    depth = 0
    while found:
        found, depth = found[0], depth + 1
    assert depth == 99_999


ARRAY = b"cnumpy._core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"


def dtype(name=b"f8", order=b"<", rest=b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00"):
    named = b"X" + struct.pack("<I", len(name)) + name
    return b"cnumpy\ndtype\n" + named + b"\x89\x88\x87R(K\x03X\x01\0\0\0" + order + rest + b"tb"


@pytest.mark.parametrize(
    "body",
    [
        ARRAY + b"(K\x01K\x02\x85" + dtype() + b"\x89C\x08abcdefghtb",  # two numbers, 8 bytes
        ARRAY + b"(K\x01K\x01\x85" + dtype(b"O", b"|") + b"\x89C\x08abcdefghtb",  # a raw pointer
        ARRAY + b"(K\x01K\x02\x85" + dtype(b"O", b"|") + b"\x89]tb",
        ARRAY + b"(K\x01J\xff\xff\xff\xff\x85" + dtype() + b"\x89C\x00tb",
        ARRAY + b"(K\x01K\x01\x85" + dtype(b"f8", b"x") + b"\x89C\x08abcdefghtb",
        ARRAY + b"(K\x01K\x01\x85N\x89C\x08abcdefghtb",
        ARRAY,
        ARRAY + b"0]",
        b"]" + ARRAY + b"a",
        dtype(b"f8,f8"),
        dtype(b"(2,)f8"),
        dtype(b"q"),
        # A structure with a pointer inside, and one whose field lies outside.
        dtype(b"V8", b"|", b"NX\x01\0\0\0a\x85}X\x01\0\0\0a" + dtype(b"O", b"|")
              + b"K\x00\x86sK\x08K\x01K\x00"),
        dtype(b"V8", b"|", b"NX\x01\0\0\0a\x85}X\x01\0\0\0a" + dtype()
              + b"K\x08\x86sK\x08K\x01K\x00"),
        dtype()[:-1],
        b"cnumpy\ndtype\n)R",
        b"cnumpy\nndarray\nK\x05\x85R",
        b"cnumpy\nndarray\n)\x81",
        b"cbuiltins\nset\nK\x05\x85R",
        b"cbuiltins\nset\n(]ltR",
        b"cmosaic.formats.parser\nGeometryDataContainer\n)\x81}X\x08\0\0\0vertices]K\x01asb",
        b"cmosaic.formats.parser\nVertexPropertyContainer\n)\x81}X\x0b\0\0\0_propertiesK\x01sb",
        b"cmosaic.formats.parser\nGeometryData\nK\x01\x85\x81",
        b"K\x01K\x02\x86}b",
        b"}K\x01s", b"a", b"]K\x01e", b"}(K\x01u", b"]]s", b"h\x05", b"\x93", b"t", b"\x85", b"0",
        b"}]Ns", b"\x8f(]\x90", b"K", b"J\x01", b"\xff", b"\x80\x63N", b"N\x85.N"[:2],
        b"", b"X\x02\0\0\0\xff\xfe",
    ],
)  # fmt: skip
def test_a_broken_pickle_is_a_format_error_of_that_file(tmp_path, body):
    path = tmp_path / "a.pickle"
    path.write_bytes(b"\x80\x04" + body + (b"" if body.endswith(b"K") else b"."))
    if body == b"N\x85":
        assert open_session(path) == (None,)
        return
    with pytest.raises(FormatError, match=r"a\.pickle"):
        open_session(path)


def test_sessions_that_are_cut_anywhere_are_refused(tmp_path):
    path = tmp_path / "a.pickle"
    write_session(path, everything(), {"meta": ("json", b"{}")})
    content = path.read_bytes()
    for length in range(4, len(content), 17):
        path.write_bytes(content[:length])
        for read in (open_session, read_session_meta):
            try:
                read(path)
            except FormatError:
                continue
            # The state lies before the meta section and may be whole.
            assert read is open_session
            assert length > len(content) - 8


def index_file(path, index, body=b""):
    content = json.dumps(index).encode() if isinstance(index, dict) else index
    path.write_bytes(len(content).to_bytes(4, "big") + content + body)
    return path


def entry(offset, size, encoding="json"):
    return {"offset": offset, "size": size, "encoding": encoding}


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (b"{", "no JSON"),
        (b"[1]", "no JSON object"),
        (b"[" * 100_000, "no JSON"),
        (b"\xff", "no JSON"),
        ({"format_version": 2, "sections": {}}, "format_version is 2"),
        ({"format_version": 1}, "no 'sections'"),
        ({"format_version": 1, "sections": {"a": {}}}, "section 'a'"),
        ({"format_version": 1, "sections": {"a": entry(-1, 1)}}, "section 'a'"),
        ({"format_version": 1, "sections": {"a": entry(1.5, 1)}}, "section 'a'"),
        ({"format_version": 1, "sections": {"a": entry(True, 1)}}, "section 'a'"),
        ({"format_version": 1, "sections": {"a": entry(1, 1, 5)}}, "section 'a'"),
    ],
)
def test_a_broken_index_is_refused_by_every_reader(tmp_path, index, message):
    path = index_file(tmp_path / "a.pickle", index)
    for read in (open_session, read_session_index, read_session_meta):
        with pytest.raises(FormatError, match=message):
            read(path)


def test_a_section_beyond_the_end_of_the_file_is_an_error(tmp_path):
    for place in (entry(100, 10**15), entry(2**70, 1), entry(0, 4), entry(90, 10**6)):
        index = {"format_version": 1, "version": "x", "sections": {"state": place, "meta": place}}
        path = index_file(tmp_path / "a.pickle", index, b"x" * 50)
        for read in (read_session_meta, lambda path: read_session_section(path, "state")):
            with pytest.raises(FormatError, match="announced at bytes"):
                read(path)
        assert read_session_index(path) == index


def test_what_is_no_session_says_so(tmp_path):
    path = tmp_path / "a.pickle"
    for content in (b"", b"abc"):
        path.write_bytes(content)
        assert read_session_index(path) == {"format_version": 0}
        with pytest.raises(FormatError, match="too short"):
            open_session(path)
    path.write_bytes(b"\x7f\xff\xff\xff{}")
    with pytest.raises(FormatError, match="announced with 2147483647 bytes, 2 are there"):
        open_session(path)
    index_file(path, {"format_version": 1, "version": "x", "sections": {}})
    with pytest.raises(FormatError, match="no section 'state'"):
        open_session(path)
    index = {"format_version": 1, "version": "x", "sections": {"state": entry(128, 0, "json")}}
    with pytest.raises(FormatError, match="a pickle is expected"):
        open_session(index_file(path, index, b"x" * 99))
    for read in (open_session, read_session_index, read_session_meta):
        with pytest.raises(FileNotFoundError, match="absent"):
            read(tmp_path / "absent.pickle")


def test_neither_index_nor_sections_unpickle(tmp_path, monkeypatch):
    path = tmp_path / "a.pickle"
    path.write_bytes(by_hand(b"cposix\nsystem\n.", b'{"n": 1}'))
    monkeypatch.setattr(pickle, "Unpickler", None)
    assert read_session_meta(path) == {"n": 1}
    assert read_session_section(path, "state") == b"cposix\nsystem\n."
    assert list(read_session_index(path)["sections"]) == ["state", "meta"]


def test_wrong_sections_are_refused_before_anything_is_written(tmp_path):
    path = tmp_path / "a.pickle"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="'state'"):
        write_session(path, {}, {"state": ("pickle", b"")})
    with pytest.raises(TypeError, match="bytes are expected"):
        write_session(path, {}, {"a": ("json", "text")})
    with pytest.raises(TypeError, match="strings"):
        write_session(path, {}, {"a": (1, b"")})
    with pytest.raises((pickle.PicklingError, AttributeError)):
        write_session(path, {"a": lambda: None})
    assert path.read_bytes() == b"old"
    assert [item.name for item in tmp_path.iterdir()] == ["a.pickle"]


def test_a_failed_write_leaves_the_old_session_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.pickle"
    write_session(path, {"a": 1})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_session(path, {"a": 2})
    assert open_session(path) == {"a": 1}
    assert [item.name for item in tmp_path.iterdir()] == ["a.pickle"]


def test_the_name_of_a_session_decides_nothing_for_the_writer(tmp_path):
    for name in ("a.mosaic", "a.pickle.gz", "a", "a.bz2"):
        write_session(tmp_path / name, [1, 2])
        assert open_session(tmp_path / name) == [1, 2]
        assert by_the_table((tmp_path / name).read_bytes())[0]["format_version"] == 1


def test_a_session_uses_protocol_5(tmp_path):
    write_session(tmp_path / "a.pickle", {"a": 1})
    state = read_session_section(tmp_path / "a.pickle", "state")
    assert next(pickletools.genops(state))[1] == 5
    assert formats.open_session(tmp_path / "a.pickle") == {"a": 1}
