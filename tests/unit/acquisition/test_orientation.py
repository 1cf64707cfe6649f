import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaicflow.acquisition.orientation import FILE_ORDER, OCT_DEFAULT, Orientation
from mosaicflow.errors import ParameterError

# A stream of 3 A-lines x 2 B-scans of one sample each.
STREAM = np.array([11, 21, 31, 12, 22, 32], np.float32).reshape(2, 3, 1)


def test_default_turns_the_a_lines_to_y_and_both_axes_round():
    assert OCT_DEFAULT.view(STREAM)[0].tolist() == [[32, 31], [22, 21], [12, 11]]


def test_file_order_keeps_a_lines_along_x():
    assert FILE_ORDER.view(STREAM)[0].tolist() == [[11, 21, 31], [12, 22, 32]]


@given(st.booleans(), st.booleans(), st.booleans())
def test_text_form_comes_back(y_is_fast, reverse_y, reverse_x):
    orientation = Orientation(y_is_fast, reverse_y, reverse_x)

    assert Orientation.parse(str(orientation)) == orientation


def test_sizes_follow_the_axes():
    assert OCT_DEFAULT.yx(fast=3, slow=2) == (3, 2)
    assert FILE_ORDER.yx(fast=3, slow=2) == (2, 3)


def test_metadata_names_the_axes():
    assert OCT_DEFAULT.describe() == {
        "preprocess": True,
        "axis_y": "fast-reversed",
        "axis_x": "slow-reversed",
    }


@pytest.mark.parametrize("text", ["fast", "fast,fast", "up,down", "fast,slow,fast", ""])
def test_other_texts_are_refused(text):
    with pytest.raises(ParameterError, match="expected two signed axes"):
        Orientation.parse(text)
