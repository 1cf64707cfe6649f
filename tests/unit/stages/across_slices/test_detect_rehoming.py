"""The stage's own files: cleaned steps, report and ledger fragment."""

import json

import pytest

from mosaicflow.errors import InputError, ParameterError
from mosaicflow.io.tables import read_csv
from mosaicflow.stages.detect_rehoming import detect_rehoming

HEADER = "fixed_id,moving_id,x_shift,y_shift,x_shift_mm,y_shift_mm,reliable\r\n"


@pytest.fixture
def shifts(tmp_path):
    steps = (0.01, 0.90, -0.88, 0.02, 1.20, 0.00)
    rows = "".join(f"{i}.0,{i + 1}.0,{x / 0.0015},0,{x},0,1\r\n" for i, x in enumerate(steps))
    path = tmp_path / "shifts_xy.csv"
    path.write_text("\ufeff" + HEADER + rows, encoding="utf-8")
    return path


def test_a_spike_is_removed_and_a_move_is_stamped(shifts, tmp_path):
    detect_rehoming(shifts=shifts, output_dir=tmp_path / "out")
    rows = read_csv(tmp_path / "out" / "shifts_xy_clean.csv")
    assert [float(row["x_shift_mm"]) for row in rows] == [0.01, 0.01, 0.01, 0.02, 1.2, 0.0]
    assert [row["reliable"] for row in rows] == ["1", "1", "1", "1", "0", "1"]
    assert [row["fixed_id"] for row in rows] == list("012345")
    assert float(rows[1]["x_shift"]) == pytest.approx(0.01 / 0.0015, abs=1e-3)
    report = json.loads((tmp_path / "out" / "rehoming_report.json").read_text())
    assert (report["n_rows"], report["n_corrected"]) == (6, 2)
    (stamp,) = read_csv(tmp_path / "out" / "rehoming_config.csv")
    assert stamp == {"slice_id": "05", "rehomed": "true", "rehoming_reliable": "false"}


def test_metrics_count_what_was_changed(shifts, tmp_path):
    detect_rehoming(shifts=shifts, output_dir=tmp_path)
    metrics = json.loads((tmp_path / "shifts_xy_clean.metrics.json").read_text())["metrics"]
    assert metrics["spikes"]["value"] == 1
    assert metrics["genuine_moves"]["value"] == 1
    assert metrics["max_step"]["status"] == "warning"


def test_a_run_of_one_slice_has_no_steps(tmp_path):
    path = tmp_path / "shifts_xy.csv"
    path.write_text(HEADER)
    detect_rehoming(shifts=path, output_dir=tmp_path)
    assert read_csv(tmp_path / "shifts_xy_clean.csv") == []


def test_strict_refuses_what_would_be_repaired(tmp_path):
    path = tmp_path / "shifts_xy.csv"
    path.write_text(HEADER + "1,0,0,0,0.1,0,1\n")
    detect_rehoming(shifts=path, output_dir=tmp_path)
    with pytest.raises(InputError, match="pair 1-0 reversed"):
        detect_rehoming(shifts=path, output_dir=tmp_path, strict=True)


def test_a_table_without_millimetres_is_refused(tmp_path):
    path = tmp_path / "shifts_xy.csv"
    path.write_text("fixed_id,moving_id,x_shift,y_shift\n0,1,5,2\n")
    with pytest.raises(InputError, match="missing: x_shift_mm, y_shift_mm"):
        detect_rehoming(shifts=path, output_dir=tmp_path)


def test_a_limit_of_nothing_is_refused(shifts, tmp_path):
    with pytest.raises(ParameterError, match="rehoming_max_shift_mm"):
        detect_rehoming(shifts=shifts, output_dir=tmp_path, rehoming_max_shift_mm=0)
