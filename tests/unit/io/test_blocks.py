import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaicflow.errors import FormatError
from mosaicflow.io.blocks import (
    GalvoBlock,
    GridBlock,
    PlaneSpanBlock,
    SliceBlock,
    StageBlock,
    VolumeBlock,
)

numbers = st.floats(-1e6, 1e6)
lengths = st.floats(1e-3, 1e3)
counts = st.integers(1, 1000)
indices = st.tuples(st.integers(0, 50), st.integers(0, 50))
pairs = st.tuples(numbers, numbers)
texts = st.text(max_size=20)
stages = st.builds(
    StageBlock,
    st.tuples(st.sampled_from([-1, 0, 1]), st.sampled_from([-1, 0, 1])),
    st.none() | pairs,
    st.none() | pairs,
    st.none() | pairs,
)
galvos = st.builds(
    GalvoBlock,
    st.integers(0, 100),
    st.integers(-100, 100),
    st.none() | st.floats(0, 1),
    st.booleans(),
    texts,
)
grids = st.builds(
    GridBlock,
    tile_shape=st.tuples(counts, counts, counts),
    grid_shape=st.tuples(counts, counts),
    slice_id=st.none() | st.integers(0, 10_000),
    index_origin=indices,
    missing_tiles=st.lists(indices, max_size=4).map(tuple),
    blank_tiles=st.lists(indices, max_size=4).map(tuple),
    saturated_tiles=st.lists(indices, max_size=4).map(tuple),
    overlap_fraction=st.none() | st.floats(0, 0.9),
    positions=texts,
    tile_positions_mm=st.dictionaries(indices, pairs, max_size=4),
    stage=stages,
    orientation=st.dictionaries(texts, texts, max_size=2),
    galvo=galvos,
    source=st.dictionaries(texts, st.integers(), max_size=2),
    native_pitch_um=st.none() | st.tuples(lengths, lengths, lengths),
)
slices = st.builds(
    SliceBlock,
    slice_id=st.integers(0, 10_000),
    canvas_origin_px=pairs,
    stage=stages,
    galvo=galvos,
    usable_planes=st.none() | counts,
    surface=st.none() | st.dictionaries(texts, numbers, max_size=2),
    intensity=st.none() | st.dictionaries(texts, numbers, max_size=2),
)
spans = st.builds(PlaneSpanBlock, counts, counts)
drawn = st.builds(PlaneSpanBlock, counts, counts, counts)
volumes = st.builds(
    VolumeBlock,
    plane_pitch_um=st.none() | lengths,
    pixel_pitch_um=st.none() | lengths,
    reference_id=st.none() | st.integers(0, 10_000),
    slices=st.lists(drawn.map(PlaneSpanBlock.to_attrs), max_size=3).map(tuple),
    intensity=st.dictionaries(texts, numbers, max_size=2),
    left_out=st.lists(st.dictionaries(texts, texts, max_size=2), max_size=2).map(tuple),
    gaps=st.lists(spans, max_size=3).map(tuple),
    synthetic_planes=st.lists(spans, max_size=3).map(tuple),
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize("blocks", [grids, slices, volumes], ids=["grid", "slice", "volume"])
def test_a_block_survives_a_store(blocks):
    @given(blocks)
    def survives(block):
        stored = json.loads(json.dumps(block.to_attrs()))
        assert type(block).from_attrs(stored, "a store") == block

    survives()


@given(drawn)
def test_planes_of_a_slice_survive_a_store(span):
    stored = json.loads(json.dumps(span.to_attrs()))
    assert PlaneSpanBlock.from_attrs(stored, "a store") == span


@pytest.mark.parametrize("block", [GridBlock, SliceBlock, VolumeBlock])
def test_any_value_of_any_entry_is_read_or_refused_by_name(block):
    known = {
        GridBlock: GridBlock((8, 8, 8), (1, 1), slice_id=0),
        SliceBlock: SliceBlock(0, usable_planes=3),
        VolumeBlock: VolumeBlock(1.0, 1.0, 0),
    }[block].to_attrs()

    @given(st.sampled_from(sorted(known)), ANYTHING)
    def read(key, value):
        try:
            block.from_attrs({**known, key: value}, "slice.ome.zarr")
        except FormatError as error:
            assert "slice.ome.zarr" in str(error)  # noqa: PT017  both ends are right

    read()


def test_a_stage_without_direction_runs_along_the_array():
    assert StageBlock.from_attrs(None, "a store").known_sign_yx == (1.0, 1.0)
    assert StageBlock.from_attrs({"sign_y": -1, "sign_x": 0}, "a store").known_sign_yx == (-1, 1)


def test_a_single_plane_is_a_span_of_one():
    assert PlaneSpanBlock.from_attrs(7, "a store") == PlaneSpanBlock(7, 8)


def test_a_block_without_tiles_is_refused_with_what_to_do():
    with pytest.raises(FormatError, match=r"no 'grid_shape'.*create_mosaic_grid"):
        GridBlock.from_attrs({"tile_shape": [1, 2, 3]}, "grid.ome.zarr")
