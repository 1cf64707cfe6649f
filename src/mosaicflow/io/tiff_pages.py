"""What a TIFF file itself holds: its planes, its channels and its pixel size."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from mosaicflow.errors import FormatError
from mosaicflow.io.lengths import micrometers_per_unit
from mosaicflow.io.remote_files import is_remote

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import tifffile
    from numpy.typing import NDArray

__all__ = ["ImageAxes", "TiffImage", "count_series", "describe_tiff", "open_tiff"]

ZYX = tuple[float | None, float | None, float | None]

# Print resolutions (72 to 300 dpi) that programs write without meaning them give 85 um and more.
COARSEST_PRINT_PITCH_UM = 60.0
_TAG_UNITS = {2: "inch", 3: "cm"}  # codes of tag 296
_COLOURS = ("red", "green", "blue", "alpha")
_GREYS = ("grey", "alpha")
_WHITE_IS_ZERO = 0  # a photometric interpretation of TIFF


@dataclass(frozen=True, slots=True)
class ImageAxes:
    """Which axes of a stored image are planes, rows, columns and channels.

    Parameters
    ----------
    axes : str
        One letter per axis, as tifffile calls them.
    shape : tuple of int
        Extents.
    depth, channel : str
        The letter of the axis that is depth, and of the one that is channels; empty without.
    """

    axes: str
    shape: tuple[int, ...]
    depth: str
    channel: str

    def extent(self, letter: str) -> int:
        """Length of an axis; 1 for one that is not there."""
        return self.shape[self.axes.index(letter)] if letter and letter in self.axes else 1

    def planes(
        self, image: NDArray[Any], channels: tuple[str, ...], channel: int = 0
    ) -> NDArray[Any]:
        """Bring an image to (z, y, x): the mean of colours, else one channel.

        Parameters
        ----------
        image : ndarray, shape `shape`
            As stored.
        channels : tuple of str
            From `TiffImage`.
        channel : int
            Which of them, if they are no colours.
        """
        image = image.reshape(self.shape)
        order = [self.axes.index(a) for a in (self.depth, "Y", "X", self.channel) if a]
        rest = [k for k in range(len(self.axes)) if k not in order]
        image = image.transpose([*rest, *order]).reshape(
            self.extent(self.depth), self.extent("Y"), self.extent("X"), self.extent(self.channel)
        )
        return grey_planes(image, channels, channel)


def separate_channels(channels: tuple[str, ...]) -> int:
    """Count what is read one by one: colours, and grey with alpha, are one picture."""
    together = channels[:3] == _COLOURS[:3] or channels == _GREYS
    return 1 if together else max(len(channels), 1)


def grey_planes(image: NDArray[Any], channels: tuple[str, ...], channel: int = 0) -> NDArray[Any]:
    """Leave out the last axis of an image (..., channel): mean of colours, else one of them.

    Raises
    ------
    FormatError
        When there is no such channel.
    """
    import numpy as np

    if not 0 <= channel < (n := separate_channels(channels)):
        raise FormatError(f"has {n} channels, not one of number {channel}")
    if channels[:3] == _COLOURS[:3]:
        mean: NDArray[Any] = image[..., :3].mean(axis=-1, dtype=np.float32)
        return mean
    return image[..., channel]


@dataclass(frozen=True, slots=True)
class TiffImage:
    """One image of a TIFF file.

    Parameters
    ----------
    layout : ImageAxes
        How it is stored.
    dtype : numpy.dtype
        Of a sample.
    pitch_um : tuple of float or None
        Pixel spacing (z, y, x); None where the file does not say.
    channels : tuple of str
        Names; one for a grey image.
    notes : tuple of str
        What the file says that is not so, or what was decided about it.
    """

    layout: ImageAxes
    dtype: np.dtype[Any]
    pitch_um: ZYX
    channels: tuple[str, ...]
    notes: tuple[str, ...] = ()


def open_tiff(path: Path) -> tifffile.TiffFile:
    """Open a TIFF so that only its own pages count, whatever other files its metadata names."""
    import tifffile

    source = path.open("rb") if is_remote(path) else path
    return tifffile.TiffFile(source, _multifile=False)


def describe_tiff(file: tifffile.TiffFile, chosen: int | None = None) -> TiffImage:
    """Describe one image (series) of an open file without reading pixels.

    Parameters
    ----------
    file : TiffFile
        From `open_tiff`.
    chosen : int or None
        Which image, where the file holds several; None: the first.

    Raises
    ------
    FormatError
        When it is no grey, colour or multi-channel image or stack, or is not all there.
    """
    series, number = _own_series(file), chosen or 0
    if not 0 <= number < len(series):
        raise FormatError(f"holds {len(series)} images, not one of number {number}")
    one = series[number]
    xml = _ome_pixels(file, number)
    layout, notes = _layout(one)
    _check_samples(one, file)
    _check_whole(file, one)
    notes += _xml_notes(layout, xml)
    if one.keyframe.photometric == _WHITE_IS_ZERO:
        notes.append("calls 0 white: its numbers are read as they are, dark is bright in them")
    if chosen is None and (same := sum(s.shape == one.shape for s in series)) > 1:
        notes.append(f"holds {same} images of the same size; the first is read")
    channels = _channels(layout, xml)
    if len(channels) > 1 and separate_channels(channels) == 1:
        taken = "their mean" if channels[:3] == _COLOURS[:3] else "the first"
        notes.append(f"has the channels {', '.join(channels)}; {taken} is read")
    return TiffImage(layout, one.dtype, _pitch(file, one, xml), channels, tuple(notes))


def own_series(file: tifffile.TiffFile, number: int = 0) -> tifffile.TiffPageSeries:
    """Return the image that `describe_tiff` described, for reading."""
    return _own_series(file)[number]


def count_series(file: tifffile.TiffFile) -> int:
    """Count the images of an open file."""
    return len(_own_series(file))


def _own_series(file: tifffile.TiffFile) -> list[tifffile.TiffPageSeries]:
    series = list(file.series)
    whole = all(page is not None for one in series for page in one._pages)
    if series and whole and not any(one.is_multifile for one in series):
        return series
    # Planes that the XML announces and the file lacks would be read as zeros.
    plain: list[tifffile.TiffPageSeries] = file._series_generic() or []
    return plain


def _layout(one: tifffile.TiffPageSeries) -> tuple[ImageAxes, list[str]]:
    axes, shape = one.axes, tuple(int(n) for n in one.shape)
    long = [a for a, n in zip(axes, shape, strict=True) if n > 1 and a not in "YX"]
    channel = next((a for a in long if a in "SC"), "")
    depth = [a for a in long if a != channel]
    if "Y" not in axes or "X" not in axes or len(depth) > 1 or set(depth) - set("ZTIQ"):
        raise FormatError(
            f"has axes {axes} of size {shape}, expected one image or one stack of planes",
            remedy="save every time point, or every other set of planes, as a file of its own",
        )
    notes = []
    if depth == ["T"]:
        n = shape[axes.index("T")]
        notes.append(
            f"has {n} time points and no z: read as {n} planes of depth (save them as slices if "
            "that is right, one file per time point if not)"
        )
    return ImageAxes(axes, shape, depth[0] if depth else "", channel), notes


def _check_samples(one: tifffile.TiffPageSeries, file: tifffile.TiffFile) -> None:
    if one.dtype is None or one.dtype.kind not in "biuf":
        raise FormatError(
            f"holds {one.dtype} samples, expected real numbers",
            remedy="save the magnitude (or the part that is meant) as float32",
        )
    page = one.keyframe
    if page.photometric == 3 and page.colormap is not None and _is_coloured(page.colormap):
        raise FormatError(
            "holds the numbers of a colour table, not intensities",
            remedy="save it as a grey or an RGB image",
        )


def _is_coloured(table: NDArray[Any]) -> bool:
    import numpy as np

    grey = table[0]
    return bool((table != grey).any() or (np.diff(grey.astype(np.int64)) <= 0).any())


def _check_whole(file: tifffile.TiffFile, one: tifffile.TiffPageSeries) -> None:
    """Compare where the pixels should end with the end of the file."""
    size = file.filehandle.size
    ends = [0]
    if one.dataoffset is not None:
        ends.append(one.dataoffset + one.nbytes)
    else:
        pages: list[Any] = [one.keyframe, one._pages[-1]]
        for page in pages:
            ends += [
                start + count
                for start, count in zip(page.dataoffsets, page.databytecounts, strict=False)
            ]
    if max(ends) > size:
        raise FormatError(
            f"is cut short: its pixels go on to byte {max(ends)}, the file ends at {size}",
            remedy="copy the file again",
        )
    if (following := _following_page(file)) != 0:
        raise FormatError(
            f"is cut short: page {len(file.pages) + 1} should be at byte {following}, the file "
            f"ends at {size}",
            remedy="copy the file again",
        )


def _following_page(file: tifffile.TiffFile) -> int:
    """Return where the page after the last readable one should be; 0 where there is none."""
    last: Any = file.pages[len(file.pages) - 1]
    form, handle = file.tiff, file.filehandle
    handle.seek(last.offset)
    n_tags = struct.unpack(form.tagnoformat, handle.read(form.tagnosize))[0]
    handle.seek(last.offset + form.tagnosize + n_tags * form.tagsize)
    stored = handle.read(form.offsetsize)
    if len(stored) < form.offsetsize:
        return int(last.offset)
    return int(struct.unpack(form.offsetformat, stored)[0])


def _ome_pixels(file: tifffile.TiffFile, number: int) -> ElementTree.Element | None:
    if not file.is_ome or not file.ome_metadata:
        return None
    try:
        root = ElementTree.fromstring(file.ome_metadata)
    except ElementTree.ParseError:
        return None
    found = [e for e in root.iter() if e.tag.rpartition("}")[2] == "Pixels"]
    return found[min(number, len(found) - 1)] if found else None


def _named(element: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [child for child in element if child.tag.rpartition("}")[2] == name]


def _xml_notes(layout: ImageAxes, xml: ElementTree.Element | None) -> list[str]:
    if xml is None:
        return []
    announced = math.prod(_whole(xml.get(f"Size{axis}")) for axis in "ZCT")
    found = layout.extent(layout.depth) * layout.extent(layout.channel)
    if found != announced:
        return [f"its OME-XML speaks of {announced} planes, the file holds {found}: these are read"]
    return []


def _whole(text: str | None) -> int:
    return int(text) if text and text.isdigit() else 1


def _channels(layout: ImageAxes, xml: ElementTree.Element | None) -> tuple[str, ...]:
    n = layout.extent(layout.channel)
    if n == 1:
        return ("grey",)
    if layout.channel == "S":
        return (*(_GREYS if n < 3 else _COLOURS),)[:n] + tuple(f"extra {k}" for k in range(4, n))
    names = [] if xml is None else [c.get("Name") or "" for c in _named(xml, "Channel")]
    names += [""] * (n - len(names))
    return tuple(name or f"channel {k}" for k, name in enumerate(names[:n]))


def _pitch(
    file: tifffile.TiffFile, one: tifffile.TiffPageSeries, xml: ElementTree.Element | None
) -> ZYX:
    """Look for each axis on its own: in the OME-XML, else in ImageJ's notes or the tags."""
    z_um, y_um, x_um = (None, None, None) if xml is None else _ome_pitch(xml)
    notes = file.imagej_metadata or {}
    spacing, unit = notes.get("spacing"), micrometers_per_unit(str(notes.get("unit") or ""))
    if z_um is None and unit and isinstance(spacing, int | float) and spacing > 0:
        z_um = float(spacing) * unit
    if y_um is None and x_um is None:
        page = one.keyframe
        y_um, x_um = (_tag_pitch(page, f"{a}Resolution", unit) for a in "YX")
    return z_um, y_um or x_um, x_um or y_um


