"""The codec pipeline of every array that mosaicflow opens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import zarrs
from zarr.core.codec_pipeline import BatchedCodecPipeline
from zarrs.pipeline import (
    UnsupportedMetadataError,
    array_metadata_to_codecs,
    get_codec_pipeline_impl,
)

if TYPE_CHECKING:
    from zarr.abc.codec import CodecPipeline
    from zarr.abc.store import Store
    from zarr.core.metadata import ArrayMetadata

__all__ = ["StorePipeline"]


class StorePipeline(zarrs.ZarrsCodecPipeline):
    """Codecs in Rust where zarrs knows codec and store, zarr-python's own otherwise."""

    @classmethod
    def from_array_metadata_and_store(  # type: ignore[override]  # any pipeline will do for zarr
        cls, array_metadata: ArrayMetadata, store: Store
    ) -> CodecPipeline:
        """Choose the pipeline for one array (called by zarr)."""
        own = BatchedCodecPipeline.from_codecs(array_metadata_to_codecs(array_metadata))
        try:
            # Strict, because otherwise zarrs tells by a Python warning that it cannot serve.
            fast = get_codec_pipeline_impl(array_metadata, store, strict=True)
        except (UnsupportedMetadataError, NotImplementedError):
            return own
        # Strided and coordinate indexing are not in zarrs: they go to the second pipeline.
        chosen: CodecPipeline = cls(array_metadata, store, fast, own)
        return chosen
