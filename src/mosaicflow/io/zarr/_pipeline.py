"""The codec pipeline of every array that mosaicflow opens."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import zarrs
from zarr.storage import LocalStore
from zarrs.pipeline import (
    UnsupportedMetadataError,
    array_metadata_to_codecs,
    get_codec_pipeline_impl,
)

from mosaicflow.io.zarr._compat import BatchedCodecPipeline
from mosaicflow.io.zarr.whole_blosc import with_whole_blosc

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from zarr.abc.codec import CodecPipeline
    from zarr.abc.store import Store

    from mosaicflow.io.zarr._compat import ArrayMetadata, NDBuffer

__all__ = ["StorePipeline"]

# The threads of the Rust pool do not live in a forked child, where waiting for them never ends.
_FORKED = False


class StorePipeline(zarrs.ZarrsCodecPipeline):
    """Codecs in Rust for local stores where zarrs knows the codec, zarr-python's own otherwise."""

    @classmethod
    def from_array_metadata_and_store(  # type: ignore[override]  # any pipeline will do for zarr
        cls, array_metadata: ArrayMetadata, store: Store
    ) -> CodecPipeline:
        """Choose the pipeline for one array (called by zarr)."""
        codecs = array_metadata_to_codecs(array_metadata)
        own = BatchedCodecPipeline.from_codecs(with_whole_blosc(codecs))
        # Over a network zarrs holds the interpreter lock while it waits, and asks twice per chunk.
        if _FORKED or not isinstance(store, LocalStore):
            return own
        # Of chunks at an edge zarrs 0.2 turns the bytes of both parts of a complex number round
        # as if they were one number.
        if "complex" in str(array_metadata.dtype).lower() and _is_big_endian(codecs):
            return own
        try:
            # Strict, because otherwise zarrs tells by a Python warning that it cannot serve.
            fast = get_codec_pipeline_impl(array_metadata, store, strict=True)
        except (UnsupportedMetadataError, NotImplementedError):
            return own
        # Strided and coordinate indexing are not in zarrs: they go to the second pipeline.
        chosen: CodecPipeline = cls(array_metadata, store, fast, own)
        return chosen

    async def read(
        self,
        batch_info: Iterable[Any],
        out: NDBuffer,
        drop_axes: tuple[int, ...] = (),
    ) -> Any:  # noqa: ANN401  # newer versions of zarr are told what became of each chunk
        """Decode chunks into a buffer (called by zarr)."""
        own = self.python_impl
        if own is None:
            return await super().read(batch_info, out, drop_axes)
        chunks = list(batch_info)
        # What zarrs does not know (byte orders, memory orders, dtypes) it tells only here, in as
        # many ways as there are codecs. A file that is damaged fails again, with zarr's own words.
        if not _FORKED and out.dtype.isnative:
            with contextlib.suppress(Exception):
                return await super().read(chunks, out, drop_axes)
        return await own.read(chunks, out, drop_axes)

    async def write(
        self,
        batch_info: Iterable[Any],
        value: NDBuffer,
        drop_axes: tuple[int, ...] = (),
    ) -> None:
        """Encode and store chunks (called by zarr)."""
        if _FORKED and self.python_impl is not None:
            await self.python_impl.write(batch_info, value, drop_axes)
        else:
            await super().write(batch_info, value, drop_axes)


def _is_big_endian(codecs: Iterable[Any]) -> bool:
    """Whether numbers are stored so, be it inside shards."""
    return any(
        "big" in str(getattr(codec, "endian", "")) or _is_big_endian(getattr(codec, "codecs", ()))
        for codec in codecs
    )


def _note_fork() -> None:
    global _FORKED  # a property of the process
    _FORKED = True


os.register_at_fork(after_in_child=_note_fork)
