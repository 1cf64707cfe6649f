"""An alignment, which may come from anywhere, places slices in a volume of their size."""

from dataclasses import replace

import pytest

from mosaicflow.alignment.plausible import check_extent
from mosaicflow.alignment.solution import AlignedSlice, Alignment
from mosaicflow.errors import FormatError
from mosaicflow.rigid import Rigid2D

SLICES_UM = {0: (200.0, 1000.0, 1000.0), 9: (200.0, 1000.0, 1000.0)}


def placed(slice_id, z_plane):
    return AlignedSlice(slice_id, Rigid2D(0.0, (49.5, 49.5), (0.0, 0.0)), (1, 1), z_plane, 1, "")


SOUND = Alignment(0, (10.0, 10.0, 10.0), (100, 100), 200, 20.0, (placed(0, 0.2), placed(9, 180.4)))


def test_a_stack_with_lost_slices_is_plausible():
    check_extent(SOUND, SLICES_UM, "alignment.json")
    assert Alignment.from_json(SOUND.to_json(), "alignment.json").n_planes == 200


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"n_planes": 10**9}, r"the volume \(1e\+09 x 100 x 100 px\) is more than 10000 times"),
        ({"canvas_yx": (10**6, 10**6)}, ".* is more than 10000 times its slices"),
        ({"n_planes": 100}, "slice 9 begins at plane 180.4 of a volume of 100 planes"),
        ({"slices": (placed(9, -3e8),)}, "slice 9 begins at plane -3e"),
    ],
)
def test_a_volume_that_is_nearly_empty_or_holds_no_such_slice_is_refused(change, told):
    with pytest.raises(FormatError, match=rf"alignment.json: {told}"):
        check_extent(replace(SOUND, **change), SLICES_UM, "alignment.json")


@pytest.mark.parametrize("number", [1e30, -1e10, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["z_plane", "n_planes", "interval_planes"])
def test_numbers_beyond_all_lengths_are_no_alignment(name, number):
    record = SOUND.to_json()
    (record["slices"][0] if name == "z_plane" else record)[name] = number
    with pytest.raises(FormatError, match=r"alignment.json: .*is no place or length of a slice"):
        Alignment.from_json(record, "alignment.json")
