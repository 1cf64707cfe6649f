"""Channels of image tiles, and angles as pairs of pictures."""

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from mosaicflow.acquisition.channels import Channel, joined_angles
from mosaicflow.acquisition.find.tiff_files import read_planes
from mosaicflow.errors import FormatError, ParameterError
from mosaicflow.io.tiff_pages import separate_channels


def pictures(degrees):
    """Cosine and sine of the doubled angles, as two channels hold them."""
    found = []
    for part in ("cos", "sin"):
        values = np.array(degrees, np.float32)
        Channel.parse(f"1{part}").change(values)
        found.append(values)
    return found


def apart(a, b):
    """How far directions are apart [deg]; 1 and 179 are 2 apart."""
    return np.abs((np.asarray(a) - b + 90) % 180 - 90)


@given(st.lists(st.floats(-360, 360, width=32), min_size=1, max_size=20))
def test_angles_come_back_whatever_turn_they_were_given_in(degrees):
    found = joined_angles(*pictures(degrees))
    assert (apart(found, degrees) < 1e-3).all()  # deg, of float32
    assert ((found > 0) & (found <= 180)).all()


@given(middle=st.floats(0, 180), spread=st.floats(0, 30))
def test_the_mean_of_angles_is_that_of_their_directions(middle, spread):
    degrees = (middle + np.array([-spread, -spread / 2, spread / 2, spread])) % 180
    means = [np.atleast_1d(one.mean()) for one in pictures(degrees)]
    assert apart(joined_angles(*means), middle)[0] < 0.01  # deg; the plain mean may be off by 90


def test_places_without_an_angle_stay_without_one():
    cosine, sine = pictures([np.nan, 0.0, 45.0, 90.0])
    assert (cosine[0], sine[0]) == (0, 0)
    assert (cosine[1:] != 0).all()
    assert (sine[1:] != 0).all()  # exactly 0 means that there is no data
    found = joined_angles(cosine, sine)
    assert found[0] == 0
    assert (found[1:] > 0).all()
    assert (apart(found[1:], [0, 45, 90]) < 1e-3).all()  # deg


def test_brightness_is_left_as_it_is():
    assert Channel.parse("").change is None
    assert Channel.parse("3") == Channel(3, "")


@pytest.mark.parametrize("text", ["red", "-1", "1tan", "1 cos"])
def test_a_channel_is_a_number(text):
    with pytest.raises(ParameterError, match="expected a number such as 2, 2cos or 2sin"):
        Channel.parse(text)


def test_each_channel_of_a_stack_can_be_read(tmp_path):
    image = np.random.default_rng(1).integers(0, 999, (3, 4, 6, 5)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.ome.tif", image, metadata={"axes": "CZYX"}, ome=True)
    for number in range(3):
        np.testing.assert_array_equal(
            read_planes(tmp_path / "a.ome.tif", "", number), image[number]
        )
    with pytest.raises(FormatError, match="has 3 channels, not one of number 3"):
        read_planes(tmp_path / "a.ome.tif", "", 3)


def test_colours_and_alpha_are_no_channels_of_their_own():
    assert separate_channels(("red", "green", "blue", "alpha")) == 1
    assert separate_channels(("grey", "alpha")) == 1
    assert separate_channels(()) == 1
    assert separate_channels(("DAPI", "GFP")) == 2
