"""Settings of an inspection, checked."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from mosaicflow.acquisition.orientation import FILE_ORDER, OCT_DEFAULT, Orientation
from mosaicflow.acquisition.tile_numbers import TileNumbering
from mosaicflow.errors import ParameterError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["InspectSettings", "Layout", "ScanOverrides", "Value", "parse_slice_ranges"]

# A value of a scan's description.
Value = int | float | str
Layout = Literal["auto", "flat", "per_slice", "acquisition", "archived", "tiff", "table"]
# Ten times the thickest specimen at the thinnest cut; all ids of a range are listed in memory.
_ID_DIGITS = 6
_DTYPES = ("<f4", ">f4", "<f8", "<i2", ">i2", "<u2", ">u2", "|u1", "|i1")


@dataclass(frozen=True, slots=True)
class ScanOverrides:
    """Scan parameters given by the user; each replaces what the files say.

    Parameters
    ----------
    nx, ny, nz, n_extra : int, optional
        A-lines kept per B-scan, B-scans per tile, depth samples, return A-lines.
    width_um, height_um : float, optional
        Field of view along the fast and the slow axis.
    """

    nx: int | None = None
    ny: int | None = None
    nz: int | None = None
    n_extra: int | None = None
    width_um: float | None = None
    height_um: float | None = None

    @property
    def is_complete(self) -> bool:
        """Whether a tile can be read without any ``info.txt``."""
        needed = (self.nx, self.ny, self.nz, self.n_extra, self.width_um, self.height_um)
        return all(value is not None for value in needed)

    def values(self) -> dict[str, Value]:
        """Spell the overrides with the keys of ``info.txt``."""
        pairs = {
            "nx": self.nx, "ny": self.ny, "n_extra": self.n_extra,
            "width": self.width_um, "height": self.height_um,
        }  # fmt: skip
        values: dict[str, Value] = {k: v for k, v in pairs.items() if v is not None}
        if self.nz is not None:
            values["nz"] = self.nz
        return values


@dataclass(frozen=True, slots=True)
class InspectSettings:
    """What a user may decide about reading an acquisition.

    Parameters
    ----------
    layout : str
        How the folder is organised; ``auto`` finds out.
    axial_resolution_um : float, optional
        Depth spacing of samples; None is "not given".
    preprocess : bool
        Turn OCT tiles so that their axes run along the stage.
    orientation : str
        Signed scan axes for (Y, X); empty means the format's default.
    overlap_fraction : float
        Nominal overlap, used where no positions are known.
    stage_unit : {'mm', 'um'}
        Unit of the motor positions.
    pixel_size_um : float, optional
        Lateral pitch of images; wins over what the files say.
    positions_file, tile_table : Path, optional
        A Fiji tile configuration, and a tile table.
    numbering : TileNumbering
        Path of a running tile number through the lattice.
    scan : ScanOverrides
        Scan parameters that replace those of ``info.txt``.
    raw_dtype : str
        Type of a sample in headerless files.
    max_missing_fraction : float
        Share of unusable tiles above which a slice fails.
    strict : bool
        Nothing is repaired or skipped.
    allow_mixed_pitch : bool
        Slices may differ in pitch by more than 1 %.
    debug_slices : str
        Slice ids to use, such as ``3,5-8``; empty means all.
    """

    layout: Layout = "auto"
    axial_resolution_um: float | None = None
    preprocess: bool = True
    orientation: str = ""
    overlap_fraction: float = 0.2
    stage_unit: Literal["mm", "um"] = "mm"
    pixel_size_um: float | None = None
    positions_file: Path | None = None
    tile_table: Path | None = None
    numbering: TileNumbering = field(default_factory=TileNumbering)
    scan: ScanOverrides = field(default_factory=ScanOverrides)
    raw_dtype: str = "float32"
    max_missing_fraction: float = 0.2
    strict: bool = False
    allow_mixed_pitch: bool = False
    debug_slices: str = ""

    def __post_init__(self) -> None:
        for name in ("axial_resolution_um", "pixel_size_um"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ParameterError(f"{name} is {value}, expected a length above 0 um")
        for name in ("overlap_fraction", "max_missing_fraction"):
            if not 0 <= getattr(self, name) <= 1:
                raise ParameterError(f"{name} is {getattr(self, name)}, expected 0 to 1")
        _ = self.sample_type, self.oct_orientation, self.slice_ids

    @property
    def sample_type(self) -> str:
        """The type of a stored sample in numpy's short spelling, byte order included."""
        try:
            name = np.dtype(self.raw_dtype).str
        except TypeError:
            name = ""
        if name not in _DTYPES:
            raise ParameterError(
                f"raw_dtype is {self.raw_dtype!r}", remedy=f"use one of {', '.join(_DTYPES)}"
            )
        return name

    @property
    def oct_orientation(self) -> Orientation:
        """The mapping used for OCT streams."""
        if self.orientation:
            return Orientation.parse(self.orientation)
        return OCT_DEFAULT if self.preprocess else FILE_ORDER

    @property
    def image_orientation(self) -> Orientation:
        """The mapping used for image files, whose rows and columns normally are Y and X."""
        return Orientation.parse(self.orientation) if self.orientation else FILE_ORDER

    @property
    def slice_ids(self) -> frozenset[int] | None:
        """The slices to use; None means all."""
        return parse_slice_ranges(self.debug_slices)

    def wants(self, slice_id: int) -> bool:
        """Whether a slice takes part in this run."""
        wanted = self.slice_ids
        return wanted is None or slice_id in wanted


@functools.lru_cache(maxsize=8)  # each tile asks
def parse_slice_ranges(text: str) -> frozenset[int] | None:
    """Read ``"3,5-8"`` as {3, 5, 6, 7, 8}; an empty text means no restriction."""
    ids: set[int] = set()
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = re.fullmatch(r"z?(\d+)(?:\s*-\s*z?(\d+))?", part)
        if match is None:
            raise ParameterError(f"debug_slices has {part!r}, expected ids such as '3,5-8'")
        if max(map(len, filter(None, match.groups()))) > _ID_DIGITS:
            raise ParameterError(f"debug_slices has {part[:40]!r}, expected ids up to 999999")
        first, last = int(match[1]), int(match[2] or match[1])
        ids.update(range(first, last + 1))
    return frozenset(ids) or None
