"""Blosc that notices a truncated chunk.

The library takes the length of a chunk from the chunk's own header and reads on beyond its end:
into whatever memory holds there, which may be the same chunk as it was before it was cut short.
"""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import TYPE_CHECKING, Any

from numcodecs import Blosc, blosc
from zarr.codecs import BloscCodec, ShardingCodec

from mosaicflow.io.zarr._compat import V2Codec
from mosaicflow.threads import is_limited

if TYPE_CHECKING:
    from collections.abc import Iterable

    from zarr.abc.codec import Codec

__all__ = ["WholeBlosc", "whole", "with_whole_blosc"]

# A process of ours gives the library no threads of its own, those of others stay. Before 0.17 it
# makes a lock between processes for them all the same, which one that is killed leaves behind.
if is_limited():
    blosc.use_threads = False
    blosc.get_mutex = lambda: None

# Of a chunk: the whole header, and where in it the lengths of the content, decoded, and of header
# and content as stored stand (c-blosc 1, README_CHUNK_FORMAT).
_HEADER_BYTES = 16
_CONTENT = slice(4, 8)
_LENGTH = slice(12, 16)


class WholeBlosc(Blosc):  # type: ignore[misc]  # untyped library
    """numcodecs' codec, which raises where a chunk is not as long as it says."""

    def decode(self, buf: Any, out: Any = None) -> Any:  # noqa: ANN401  # buffers of any kind
        """Decompress a whole chunk (called by numcodecs and zarr).

        Raises
        ------
        ValueError
            The chunk is shorter or longer than its header says, or its content than `out`.
        """
        content = memoryview(buf).cast("B")
        told = int.from_bytes(content[_LENGTH], "little")
        if len(content) < _HEADER_BYTES or told != len(content):
            raise ValueError(f"{len(content)} bytes, {told} expected")
        if out is not None and (holds := int.from_bytes(content[_CONTENT], "little")) != out.nbytes:
            raise ValueError(f"{holds} bytes when decoded, {out.nbytes} expected")
        return super().decode(buf, out)


def whole(codec: Any) -> Any:  # noqa: ANN401  # untyped library
    """Return a codec of numcodecs that notices a truncated chunk; others do by themselves."""
    if not isinstance(codec, Blosc):
        return codec
    return WholeBlosc(**{name: value for name, value in codec.get_config().items() if name != "id"})


class _WholeBloscV3(BloscCodec):
    """zarr's codec around numcodecs' one."""

    @cached_property
    def _blosc_codec(self) -> Blosc:
        return whole(super()._blosc_codec)


def with_whole_blosc(codecs: Iterable[Codec]) -> tuple[Codec, ...]:
    """Return the same codecs, of which blosc notices a truncated chunk, be it inside shards."""
    return tuple(_whole(codec) for codec in codecs)


def _whole(codec: Codec) -> Codec:
    match codec:
        case V2Codec():
            return dataclasses.replace(codec, compressor=whole(codec.compressor))
        case BloscCodec():
            return _WholeBloscV3.from_dict(codec.to_dict())
        case ShardingCodec():
            inner: Any = with_whole_blosc(codec.codecs)
            return dataclasses.replace(codec, codecs=inner)
    return codec
