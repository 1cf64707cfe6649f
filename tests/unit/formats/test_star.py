import numpy as np
import pytest
import starfile
from hypothesis import example, given
from hypothesis import strategies as st

from mosaicflow.formats import FormatError
from mosaicflow.formats.ground import text_table
from mosaicflow.formats.particles import star
from mosaicflow.formats.particles.star import read_star_blocks, star_value

split = star._splitter("a.star")
find_marked_words = star._find_marked_words


def tables(path):
    return [(block.name, block.table) for block in read_star_blocks(path)]


def test_labels_may_be_indented_and_numbered(text_file):
    path = text_file("a.star", "\ndata_x\nloop_\n  _a #1\n\t_b #2\n 1  2\n\t3\t4 \n")
    ((name, table),) = tables(path)
    assert name == "x"
    assert table.names == ["_a", "_b"]
    assert table.columns["_b"].tolist() == [2, 4]


def test_comments_begin_after_a_blank_only(text_file):
    path = text_file(
        "a.star", "# top\ndata_ # c\nloop_ # c\n_a # c\n_b\n1 x#y # end\n# alone\n2 z\n"
    )
    ((name, table),) = tables(path)
    assert name == ""
    assert table.columns["_b"].tolist() == ["x#y", "z"]


def test_quotes_end_before_a_blank_or_the_lines_end(text_file):
    path = text_file("a.star", "data_\nloop_\n_a\n_b\n'it's me' \"x y\"\n\"\" ' '\n'_a' 'data_b'\n")
    ((_, table),) = tables(path)
    assert table.columns["_a"].tolist() == ["it's me", "", "_a"]
    assert table.columns["_b"].tolist() == ["x y", " ", "data_b"]


value = st.text("a1.'\"# \x7f", max_size=6)


@given(rows=st.lists(st.lists(value, min_size=2, max_size=2), max_size=4), marked=st.booleans())
@example(rows=[["'a b'", '"c # d"'], ["'1.5'", "''"]], marked=False)
@example(rows=[["'a\tb'", "c"]], marked=False)
@example(rows=[["'", "a'"], ["it's", "#c"]], marked=False)
def test_values_found_all_at_once_are_those_of_one_line_after_another(rows, marked):
    if marked:
        rows = [[f"'{value}'" for value in row] for row in rows]
    text = "\n".join(" \t".join(row) for row in rows) + "\n'x y' # c"
    try:
        expected = [row for n, line in enumerate(text.split("\n"), 1) if (row := split(line, n))]
    except FormatError:
        assert find_marked_words(text, 2) is None
        return
    words = find_marked_words(text, 2)
    if words is not None:
        assert [words.texts(0), words.texts(1)] == list(map(list, zip(*expected, strict=True)))


def test_large_quoted_tables_are_not_split_line_by_line(text_file, monkeypatch):
    rows = "".join(f"'TS {n}' {n}.5 \"{n}\" # {n}\n" for n in range(3000))
    path = text_file("a.star", f"data_\nloop_\n_name\n_x\n_n\n{rows}")
    ((_, table),) = tables(path)
    monkeypatch.setattr(text_table.TextTable, "_numbered", None)
    assert table.columns["_name"].tolist() == [f"TS {n}" for n in range(3000)]
    np.testing.assert_array_equal(table.columns["_n"], np.arange(3000))
    np.testing.assert_array_equal(table.columns["_x"], np.arange(3000) + 0.5)


def test_blocks_without_loop_are_one_row(text_file):
    path = text_file("a.star", "data_general\n_a 1\n\n_b 'x y'\n\ndata_next\nloop_\n_c\n5\n")
    (_, general), (_, following) = tables(path)
    assert general.columns["_a"].tolist() == [1]
    assert general.columns["_b"].tolist() == ["x y"]
    assert following.columns["_c"].tolist() == [5]


def test_a_row_may_begin_with_the_name_of_a_file_called_data(text_file):
    path = text_file("a.star", "data_p\nloop_\n_name\n_x\ndata_1.mrc 1\ndata_2.mrc 2\n")
    ((_, table),) = tables(path)
    assert table.columns["_name"].tolist() == ["data_1.mrc", "data_2.mrc"]


def test_a_loop_without_rows_is_an_empty_table(text_file):
    path = text_file("a.star", "data_a\nloop_\n_x\n_y\n\ndata_b\nloop_\n_z\n1\n")
    (_, empty), (_, full) = tables(path)
    assert len(empty) == 0
    assert len(full) == 1


def test_values_of_relion_5_in_brackets_are_text(text_file):
    path = text_file("a.star", "data_\nloop_\n_f\n_n\n[1,1,0] 1\n[0,1,1] 2\n")
    ((_, table),) = tables(path)
    assert table.columns["_f"].tolist() == ["[1,1,0]", "[0,1,1]"]


