import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaicflow.errors import FormatError
from mosaicflow.io.failures import FailureRecord, read_failure
from mosaicflow.io.tables import write_document


def test_the_record_of_a_slice_says_what_failed_and_why(tmp_path):
    path = tmp_path / "z03_failure.json"
    write_document(path, {"slice_id": 3, "stage": "stitch_3d", "reason": "dark", "remedy": "light"})
    record = read_failure(path)
    assert record == FailureRecord(("z03",), "stitch_3d", "dark", 3, "light")
    assert record.sentence == "stitch_3d: dark"


def test_the_record_of_a_pair_names_both_and_no_slice():
    record = FailureRecord.from_json({"stage": "s", "reason": "r"}, "z03_z04_failure.json")
    assert record.labels == ("z03", "z04")
    with pytest.raises(FormatError, match=r"z03_z04.*names no slice"):
        _ = record.id_of_slice


def test_a_traceback_makes_it_a_bug():
    record = {"slice_id": 1, "stage": "s", "reason": "r", "traceback": "Traceback ..."}
    assert FailureRecord.from_json(record, "z01_failure.json").is_bug


@pytest.mark.parametrize(
    "record", [{}, {"stage": "s"}, {"stage": "s", "reason": "r", "slice_id": "x"}]
)
def test_a_record_that_says_nothing_is_refused_by_name(record):
    with pytest.raises(FormatError, match=r"^z01_failure\.json: "):
        FailureRecord.from_json(record, "z01_failure.json")


words = st.text(max_size=9)
slices = st.integers(0, 99).map(lambda i: ((f"z{i:02d}",), i, None))
pairs = st.tuples(st.integers(0, 49), st.integers(50, 99)).map(
    lambda ids: (tuple(f"z{i:02d}" for i in ids), None, ids)
)


@given(slices | pairs, words, words, words, st.lists(words, max_size=3).map(tuple))
def test_a_record_survives_its_file(whom, stage, reason, remedy, traceback):
    labels, slice_id, pair_ids = whom
    record = FailureRecord(labels, stage, reason, slice_id, remedy, pair_ids, traceback)
    stored = json.loads(json.dumps(record.to_json()))
    assert FailureRecord.from_json(stored, "_".join([*labels, "failure.json"])) == record
