import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mosaicflow.errors import FormatError
from mosaicflow.io.slices import SliceVolume, write_columns, write_slice
from mosaicflow.io.zarr import OmeZarrWriter, is_finished, open_level, save_omezarr


@pytest.fixture
def volume():
    return np.random.default_rng(0).random((5, 70, 300), np.float32)


@pytest.fixture
def source(volume, write_slice_store):
    return SliceVolume(write_slice_store(volume))


def test_a_slice_knows_its_shape_pitch_and_block(source):
    assert source.shape == (5, 70, 300)
    assert source.pitch_mm == (0.01, 0.01, 0.01)
    assert source.attrs["canvas_origin_px"] == [0, 0]


@settings(max_examples=30)
@given(
    shape=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    size=st.integers(1, 50),
)
def test_blocks_cover_each_pixel_once(tmp_path_factory, shape, size):
    path = tmp_path_factory.mktemp("s") / "a.ome.zarr"
    with OmeZarrWriter(path, (2, *shape)) as writer:
        writer.finalize(0.01)
    count = np.zeros(shape, int)
    for region in SliceVolume(path).blocks(size):
        count[region] += 1
    assert (count == 1).all()


@settings(max_examples=30)
@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 90), st.integers(1, 90)),
    chunks=st.tuples(st.integers(1, 9), st.integers(8, 40), st.integers(8, 40)),
    sharding=st.sampled_from([None, 1, 2]),
)
def test_every_column_is_made_once_whatever_the_shards(tmp_path_factory, shape, chunks, sharding):
    path = tmp_path_factory.mktemp("s") / "a.ome.zarr"
    flavour = "0.4" if sharding is None else "0.5"
    count = np.zeros(shape[1:], int)
    values = np.random.default_rng(1).random(shape, np.float32)
    with OmeZarrWriter(
        path, shape, chunks, ngff_version=flavour, sharding_factor=sharding
    ) as writer:

        def make(region):
            count[region] += 1
            block = values[:, region[0], region[1]]
            assert max(block.shape[1:]) <= max(chunks[1:])  # never the size of a shard
            return block

        write_columns(writer, make, 2)
        writer.finalize(0.01)
    assert (count == 1).all()
    np.testing.assert_array_equal(open_level(path)[...], values)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_reduced_slice_is_put_together_from_its_blocks(source, volume, threads):
    found = source.reduced(lambda block: block[:2, ::4, ::4], 4, 2, threads)
    np.testing.assert_array_equal(found, volume[:2, ::4, ::4])


@pytest.mark.parametrize(("most", "step"), [(10**6, 1), (21_000, 1), (20_999, 2), (1000, 8)])
def test_a_thinned_slice_keeps_every_nth_column(source, volume, most, step):
    found = source.thinned(most, 2)
    np.testing.assert_array_equal(found, volume[:, ::step, ::step])


@pytest.mark.parametrize("flavour", ["0.4", "0.5"])
def test_a_changed_copy_holds_every_block_changed(source, volume, tmp_path, flavour):
    output = tmp_path / "out.ome.zarr"
    options = {"ngff_version": flavour, "sharding_factor": 1}
    write_slice(
        source,
        output,
        lambda block, _region: block[:3] + np.float32(2),
        n_z=3,
        attrs={"kind": "slice"},
        n_levels=1,
        writer_options=options,
        threads=2,
    )
    found = open_level(output)
    np.testing.assert_array_equal(found[:], volume[:3] + np.float32(2))
    assert found.attrs["kind"] == "slice"
    assert open_level(output, 1).shape == (3, 35, 150)


def test_a_copy_that_fails_leaves_no_store(source, tmp_path):
    def change(_block, _region):
        raise ArithmeticError("boom")

    output = tmp_path / "out.ome.zarr"
    with pytest.raises(ArithmeticError, match="boom"):
        write_slice(
            source, output, change, n_z=5, attrs={}, n_levels=0, writer_options={}, threads=2
        )
    assert not output.exists()
    assert not is_finished(output)
    assert [p.name for p in tmp_path.iterdir() if not p.name.startswith(".")] == [source.path.name]


def test_a_projection_is_no_slice(tmp_path):
    save_omezarr(np.ones((8, 8), np.float32), tmp_path / "aip.ome.zarr", 0.01)
    with pytest.raises(FormatError, match=r"found shape \(8, 8\), expected \(z, y, x\)"):
        SliceVolume(tmp_path / "aip.ome.zarr")
