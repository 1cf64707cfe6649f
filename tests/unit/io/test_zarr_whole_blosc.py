"""A truncated blosc chunk is noticed whatever lies behind it in memory."""

from __future__ import annotations

import numcodecs
import numpy as np
import pytest
from zarr.codecs import BloscCodec, BytesCodec, ShardingCodec

from mosaicflow.io.zarr._compat import V2Codec
from mosaicflow.io.zarr.whole_blosc import WholeBlosc, with_whole_blosc

VALUES = np.random.default_rng(1).integers(0, 4000, 5000).astype(np.uint16)


@pytest.fixture(params=["lz4", "zstd", "blosclz"])
def chunk(request) -> bytes:
    return numcodecs.Blosc(cname=request.param).encode(VALUES)


def inside(codec):
    """The codec of numcodecs in one of zarr's."""
    match codec:
        case V2Codec():
            return codec.compressor
        case ShardingCodec():
            return inside(codec.codecs[-1])
    return codec._blosc_codec


def test_the_library_reads_on_beyond_a_truncated_chunk(chunk):
    half = memoryview(chunk)[: len(chunk) // 2]  # the other half stays in memory
    np.testing.assert_array_equal(np.frombuffer(numcodecs.Blosc().decode(half), "<u2"), VALUES)


@pytest.mark.parametrize(
    "codec",
    [
        V2Codec(filters=None, compressor=numcodecs.Blosc(cname="zstd", clevel=3)),
        BloscCodec(typesize=2, cname="lz4", shuffle="bitshuffle"),
        ShardingCodec(chunk_shape=(4,), codecs=(BytesCodec(), BloscCodec(typesize=2))),
    ],
    ids=["v2", "v3", "shards"],
)
def test_it_is_noticed_in_every_codec_of_zarr(codec, chunk):
    (whole,) = with_whole_blosc([codec])
    assert inside(whole).get_config() == inside(codec).get_config()
    assert whole.to_dict() == codec.to_dict()
    np.testing.assert_array_equal(np.frombuffer(inside(whole).decode(chunk), "<u2"), VALUES)
    for length in (len(chunk) // 2, len(chunk) - 1, 15, 1, 0):
        with pytest.raises(ValueError, match=f"{length} bytes, .* expected"):
            inside(whole).decode(memoryview(chunk)[:length])


def test_other_codecs_stay(chunk):
    plain = V2Codec(filters=None, compressor=numcodecs.Zstd())
    assert with_whole_blosc([BytesCodec(), plain]) == (BytesCodec(), plain)
    with pytest.raises(ValueError, match="expected"):
        WholeBlosc().decode(chunk + b"\0")
