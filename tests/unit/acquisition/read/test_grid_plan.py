import math

from hypothesis import given
from hypothesis import strategies as st

from mosaicflow.acquisition.read.grid_plan import MAX_CHUNK_BYTES, grid_chunks


def test_a_usual_tile_is_one_chunk():
    assert grid_chunks((120, 160, 160)) == (120, 160, 160)


def test_a_large_tile_is_split_along_depth_first():
    assert grid_chunks((1000, 512, 512)) == (250, 512, 512)


def test_a_prime_depth_is_split_all_the_way():
    assert grid_chunks((1009, 512, 512)) == (1, 512, 512)


@given(st.tuples(st.integers(1, 5000), st.integers(1, 9000), st.integers(1, 9000)))
def test_chunks_divide_the_tile_and_stay_small(shape):
    chunk = grid_chunks(shape)

    assert all(n % c == 0 for n, c in zip(shape, chunk, strict=True))
    assert 4 * math.prod(chunk) <= MAX_CHUNK_BYTES
