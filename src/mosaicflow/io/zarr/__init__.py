"""Mosaic grids, slices and volumes as OME-Zarr stores: the one place that opens Zarr."""

from __future__ import annotations

from mosaicflow.io.zarr.analysis import AnalysisOmeZarrWriter
from mosaicflow.io.zarr.info import OmeZarrInfo, is_finished, read_omezarr_info
from mosaicflow.io.zarr.location import check_distinct
from mosaicflow.io.zarr.reader import LevelReader, open_level, read_omezarr
from mosaicflow.io.zarr.validate import Problem, validate_omezarr
from mosaicflow.io.zarr.values import replace_nonfinite, to_uint16
from mosaicflow.io.zarr.writer import OmeZarrWriter, save_omezarr, write_regions

__all__ = [
    "AnalysisOmeZarrWriter",
    "LevelReader",
    "OmeZarrInfo",
    "OmeZarrWriter",
    "Problem",
    "check_distinct",
    "is_finished",
    "open_level",
    "read_omezarr",
    "read_omezarr_info",
    "replace_nonfinite",
    "save_omezarr",
    "to_uint16",
    "validate_omezarr",
    "write_regions",
]
