"""Every file name of a run is made and read in one place."""

import ast
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaicflow import names
from mosaicflow.names import KINDS, about, labels_in, published_folder, slice_label, stem_of

SRC = Path(names.__file__).parent
ids = st.integers(0, 99_999)


@given(st.sampled_from(KINDS), ids, ids, st.integers(2, 5))
def test_what_a_name_is_made_of_is_read_back(kind, first, second, digits):
    labels = [slice_label(one, digits) for one in (first, second)][: kind.pattern.count("{z}")]

    name = kind.of(*labels)

    assert kind.labels(name) == tuple(labels)
    assert kind.ids(name) == about(name) == (first, second)[: len(labels)]
    assert labels_in(name) == tuple(labels)
    assert published_folder(name) == kind.folder
    for ending in (".metrics.json", ".png", ".crc32c.json"):
        assert about(stem_of(name) + ending) == about(name)


@given(st.sampled_from(KINDS), st.sampled_from(KINDS), ids)
def test_a_name_is_of_one_kind_only(kind, other, number):
    label = slice_label(number)
    name = kind.of(*[label] * kind.pattern.count("{z}"))

    assert (other.labels(name) is not None) == (other == kind)


@pytest.mark.parametrize("name", ["3d_volume", "mouse_z3", "z3 mouse", "z3.ome.zarr", "README.txt"])
def test_what_users_name_is_about_no_slice(name):
    assert about(name) == ()


def test_the_name_of_a_volume_is_no_kind():
    assert names.kind_of("zebra.png") is None
    assert names.kind_of("tile_positions.png") == names.PLACEMENTS
    assert names.kind_of("depth_profile.png") == names.PROFILE  # beside its table


def test_a_kind_wants_as_many_slices_as_it_is_about():
    with pytest.raises(ValueError, match="found 1 labels"):
        names.TRANSFORM.of("z00")


def test_no_other_module_makes_or_reads_a_name_of_a_slice():
    """A tile's folder in raw data is the instrument's name, not a run's."""
    foreign = {"acquisition", "simulation", "formats"}
    wrong = []
    for path in sorted(SRC.rglob("*.py")):
        inside = path.relative_to(SRC)
        if path.name == "names.py" or inside.parts[0] in foreign:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            made = isinstance(node, ast.JoinedStr) and re.search(r"z\{.*\}_", ast.unparse(node))
            read = isinstance(node, ast.Constant) and r"z\d" in str(node.value)
            if made or read:
                wrong.append(f"{inside}:{node.lineno}: {ast.unparse(node)}")
    assert wrong == []
