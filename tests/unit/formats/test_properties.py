import pickle
import warnings

import numpy as np
import pytest

from mosaicflow.formats import VertexPropertyContainer


@pytest.fixture
def box():
    return VertexPropertyContainer({"a": [1, 2, 3], "b": np.zeros((3, 2))})


def test_names_and_length_are_those_of_the_arrays(box):
    assert box.properties == ["a", "b"]
    assert len(box) == 3


def test_a_property_that_is_absent_gives_the_default(box):
    assert box.get_property("c") is None
    assert box.get_property("c", 7) == 7
    np.testing.assert_array_equal(box.get_property("a"), [1, 2, 3])


def test_unequal_lengths_are_refused(box):
    with pytest.raises(ValueError, match="'c' has 2 values"):
        box.set_property("c", [1, 2])
    with pytest.raises(ValueError, match="'b' has 1 values"):
        VertexPropertyContainer({"a": [1, 2], "b": [1]})
    with pytest.raises(ValueError, match="single value"):
        box.set_property("c", 4)


def test_removing_what_is_absent_is_fine(box):
    box.remove_property("nothing")
    assert len(box) == 3


def test_an_emptied_container_accepts_any_length(box):
    box.remove_property("a")
    box.remove_property("b")
    assert len(box) == 0
    box.set_property("c", range(5))
    assert len(box) == 5


def test_a_copy_is_deep(box):
    other = box.copy()
    other.get_property("a")[0] = 99
    other.set_property("c", [0, 0, 0])
    assert box.get_property("a")[0] == 1
    assert box.properties == ["a", "b"]


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (1, [2]),
        (-1, [3]),
        (np.int64(0), [1]),
        (slice(1, None), [2, 3]),
        (..., [1, 2, 3]),
        ([2, 0], [3, 1]),
        (np.array([True, False, True]), [1, 3]),
        ([True, False, True], [1, 3]),
        ([], []),
    ],
)
def test_indexing_gives_a_new_container(box, index, expected):
    part = box[index]
    assert part.get_property("a").tolist() == expected
    assert part.get_property("b").shape == (len(expected), 2)
    assert len(part) == len(expected)


def test_an_index_outside_is_an_error(box):
    with pytest.raises(IndexError):
        box[3]


def test_merge_joins_what_all_share_and_names_what_it_drops(box):
    other = VertexPropertyContainer({"a": [4], "c": [0]})
    with pytest.warns(UserWarning, match=r"'b', 'c'"):
        merged = VertexPropertyContainer.merge([box, VertexPropertyContainer(), other])
    assert merged.properties == ["a"]
    assert merged.get_property("a").tolist() == [1, 2, 3, 4]


def test_merge_without_a_shared_property_warns_and_is_empty(box):
    with pytest.warns(UserWarning, match="no property is shared"):
        merged = VertexPropertyContainer.merge([box, VertexPropertyContainer({"z": [1]})])
    assert merged.properties == []


def test_merge_of_nothing_is_empty_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(VertexPropertyContainer.merge([])) == 0
        assert len(VertexPropertyContainer.merge([VertexPropertyContainer()])) == 0


def test_the_pickled_state_is_that_of_the_session_format(box):
    assert set(box.__getstate__()) == {"_properties", "_n_vertices"}
    again = pickle.loads(pickle.dumps(box))
    assert again.get_property("a").tolist() == [1, 2, 3]
    old = VertexPropertyContainer.__new__(VertexPropertyContainer)
    old.__dict__.update({"_properties": {"q": np.arange(4)}, "_n_vertices": 4})
    assert len(old) == 4