def test_a_name_that_python_would_take_for_a_number_stays_a_name(text_file):
    path = text_file("a.star", "data_\nloop_\n_n\n_m\n1_2 1\n3_4 2\n")
    assert tables(path)[0][1].columns["_n"].tolist() == ["1_2", "3_4"]


def test_a_column_that_turns_to_text_late_keeps_its_first_texts(text_file):
    rows = "".join(f"{number}.50 1\n" for number in range(5000))
    path = text_file("a.star", f"data_\nloop_\n_n\n_m\n{rows}name 1\n")
    column = tables(path)[0][1].columns["_n"]
    assert column[0] == "0.50"
    assert column[-1] == "name"
    assert len(column) == 5001


def test_windows_line_ends_and_a_byte_order_mark_are_fine(tmp_path):
    path = tmp_path / "a.star"
    path.write_bytes(b"\xef\xbb\xbfdata_\r\nloop_\r\n_a\r\n_b\r\n1 2\r\n")
    assert tables(path)[0][1].columns["_b"].tolist() == [2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data_\nloop_\n_a\n_b\n1 2\n3\n", "line 6: 1 values, but there are 2 columns"),
        ("data_\nloop_\n_a\n_b\n1 2 3\n", "line 5: 3 values"),
        ("data_\nloop_\n_a\n_a\n1 2\n", "'_a' is there twice"),
        ("data_\n_a 1\n_a 2\n", "'_a' is there twice"),
        ("data_\nloop_\n_a\n_b\n'1 2\n", "line 5: the quote at column 1 never ends"),
        ("data_\nloop_\n1 2\n", "loop_ without column labels"),
        ("data_\n_a\n", "label '_a' has 0 values"),
        ("data_\n1 2 3\n", "line 2: '1' stands outside of a loop"),
        ("hello\n", "before the first data_ block"),
        ("# nothing\n", "no data_ block"),
        ("", "empty"),
    ],
)
def test_broken_syntax_is_named_with_its_line(text_file, text, message):
    path = text_file("bad.star", text)
    with pytest.raises(FormatError, match=message):
        [table.columns for _, table in tables(path)]


def test_binary_content_is_refused(tmp_path):
    path = tmp_path / "a.star"
    path.write_bytes(b"data_\0\0")
    with pytest.raises(FormatError, match="byte 5 is zero"):
        read_star_blocks(path)
    path.write_bytes(b"data_\xff\n")
    with pytest.raises(FormatError, match="byte 5 is not UTF-8"):
        read_star_blocks(path)


@pytest.mark.parametrize(
    "text", ["", " ", "a b", "it's", "'q", '"', "#c", "_x", "data_x", "loop_", "a'b c", "x\ty"]
)
def test_a_quoted_value_reads_back(text_file, text):
    path = text_file("a.star", f"data_\nloop_\n_a\n_b\n{star_value(text)}\t{star_value(text)}\n")
    columns = tables(path)[0][1].columns
    assert columns["_a"].tolist() == columns["_b"].tolist() == [text]


def test_a_value_that_star_cannot_hold_is_refused():
    with pytest.raises(ValueError, match="line break"):
        star_value("a\nb")
    with pytest.raises(ValueError, match="both kinds"):
        star_value("a' b\" c")


STARFILE_NAMES = (
    "basic_double_quote",
    "basic_single_quote",
    "default_pipeline",
    "empty_loop",
    "loop_double_quote",
    "loop_single_quote",
    "one_loop",
    "one_loop_full",
    "postprocess",
    "rln3.1_data_style",
    "run_it025_optimiser_2D",
    "run_it025_optimiser_3D",
    "run_it025_sampling_2D",
    "run_it025_sampling_3D",
    "single_line_end_of_multiblock",
    "single_line_middle_of_multiblock",
    "two_basic_blocks",
    "two_single_line_loop_blocks",
)


def as_read(value):
    return value if isinstance(value, str) else float(value)


@pytest.mark.parametrize("name", STARFILE_NAMES)
def test_real_files_have_the_blocks_that_starfile_finds(shared_data, name):
    path = shared_data(f"star_relion/{name}.star")
    expected = starfile.read(path, always_dict=True)
    found = dict(tables(path))
    assert list(found) == list(expected)
    for block, other in expected.items():
        table = found[block]
        if isinstance(other, dict):
            assert [label[1:] for label in table.names] == list(other)
            values = {label: column[0] for label, column in table.columns.items()}
            assert values == {f"_{label}": as_read(value) for label, value in other.items()}
            continue
        assert [label[1:] for label in table.names] == list(other.columns)
        assert len(table) == len(other)
        for label in table.names:
            column = table.columns[label]
            if column.dtype.kind == "f":
                assert column.tolist() == other[label[1:]].astype(float).tolist()
            else:
                # An empty value makes NaN of itself and numbers of its column there.
                texts = ["" if value != value else str(value) for value in other[label[1:]]]
                assert column.tolist() == texts
