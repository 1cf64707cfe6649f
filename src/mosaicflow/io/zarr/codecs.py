"""Compression by name for both Zarr versions, and the Rust codec pipeline where it can serve."""

from __future__ import annotations

import functools
import logging
import threading
from typing import TYPE_CHECKING, Any, Literal, get_args

from mosaicflow.io.zarr.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    import zarr
    from numcodecs.abc import Codec
    from numpy.typing import NDArray
    from zarr.abc.codec import BytesBytesCodec

__all__ = [
    "Compressor",
    "check_compressor",
    "compressed_bytes",
    "compressor_for",
    "describe_codec",
    "encoder_for",
    "with_fast_pipeline",
]

Compressor = Literal["blosc", "blosc-lz4", "blosc-zstd", "zstd", "lz4", "gzip", "none"]

# Of zstd and gzip: the middle of 1-9, by judgement; gzip has none above 9.
_LEVEL = 5
_PIPELINE_LOCK = threading.Lock()
_log = logging.getLogger(__name__)


def check_compressor(name: str) -> None:
    """Raise unless `name` is one of the known codec names."""
    if name not in get_args(Compressor):
        known = ", ".join(get_args(Compressor))
        raise ArgumentError(f"compressor {name!r} is not known (expected one of: {known})")


def compressor_for(
    name: str, zarr_format: int, dtype: np.dtype[Any]
) -> Codec | tuple[BytesBytesCodec, ...] | None:
    """Return what `zarr.create_array(compressors=...)` takes for a codec name, or None.

    Everything is spelled out: the defaults of the libraries differ between versions. Zarr v3 gets
    a checksum per chunk, which every reader checks; Zarr v2 has none.
    """
    check_compressor(name)
    if zarr_format == 2:
        return None if name == "none" else _v2_codec(name)
    from zarr.codecs import Crc32cCodec

    packed = () if name == "none" else (_v3_codec(name, dtype.itemsize),)
    return (*packed, Crc32cCodec())


def compressed_bytes(values: NDArray[Any], name: str) -> int:
    """Count the bytes that a chunk takes with a codec of this name."""
    check_compressor(name)
    return values.nbytes if name == "none" else len(_v2_codec(name).encode(values.copy(order="C")))


def _v2_codec(name: str) -> Codec:
    import numcodecs

    match name:
        case "zstd":
            return numcodecs.Zstd(level=_LEVEL)
        case "gzip":
            return numcodecs.GZip(level=_LEVEL)
        case "lz4":
            return numcodecs.LZ4(acceleration=1)
    inner = "zstd" if name == "blosc-zstd" else "lz4"
    return numcodecs.Blosc(cname=inner, clevel=_LEVEL, shuffle=numcodecs.Blosc.SHUFFLE)


def _v3_codec(name: str, itemsize: int) -> BytesBytesCodec:
    from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

    match name:
        case "zstd":
            return ZstdCodec(level=_LEVEL)
        case "gzip":
            return GzipCodec(level=_LEVEL)
        case "lz4":
            _log.info("Zarr v3 has no plain lz4 codec: written as blosc with lz4 and no shuffle")
    shuffle: Literal["shuffle", "noshuffle"] = "noshuffle" if name == "lz4" else "shuffle"
    inner: Literal["zstd", "lz4"] = "zstd" if name == "blosc-zstd" else "lz4"
    return BloscCodec(typesize=itemsize, cname=inner, clevel=_LEVEL, shuffle=shuffle, blocksize=0)


def encoder_for(name: str, zarr_format: int) -> Callable[[NDArray[Any]], bytes]:
    """Return the function that encodes one chunk as `compressor_for` says."""
    import google_crc32c

    pack = _packer(name, zarr_format)
    if zarr_format == 2:
        return pack

    def encode(chunk: NDArray[Any]) -> bytes:
        data = pack(chunk)
        return data + int(google_crc32c.value(data)).to_bytes(4, "little")

    return encode


def _packer(name: str, zarr_format: int) -> Callable[[NDArray[Any]], bytes]:
    if name == "none":
        return lambda chunk: chunk.tobytes()
    import numcodecs

    codec = _v2_codec(name)
    if name == "lz4" and zarr_format == 3:
        codec = numcodecs.Blosc(cname="lz4", clevel=_LEVEL, shuffle=numcodecs.Blosc.NOSHUFFLE)
    return lambda chunk: bytes(codec.encode(chunk))


def describe_codec(array_metadata: Mapping[str, Any]) -> str:
    """Return a short name such as `blosc-lz4` from the JSON metadata of an array."""
    if array_metadata.get("zarr_format") == 2:
        compressor = array_metadata.get("compressor")
        return _codec_label(str(compressor["id"]), compressor) if compressor else "none"
    codecs = list(array_metadata.get("codecs", ()))
    for codec in codecs:
        if codec["name"] == "sharding_indexed":
            codecs = list(codec["configuration"]["codecs"])
    labels = [_codec_label(c["name"], c.get("configuration", {})) for c in codecs]
    # What names no compression: the order of bytes, and the checksum of every chunk of v3.
    return "+".join(one for one in labels if one not in {"bytes", "endian", "crc32c"}) or "none"


def _codec_label(name: str, configuration: Mapping[str, Any]) -> str:
    return f"blosc-{configuration.get('cname', '?')}" if name == "blosc" else name


def with_fast_pipeline(make: Callable[[], zarr.Array[Any]]) -> zarr.Array[Any]:
    """Run `make`, which opens or creates an array, so that the array uses the Rust codecs.

    zarr fixes an array's codec pipeline when the array object is made, from its global
    configuration. That is changed for this call only and under a lock, so that arrays opened by
    other code in the same process keep the pipeline their owner chose.
    """
    import zarr

    with _PIPELINE_LOCK, zarr.config.set({"codec_pipeline.path": _register_pipeline()}):
        return make()


@functools.cache
def _register_pipeline() -> str:
    from zarr.registry import register_pipeline

    pipeline = _store_pipeline()
    register_pipeline(pipeline)
    return f"{pipeline.__module__}.{pipeline.__qualname__}"


@functools.cache
def _store_pipeline() -> type[Any]:
    # The class lives in its own module so that worker processes can unpickle arrays.
    from mosaicflow.io.zarr._pipeline import StorePipeline

    return StorePipeline
