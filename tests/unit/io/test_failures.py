import pytest

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
