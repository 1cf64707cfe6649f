"""Settings that several stages share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from mosaicflow.limits import FROM_1, LEVELS

__all__ = ["StoreOptions"]


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class StoreOptions:
    """How an output store is written.

    Attributes
    ----------
    ngff_version
        Flavour of OME-Zarr: 0.4 is zarr v2, 0.5 is zarr v3.
    compressor
        Codec of the chunks.
    sharding_factor
        Lateral chunks per shard and axis (0.5 only); empty: 1 with 0.4, 4 with 0.5.
    n_levels
        Additional pyramid levels, each half as fine laterally; for viewing only.
    """

    ngff_version: Literal["0.4", "0.5"] = "0.4"
    compressor: Literal["blosc", "blosc-lz4", "blosc-zstd", "zstd", "lz4", "gzip", "none"] = "blosc"
    sharding_factor: Annotated[int | None, FROM_1] = None
    n_levels: Annotated[int, LEVELS] = 0

    def writer_options(self) -> dict[str, Any]:
        """Give the keyword arguments of `mosaicflow.io.zarr.OmeZarrWriter`."""
        return {
            "ngff_version": self.ngff_version,
            "compressor": self.compressor,
            "sharding_factor": self.sharding_factor,
            "checksums": True,
            "find_contrast": True,
        }
