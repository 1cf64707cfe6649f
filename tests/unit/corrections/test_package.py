"""What a package holds, and which tables it takes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mosaicflow.corrections.package import page_of, read_package, take_table, write_package
from mosaicflow.corrections.projections import edges, grey, known_mean, reduction
from mosaicflow.errors import InputError

HEADER = "kind,slice_id,iy,ix,dy_px,dx_px,angle_deg,sigma_px,lock,exclude,note\n"


def test_a_package_shows_every_slice_from_above_below_and_both_sides(package):
    content = read_package(package)
    assert [one["slice_id"] for one in content["slices"]] == [0, 1]
    for one in content["slices"]:
        assert one["shift_px"] == [0.0, 0.0]  # where the stage has it
        for name in ("top", "base", "xz", "yz"):
            for ending in (".jpg", "_edges.jpg"):
                assert (package / f"{one['pictures']}{name}{ending}").is_file()
        with Image.open(package / f"{one['pictures']}xz.jpg") as cut:
            assert cut.size == (170, 12)
    assert "http" not in (package / "index.html").read_text().replace("http://www.w3.org", "")


def test_a_package_names_no_path_of_the_machine(package, tmp_path):
    assert str(tmp_path) not in (package / "package.json").read_text()


def test_a_table_that_can_be_followed_is_kept_and_shown_again(package):
    said = take_table(package, HEADER + "slice,1,,,6,-4,3,,true,,by eye\n")
    assert said == f"saved 1 rows in {package / 'overrides.csv'}"
    assert '"by eye"' in page_of(package)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("slice,7,,,1,1,,,,,", "slice 7 is not in brain"),
        ("slice,1,,,far,1,,,,,", "expected a number"),
        ("slice,1,,,1,1,,,,,\nslice,01,,,2,2,,,,,", "two rows are about slice 1"),
    ],
)
def test_a_table_that_cannot_be_followed_changes_nothing(package, row, message):
    take_table(package, HEADER + "slice,1,,,6,-4,3,,true,,\n")
    kept = (package / "overrides.csv").read_bytes()
    with pytest.raises(InputError, match=message):
        take_table(package, HEADER + row + "\n")
    assert (package / "overrides.csv").read_bytes() == kept
    assert not list(package.glob(".*"))


def test_corrections_of_an_earlier_package_outlive_a_new_export(pair, package, tmp_path):
    take_table(package, HEADER + "slice,1,,,6,-4,3,,,,\n")
    kept = (package / "overrides.csv").read_bytes()
    other = tmp_path / "used.csv"
    other.write_text(HEADER + "slice,0,,,1,1,,,,,\n")
    write_package(pair.images(), package, other, 1)
    assert (package / "overrides.csv").read_bytes() == kept


def test_a_new_package_starts_from_the_table_that_the_run_used(pair, tmp_path):
    used = tmp_path / "used.csv"
    used.write_text(HEADER + "slice,0,,,1,1,,,,,kept\n")
    write_package(pair.images(), tmp_path / "p", used, 1)
    assert (tmp_path / "p" / "overrides.csv").read_text() == used.read_text()


def test_what_is_no_package_says_how_to_make_one(tmp_path):
    with pytest.raises(InputError, match="mosaicflow align export"):
        read_package(tmp_path)


def test_a_note_cannot_end_the_script_of_the_page(package):
    take_table(package, HEADER + "slice,1,,,6,-4,3,,,,</script><b>\n")
    page = page_of(package)
    assert "</script><b>" not in page
    start = page.index('id="package">') + len('id="package">')
    told = json.loads(page[start : page.index("</script>", start)])
    assert told["overrides"][0]["note"] == "</script><b>"


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_a_picture_is_never_longer_than_its_side(n_y, n_x):
    step = reduction((n_y, n_x), 900)
    assert max(n_y, n_x) <= 900 * step
    assert step == 1 or max(n_y, n_x) > 450 * step


def test_no_data_stays_black_and_draws_no_edge():
    image = np.zeros((60, 60), np.float32)
    image[10:50, 10:50] = 1 + np.arange(40) * 0.01
    image[10:50, 30:50] += 2.0
    picture = grey(image)
    outline = edges(picture)
    assert not picture[image == 0].any()
    assert outline[:, :14].max() == 0
    assert outline[30, 26:34].max() > 200
    assert known_mean(np.array([[0.0, 4.0], [0.0, 2.0]]), axis=0).tolist() == [0.0, 3.0]
