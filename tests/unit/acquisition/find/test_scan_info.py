import pytest

from mosaicflow.acquisition.find.scan_info import parse_scan_info, read_values
from mosaicflow.acquisition.settings import ScanOverrides
from mosaicflow.errors import FormatError

PLAIN = """Scan info
nx: 300
ny: 200

width: 1500.0
height: 1000
n_extra: 40
top_z: 10
bottom_z: 129
stage_x_pos_mm: 12.5
stage_y_pos_mm: -3.25
"""


def test_values_become_numbers_where_they_are():
    info = parse_scan_info(PLAIN)

    assert (info.n_alines, info.n_bscans, info.n_z, info.n_extra) == (300, 200, 120, 40)
    assert (info.width_um, info.height_um, info.n_repeat) == (1500.0, 1000.0, 1)
    assert info.stage_xyz == (12.5, -3.25, None)


def test_line_ends_case_and_byte_order_mark_do_not_matter():
    text = "\ufeff" + PLAIN.replace("nx", "NX").replace("\n", "\r\n")

    assert parse_scan_info(text) == parse_scan_info(PLAIN)


def test_of_a_repeated_key_the_last_counts_and_a_change_is_noted():
    info = parse_scan_info(PLAIN + "nx: 150\nny: 200\n")

    assert info.n_alines == 150
    assert [code for code, _ in info.notes] == ["repeated_key"]


def test_decimal_comma_is_accepted_with_a_note():
    info = parse_scan_info(PLAIN.replace("1500.0", "1500,5"))

    assert info.width_um == 1500.5
    assert [code for code, _ in info.notes] == ["decimal_comma"]


def test_unknown_keys_and_texts_survive():
    values, _ = read_values("operator: A: B\nx: 1e3\n")

    assert values == {"operator": "A: B", "x": 1000.0}


def test_depth_falls_back_to_half_the_spectrometer_samples():
    text = PLAIN.replace("top_z: 10\nbottom_z: 129\n", "n_samples: 2048\n")

    assert parse_scan_info(text).n_z == 1024


def test_overrides_replace_the_file_and_can_stand_alone():
    given = ScanOverrides(nx=3, ny=2, nz=5, n_extra=0, width_um=30.0, height_um=20.0)

    assert given.is_complete
    assert parse_scan_info("", given).n_z == 5
    assert parse_scan_info(PLAIN, ScanOverrides(nx=299)).n_alines == 299


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("nx: 300\n", "", "nx is missing"),
        ("nx: 300", "nx: many", "nx is 'many'"),
        ("nx: 300", "nx: 0", "at least 1"),
        ("nx: 300", "nx: inf", "nx is inf"),
        ("nx: 300", "nx: nan", "nx is nan"),
        ("width: 1500.0", "width: -1", "width is -1"),
        ("bottom_z: 129", "bottom_z: 5", "lies above"),
        ("top_z: 10\nbottom_z: 129\n", "", "the depth is unknown"),
    ],
)
def test_unusable_values_are_named(old, new, match):
    with pytest.raises(FormatError, match=match):
        parse_scan_info(PLAIN.replace(old, new))
