import pytest

from mosaicflow.acquisition.discover import discover
from mosaicflow.acquisition.settings import InspectSettings, parse_slice_ranges
from mosaicflow.errors import InputError, ParameterError
from mosaicflow.io.ledger_rows import LedgerRow
from mosaicflow.ledger.proposal import config_rows, merge_config


@pytest.fixture
def slices(raw):
    for z in (0, 1, 3):
        raw.lattice(1, 2, z)
    return discover(raw.root, InspectSettings()).slices


def uses(rows):
    return {row.label: row.use for row in rows}


def ledger(*cells):
    return [LedgerRow.from_cells(one, "mine.csv") for one in cells]


def test_absent_ids_get_a_row(slices):
    rows = config_rows(slices)

    assert uses(rows) == {"00": True, "01": True, "02": False, "03": True}
    assert rows[2].exclude_reason == "missing_tiles"


def test_a_number_leaves_out_first_slices_but_never_the_last(slices):
    assert uses(config_rows(slices, exclude_first_slices="1"))["00"] is False
    assert uses(config_rows(slices, exclude_first_slices="9"))["03"] is True


def test_other_words_are_refused(slices):
    with pytest.raises(ParameterError, match="expected 'auto' or a number"):
        config_rows(slices, exclude_first_slices="some")


def test_the_users_word_counts(slices):
    user = ledger(
        {"slice_id": "0", "use": "no", "exclude_reason": "", "mine": "a"},
        {"slice_id": "1.0", "use": "true", "notes": "good"},
        {"slice_id": "02", "use": "true"},
        {"slice_id": "3", "use": "1", "exclude_reason": "low_quality"},
    )

    rows, warnings = merge_config(config_rows(slices), user, "mine.csv")

    assert warnings == []
    assert uses(rows) == {"00": False, "01": True, "02": False, "03": True}
    assert [row.exclude_reason for row in rows] == [
        "previously_excluded", "", "missing_tiles", "",
    ]  # fmt: skip
    assert rows[0].others["mine"] == "a"
    assert rows[1].notes == "good"


def test_rows_in_only_one_table_are_reported(slices):
    rows, warnings = merge_config(
        config_rows(slices), ledger({"slice_id": "7", "use": "true"}), "mine.csv"
    )

    assert uses(rows)["07"] is False
    assert len(warnings) == 5


def test_an_id_given_twice_is_an_error(slices):
    user = ledger({"slice_id": "1", "use": "true"}, {"slice_id": "01", "use": "false"})

    with pytest.raises(InputError, match="row 3: slice 1 is listed twice"):
        merge_config(config_rows(slices), user, "mine.csv")


def test_ranges_of_slices():
    assert parse_slice_ranges("3,5-8") == {3, 5, 6, 7, 8}
    assert parse_slice_ranges("") is None
    with pytest.raises(ParameterError, match="debug_slices has 'x'"):
        parse_slice_ranges("1,x")


def test_only_wanted_slices_are_looked_at(raw, slices):
    found = discover(raw.root, InspectSettings(debug_slices="1-2"))

    assert [tiles.slice_id for tiles in found.slices] == [1]
