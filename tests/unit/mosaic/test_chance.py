"""What unrelated tiles reach, and from which evidence on a match stands alone."""

import numpy as np
import pytest

from mosaicflow.mosaic.chance import SURE, sure_from


@pytest.mark.parametrize("n", [1, 4, 22, 900])
def test_pairs_that_look_like_strangers_must_exceed_chance_by_all_that_makes_sure(n):
    assert sure_from([-1.0] * n, 24) == pytest.approx(SURE)


def test_pairs_without_anything_to_compare_count_as_unrelated():
    assert sure_from([-np.inf] * 20, 24) == pytest.approx(SURE)


def test_where_hardly_a_pair_looks_like_strangers_less_is_enough():
    levels = [sure_from([-1.0] * n + [5.0] * (22 - n), 24) for n in range(12)]
    assert levels == sorted(levels)
    assert levels[0] == pytest.approx(3.02, abs=0.01)
    assert levels[-1] == pytest.approx(SURE)


def test_few_pairs_do_not_tell_how_many_are_unrelated():
    assert sure_from([5.0], 6) == pytest.approx(SURE)
    assert sure_from([5.0, 5.0], 12) == pytest.approx(SURE)


def test_large_slices_ask_for_no_less_than_small_ones():
    assert sure_from([5.0] * 900, 24) == pytest.approx(3.0)
