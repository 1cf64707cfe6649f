"""A row of the ledger is read and written without loss, with the columns that people added."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaicflow.errors import InputError
from mosaicflow.io.ledger_rows import CONFIG_COLUMNS, LedgerRow, read_rows, write_rows
from mosaicflow.io.tables import read_csv
from mosaicflow.reasons import Reason

# Cells as tables have them: no white space around.
texts = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Zs")), max_size=9).map(
    str.strip
)
flags = st.none() | st.booleans()
names = st.sampled_from(["quality_score", "interpolated", "mine", "Who, when", "ü"])
ledger_rows = st.builds(
    LedgerRow,
    label=st.integers(0, 9999).map(lambda number: f"{number:02d}"),
    use=st.booleans(),
    exclude_reason=st.sampled_from(list(Reason)).map(str) | texts,
    notes=texts,
    auto_excluded=flags,
    auto_exclude_reason=st.sampled_from(["", *Reason]).map(str),
    galvo_confidence=st.none() | st.floats(0, 1),
    galvo_fix=flags,
    rehomed=flags,
    rehoming_reliable=flags,
    others=st.dictionaries(names, texts),
)


@given(ledger_rows)
def test_a_row_is_read_as_it_was_written(row):
    assert LedgerRow.from_cells(row.to_cells(), "x") == row


@given(st.lists(ledger_rows, max_size=4))
def test_a_table_holds_all_columns_and_every_cell(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("ledger") / "slice_config.csv"
    write_rows(path, rows)
    found = read_rows(path)
    others = {name for row in rows for name in row.others}
    assert [row.to_cells() for row in found] == [
        {**row.to_cells(), **row.others, **_empty(row, others)} for row in rows
    ]
    header = list(read_csv(path)[0]) if rows else list(CONFIG_COLUMNS)
    assert tuple(header[: len(CONFIG_COLUMNS)]) == CONFIG_COLUMNS


def _empty(row, names):
    """Columns that only other rows fill; those of the ledger itself are read as nothing said."""
    usual = {"quality_score", *(name for name in CONFIG_COLUMNS if name.startswith("interp"))}
    return {name: row.others.get(name, "") for name in {*names, *usual}}


@given(ledger_rows, ledger_rows)
def test_what_another_row_says_counts_and_nothing_else_is_lost(row, other):
    found = row.with_said(other)
    assert found.said() == {**row.said(), **other.said()}
    assert (found.use, found.notes, found.label) == (row.use, row.notes, row.label)
    assert set(found.others) == {*row.others, *other.others}


@given(ledger_rows, st.sampled_from(["torn", "moved"]))
def test_a_note_is_added_once(row, text):
    once = row.with_note(text)
    assert once.with_note(text) == once
    assert text in once.notes


@pytest.mark.parametrize("text", ["1", "1.0", "True", "yes", "ja"])
def test_what_spreadsheets_make_of_yes_is_yes(text):
    row = LedgerRow.from_cells({"slice_id": "3", "use": "true", "rehomed": text}, "x")
    assert row.rehomed is True


@pytest.mark.parametrize(("column", "text"), [("galvo_confidence", "high"), ("rehomed", "maybe")])
def test_a_cell_that_is_not_what_its_column_holds_is_named(column, text):
    cells = {"slice_id": "3", "use": "true", column: text}
    with pytest.raises(InputError, match=f"mine.csv, slice 3, column {column}: found '{text}'"):
        LedgerRow.from_cells(cells, "mine.csv")


@pytest.mark.parametrize("text", ["", "nan"])
def test_nothing_is_said_in_an_empty_cell(text):
    row = LedgerRow.from_cells({"slice_id": "3", "use": "1", "galvo_confidence": text}, "x")
    assert (row.galvo_confidence, row.rehomed, row.said()) == (None, None, {})
