"""Mosaic grids, slices and volumes as OME-Zarr stores: the one place that opens Zarr."""

from __future__ import annotations

from mosaicflow.io.zarr.analysis import AnalysisOmeZarrWriter
from mosaicflow.io.zarr.bare import open_arrays
from mosaicflow.io.zarr.combine import combine_images
from mosaicflow.io.zarr.errors import AssumedUnitWarning
from mosaicflow.io.zarr.info import OmeZarrInfo, is_finished, read_omezarr_info
from mosaicflow.io.zarr.location import check_distinct, locate
from mosaicflow.io.zarr.metadata import multiscales_of
from mosaicflow.io.zarr.reader import LevelReader, open_level, open_levels, read_omezarr
from mosaicflow.io.zarr.root import find_root
from mosaicflow.io.zarr.save import save_omezarr
from mosaicflow.io.zarr.units import micrometers_per_unit
from mosaicflow.io.zarr.validate import StoreProblem, validate_omezarr
from mosaicflow.io.zarr.values import replace_nonfinite, to_uint16
from mosaicflow.io.zarr.writer import OmeZarrWriter, write_regions

__all__ = [
    "AnalysisOmeZarrWriter",
    "AssumedUnitWarning",
    "LevelReader",
    "OmeZarrInfo",
    "OmeZarrWriter",
    "StoreProblem",
    "check_distinct",
    "combine_images",
    "find_root",
    "is_finished",
    "locate",
    "micrometers_per_unit",
    "multiscales_of",
    "open_arrays",
    "open_level",
    "open_levels",
    "read_omezarr",
    "read_omezarr_info",
    "replace_nonfinite",
    "save_omezarr",
    "to_uint16",
    "validate_omezarr",
    "write_regions",
]
