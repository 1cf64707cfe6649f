import numpy as np
import pytest

from mosaicflow.acquisition.discover import discover
from mosaicflow.acquisition.orientation import FILE_ORDER, OCT_DEFAULT, Orientation
from mosaicflow.acquisition.read.orientation_check import better_orientation, check_orientation
from mosaicflow.acquisition.settings import InspectSettings
from mosaicflow.errors import InputError
from mosaicflow.simulation import preset, simulate


@pytest.fixture(scope="module")
def acquisition(tmp_path_factory):
    settings = preset("toy", tile_shape=(40, 48, 40), n_repeat=2, stage_sign=(1, -1))
    return simulate(tmp_path_factory.mktemp("sim") / "sim", settings=settings)


def scores(acquisition, **settings):
    found = discover(acquisition.raw, InspectSettings(**settings))
    return check_orientation(acquisition.raw, found.slices)


def test_the_true_orientation_fits_best(acquisition):
    found = scores(acquisition)

    assert len(found) == len({score.orientation for score in found}) == 8
    assert found[0].orientation == OCT_DEFAULT
    assert found[0].ncc > 0.7 > found[1].ncc + 0.2
    assert better_orientation(found, OCT_DEFAULT) is None


@pytest.mark.parametrize("wrong", ["+slow,+fast", "-fast,+slow"])
def test_a_wrong_one_is_found_out(acquisition, wrong):
    better = better_orientation(scores(acquisition, orientation=wrong), Orientation.parse(wrong))

    assert better is not None
    assert better.orientation == OCT_DEFAULT


def test_data_written_the_other_way_is_recognised(tmp_path):
    raw = simulate(tmp_path / "sim", settings=preset("toy", preprocess=False))

    assert scores(raw)[0].orientation == FILE_ORDER


def test_without_structure_nothing_can_be_told(raw):
    raw.lattice(data=np.full((10, 16, 6), 7, "<f4"))
    found = discover(raw.root, InspectSettings())

    with pytest.raises(InputError, match="none of 7 pairs of neighbouring tiles shows structure"):
        check_orientation(raw.root, found.slices)
