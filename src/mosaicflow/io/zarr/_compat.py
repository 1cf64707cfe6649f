"""What is used of zarr-python's inner modules, which may move in any version.

Nothing else imports `zarr.core` or what is private in `zarr`; pyproject.toml bounds the versions by
those that were tested.
`_pipeline` is the one place that knows how zarrs chooses its codecs (`zarrs.pipeline`).
"""

from __future__ import annotations

from zarr.codecs._v2 import V2Codec
from zarr.core.buffer import Buffer, BufferPrototype, NDBuffer, default_buffer_prototype
from zarr.core.codec_pipeline import BatchedCodecPipeline
from zarr.core.metadata import ArrayMetadata, ArrayV2Metadata, ArrayV3Metadata
from zarr.core.sync import loop, sync

__all__ = [
    "ArrayMetadata",
    "ArrayV2Metadata",
    "ArrayV3Metadata",
    "BatchedCodecPipeline",
    "Buffer",
    "BufferPrototype",
    "NDBuffer",
    "V2Codec",
    "default_buffer_prototype",
    "loop",
    "sync",
]
