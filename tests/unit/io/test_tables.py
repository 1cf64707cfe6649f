import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaicflow.errors import FormatError, InputError
from mosaicflow.io.tables import (
    natural_order,
    parse_bool,
    read_csv,
    read_json,
    read_text,
    write_csv,
    write_json,
    write_text,
)
from mosaicflow.names import format_slice_id, parse_slice_id

names = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1)
cells = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1).map(str.strip)
columns = st.lists(names, min_size=1, max_size=4, unique=True)


@given(slice_id=st.integers(0, 10_000))
def test_an_id_is_read_back_from_every_name_it_is_written_in(slice_id):
    text = format_slice_id(slice_id)
    assert len(text) >= 2
    for name in (
        f"slice_z{text}_stitch_3d.ome.zarr",
        f"mosaic_grid_3d_z{text}.ome.zarr",
        f"z{text}_tiles.json",
        f"/data/z99/z{text}_failure.json",
        f"{slice_id}",
        f"{slice_id}.0",
        f" z{text} ",
    ):
        assert parse_slice_id(name) == slice_id
        assert parse_slice_id(Path(name)) == slice_id


def test_a_pair_is_known_by_its_first_slice():
    assert parse_slice_id("z07_z08_transform.json") == 7


@pytest.mark.parametrize("name", ["tables.csv", "7.5", "-1", "zebra_3.png", "", "xz07"])
def test_a_name_without_an_id_is_refused(name):
    with pytest.raises(InputError, match="found no slice id, expected 'zNN'"):
        parse_slice_id(name)


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), (" Yes ", True), ("1", True), ("F", False), ("", False)]
)
def test_people_may_spell_yes_and_no_as_they_like(text, value):
    assert parse_bool(text, "cell") is value


def test_anything_else_than_yes_or_no_is_named_with_its_place():
    with pytest.raises(InputError, match=r"slice_config.csv, row 3, use: found 'maybe'"):
        parse_bool("maybe", "slice_config.csv, row 3, use")


@given(data=st.data(), header=columns.filter(lambda c: all(n.strip() == n for n in c)))
def test_text_written_as_csv_is_read_back(tmp_path_factory, data, header):
    rows = data.draw(st.lists(st.fixed_dictionaries(dict.fromkeys(header, cells)).filter(any_text)))
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    write_csv(path, header, rows)
    assert read_csv(path, header) == rows


@pytest.mark.parametrize("name", [";", "0;", "a;b;c", "\t;"])
def test_a_name_may_hold_what_separates_the_columns_elsewhere(tmp_path, name):
    write_csv(tmp_path / "t.csv", [name.strip()], [{name.strip(): "1,5"}])
    assert read_csv(tmp_path / "t.csv", [name.strip()]) == [{name.strip(): "1,5"}]


def any_text(row):
    return any(row.values())


@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_floats_keep_every_bit(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    write_csv(path, ["v", "w"], [{"v": value, "w": np.float64(value)}])
    row = read_csv(path)[0]
    assert float(row["v"]) == float(row["w"]) == value


def test_cells_are_spelled_for_every_reader(tmp_path):
    path = tmp_path / "t.csv"
    row = {
        "none": None,
        "nan": math.nan,
        "nan32": np.float32("nan"),
        "true": True,
        "false": np.bool_(False),
        "zero": -0.0,
        "int": np.int64(3),
        "half": np.float32(0.5),
    }
    write_csv(path, list(row), [row, {"int": 1}])
    assert path.read_bytes() == (
        b"none,nan,nan32,true,false,zero,int,half\n,,,true,false,0.0,3,0.5\n,,,,,,1,\n"
    )


def test_a_table_that_went_through_other_programs_is_read(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes("\ufeff x , extra,y\r\n 1 ,é,2.5 \r\n\r\n,,\r\n3,,\r\n\r\n".encode())
    assert read_csv(path, ["y", "x"]) == [
        {"x": "1", "extra": "é", "y": "2.5"},
        {"x": "3", "extra": "", "y": ""},
    ]


def test_a_short_row_ends_in_empty_cells(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b,c\n1\n")
    assert read_csv(path) == [{"a": "1", "b": "", "c": ""}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "the table is empty, expected a header line"),
        (b"\n , \n", "the table is empty"),
        (b"a,b\n1,2\n", "found columns a, b; missing: x"),
        (b"x,y\n\n1,2,3\n", r"line 3: found 3 cells under 2 columns"),
        (b"x\n\x81\n", "cannot be read as a table"),
        (b"x,x\n1,2\n", "column 'x' appears twice"),
        (b"x\n" + b"1" * 200_000, "line 2: cannot be read as a table"),
    ],
)
def test_a_damaged_table_is_refused_with_its_place(tmp_path, text, message):
    path = tmp_path / "t.csv"
    path.write_bytes(text)
    with pytest.raises(InputError, match=message) as caught:
        read_csv(path, ["x"])
    assert str(path) in str(caught.value)


def test_a_table_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"gone.csv: cannot be read"):
        read_csv(tmp_path / "gone.csv")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(value=values.filter(lambda v: "Infinity" not in json.dumps(v)))
