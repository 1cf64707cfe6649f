"""Every slice is accounted for, once."""

import pytest

from mosaicflow.errors import InputError
from mosaicflow.io.ledger_rows import LedgerRow
from mosaicflow.ledger.census import Failure, LeftOut, final_rows, merge_fragments, take_census


def ledger(*cells):
    return [LedgerRow.from_cells(one, "slice_config") for one in cells]


def rows(**use):
    return ledger(*({"slice_id": key[1:], "use": value} for key, value in use.items()))


def test_used_failed_excluded_and_missing_slices_are_told_apart():
    config = ledger(
        {"slice_id": "00", "use": "false", "exclude_reason": "first_slice_excluded"},
        {"slice_id": "01", "use": "true"},
        {"slice_id": "02", "use": "true"},
        {"slice_id": "03", "use": "false", "exclude_reason": "missing_tiles"},
        {"slice_id": "05", "use": "true"},
    )
    found = take_census(config, {0, 1, 5}, [Failure(2, "stitch_3d", "no links")])
    assert found.used == (1, 5)
    assert [(one.slice_id, one.status, one.reason) for one in found.left_out] == [
        (0, "excluded", "first_slice_excluded"),
        (2, "failed", "no links"),
        (3, "missing", "missing_tiles"),
        (4, "missing", "no tiles found"),
    ]


def test_a_slice_that_vanished_stops_the_run():
    with pytest.raises(InputError, match="slice 2 is to be used but arrived neither"):
        take_census(rows(s01="true", s02="true"), {1}, [])


def test_a_row_far_from_all_others_is_named_before_lists_grow_with_it():
    with pytest.raises(InputError, match="slice 999999999 lies far from the others"):
        take_census(rows(s01="true", s02="true", s999999999="false"), {1, 2}, [])


def test_a_slice_both_here_and_failed_stops_the_run():
    with pytest.raises(InputError, match="slice 1 is here and has a failure record"):
        take_census(rows(s01="true"), {1}, [Failure(1, "normalize", "x")])


def test_an_unlisted_slice_is_used_with_a_warning_or_refused():
    found = take_census(rows(s01="true"), {1, 2}, [])
    assert found.used == (1, 2)
    assert "slice 2 is not in slice_config" in found.warnings[0]
    with pytest.raises(InputError, match="slice 2"):
        take_census(rows(s01="true"), {1, 2}, [], strict=True)


def test_an_auto_excluded_slice_is_not_used():
    config = ledger({"slice_id": "1", "use": "true", "auto_excluded": "yes"})
    assert take_census(config, {1}, []).used == ()


def test_bad_spellings_and_double_rows_name_the_slice():
    with pytest.raises(InputError, match=r"slice 1, column use: found 'maybe'"):
        take_census(rows(s01="maybe"), {1}, [])
    with pytest.raises(InputError, match="row 3: slice 1 is listed twice"):
        take_census([*rows(s01="true"), *rows(z1="true")], {1}, [])


def test_fragments_stamp_columns_and_never_the_users_choice():
    config = ledger({"slice_id": "01", "use": "false", "notes": "torn", "mine": "kept"})
    stamps = ledger(
        {"slice_id": "1", "use": "true", "rehomed": "true", "notes": "moved"},
        {"slice_id": "1", "notes": "moved"},
        {"slice_id": "7", "rehomed": "true"},
    )
    merged, warnings = merge_fragments(config, stamps)
    assert merged[0].to_cells() == {
        "slice_id": "01",
        "use": "false",
        "notes": "torn; moved",
        "mine": "kept",
        "rehomed": "true",
    }
    assert merged[1].to_cells() == {"slice_id": "07", "use": "false", "rehomed": "true"}
    assert not warnings


def test_fragments_that_disagree_are_reported():
    stamps = ledger({"slice_id": "1", "rehomed": "true"}, {"slice_id": "1", "rehomed": "false"})
    _, warnings = merge_fragments(rows(s01="true"), stamps)
    assert "disagree about rehomed" in warnings[0]


def test_the_final_ledger_says_what_became_of_every_slice():
    config = rows(s01="true", s02="true", s03="true")
    left_out = [LeftOut(2, "failed", "no links", "stitch_3d"), LeftOut(4, "missing", "no tiles")]
    final = {row.label: row.to_cells() for row in final_rows(config, left_out, {3: "low"})}
    assert final["02"]["notes"] == "stitch_3d failed: no links"
    assert final["02"]["use"] == "true"
    assert final["03"]["auto_excluded"] == "true"
    assert final["04"] == {"slice_id": "04", "use": "false", "exclude_reason": "missing_tiles"}