def _ome_pitch(xml: ElementTree.Element) -> ZYX:
    z_um, y_um, x_um = (_ome_length(xml, f"PhysicalSize{axis}") for axis in "ZYX")
    return z_um, y_um, x_um


def _ome_length(xml: ElementTree.Element, name: str) -> float | None:
    factor = micrometers_per_unit(xml.get(f"{name}Unit", "um"))
    try:
        length = float(xml.get(name, "nan").replace(",", ".")) * (factor or math.nan)
    except ValueError:
        return None
    # The dust of a conversion (1e-5 dm are 1.0000000000000002 um) is not what was meant.
    return float(f"{length:.12g}") if math.isfinite(length) and length > 0 else None


def _tag_pitch(page: Any, name: str, unit: float | None) -> float | None:  # noqa: ANN401  # a page or a frame of it
    tag = page.tags.get(name)
    if tag is None or not tag.value[0] or not tag.value[1]:
        return None
    per_pixel = tag.value[1] / tag.value[0]
    if unit is not None:
        return float(per_pixel * unit)
    tag_unit = page.tags.get("ResolutionUnit")
    known = micrometers_per_unit(_TAG_UNITS.get(int(tag_unit.value))) if tag_unit else None
    pitch = per_pixel * known if known else None
    return float(pitch) if pitch and pitch < COARSEST_PRINT_PITCH_UM else None