def test_json_is_read_back(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("json") / "t.json"
    write_json(path, value)
    assert read_json(path) == value


def test_json_holds_plain_values_only(tmp_path):
    path = tmp_path / "t.json"
    write_json(
        path,
        {
            1: math.inf,
            "a": np.array([[1.0, np.nan]]),
            "b": np.float32(0.5),
            "c": (Path("x/y"), np.int8(3)),
            "µ": np.bool_(True),
        },
    )
    assert "µ" in path.read_text(encoding="utf-8")
    assert read_json(path) == {
        "1": None, "a": [[1.0, None]], "b": 0.5, "c": ["x/y", 3], "µ": True,
    }  # fmt: skip


def test_a_mistake_in_json_is_reported_with_line_and_column(tmp_path):
    path = tmp_path / "t.json"
    path.write_text('{"a": 1,\n "b" 2}')
    with pytest.raises(FormatError, match=r"t.json, line 2, column 6: not valid JSON"):
        read_json(path)


def test_a_json_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"gone.json: cannot be read"):
        read_json(tmp_path / "gone.json")


def test_a_link_is_replaced_and_what_it_points_to_is_kept(tmp_path):
    target, link = tmp_path / "target.csv", tmp_path / "link.csv"
    target.write_text("old")
    link.symlink_to(target)
    write_text(link, "new")
    assert target.read_text() == "old"
    assert not link.is_symlink()
    assert link.read_text() == "new"


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing_behind(tmp_path):
    path = tmp_path / "t.csv"
    write_csv(path, ["a"], [{"a": 1}])
    with pytest.raises(ValueError, match="fields not in fieldnames"):
        write_csv(path, ["a"], [{"b": 2}])
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "\ud800")
    assert path.read_text() == "a\n1\n"
    assert os.listdir(tmp_path) == ["t.csv"]


def test_killing_a_writer_leaves_the_old_or_the_new_file_whole(tmp_path):
    path = tmp_path / "t.json"
    program = (
        "import sys; from pathlib import Path; from mosaicflow.io.tables import write_json\n"
        "n = 0\nwhile True:\n n += 1\n write_json(Path(sys.argv[1]), [n] * 100_000)\n"
    )
    for _ in range(3):
        writer = subprocess.Popen([sys.executable, "-c", program, str(path)])
        while not path.exists():
            time.sleep(0.01)
        time.sleep(0.05)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        found = read_json(path)
        assert len(found) == 100_000
        assert len(set(found)) == 1


def test_numbers_in_names_count_as_numbers():
    names = ["z10.tif", "z2.tif", "a100b2", "a100b10", "z02.tif"]

    assert sorted(names, key=natural_order) == ["a100b2", "a100b10", "z02.tif", "z2.tif", "z10.tif"]


@pytest.mark.parametrize("read", [read_csv, read_json, read_text])
@pytest.mark.parametrize("what", ["pipe", "device"])
def test_a_table_that_would_be_waited_for_is_refused(tmp_path, read, what):
    path = tmp_path / "a.csv"
    os.mkfifo(path) if what == "pipe" else path.symlink_to("/dev/zero")
    with pytest.raises(InputError, match=r"a\.csv.*is a pipe or device"):
        read(path)
