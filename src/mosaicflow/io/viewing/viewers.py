"""Handing a store to napari or Neuroglancer."""

from __future__ import annotations

import importlib.util
import os
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.errors import MissingExtraError, StoreError, install_extra
from mosaicflow.io.zarr.info import OmeZarrInfo, read_omezarr_info
from mosaicflow.io.zarr.lazy import lazy_image
from mosaicflow.io.zarr.reader import StoreChoice
from mosaicflow.io.zarr.render import contrast_of

if TYPE_CHECKING:
    from mosaicflow.io.zarr.location import StorePath

__all__ = ["has_napari", "neuroglancer_viewer", "show_in_napari"]

_QT_BINDINGS = ("PyQt6", "PySide6", "PyQt5")
_DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
# Of the voxels, shown black and white at first: lone bright ones do not darken the rest
_PERCENTILES = (0.5, 99.5)
# About the width of one of four panels in a browser.
_PANEL_PX = 450


def has_napari() -> bool:
    """Whether napari can open a window here: it, a Qt binding and a display are there."""
    windows = any(importlib.util.find_spec(name) for name in _QT_BINDINGS)
    display = sys.platform != "linux" or any(os.environ.get(name) for name in _DISPLAYS)
    return windows and display and importlib.util.find_spec("napari") is not None


def show_in_napari(path: StorePath, choice: StoreChoice | None = None) -> None:
    """Open a store in napari with scale, translation and contrast, and wait until it is closed.

    Parameters
    ----------
    path : path or URL
        Store.
    choice : StoreChoice, optional
        What to show where the store has several channels or time points.
    """
    if not has_napari():
        raise MissingExtraError(
            "napari, a Qt binding or a display is missing",
            remedy="pip install 'napari[all]', or use --viewer neuroglancer",
        )
    import napari

    viewer = napari.Viewer(title=str(path))
    viewer.add_image(**napari_layer(path, choice))
    napari.run()


def napari_layer(path: StorePath, choice: StoreChoice | None = None) -> dict[str, Any]:
    """Return the arguments of `napari.Viewer.add_image` for a store."""
    info = read_omezarr_info(path)
    chosen = choice or StoreChoice()
    levels = [chosen.open(path, number) for number in range(len(info.levels))]
    return {
        "data": [lazy_image(level) for level in levels],
        "multiscale": True,
        "scale": tuple(1000 * value for value in levels[0].resolution_mm),
        "translate": levels[0].translation_um or (0.0,) * levels[0].ndim,
        "name": info.name,
        "contrast_limits": contrast_of(path, _PERCENTILES, choice),
        "units": "um",
    }


def neuroglancer_viewer(path: StorePath, url: str, choice: StoreChoice | None = None) -> Any:  # noqa: ANN401  # untyped package
    """Return a Neuroglancer viewer of a store that a web server offers.

    Parameters
    ----------
    path : path or URL
        Store, to find the contrast.
    url : str
        Address at which a browser finds it.
    choice : StoreChoice, optional
        Channel or time point to find the contrast of, where there are several.
    """
    try:
        import neuroglancer
    except ImportError as error:
        raise MissingExtraError(
            f"viewing needs napari or neuroglancer ({error})",
            remedy=f"install one: {install_extra('view')}; or pip install 'napari[all]'",
        ) from error
    info = read_omezarr_info(path)
    _check_showable(info)
    low, high = contrast_of(path, _PERCENTILES, choice)
    axes = {
        axis.name: (pitch, n * pitch)
        for axis, pitch, n in zip(info.axes, info.scales_um[0], info.shapes[0], strict=True)
        if axis.name in ("x", "y", "z")
    }
    finest = min(pitch for pitch, _ in axes.values())  # the unit of Neuroglancer's zoom
    largest = max(extent for _, extent in axes.values())
    viewer = neuroglancer.Viewer()
    with viewer.txn() as state:
        state.layers[info.name] = neuroglancer.ImageLayer(
            source=f"zarr://{url}",
            shader="#uicontrol invlerp normalized\nvoid main() { emitGrayscale(normalized()); }\n",
            shader_controls={"normalized": {"range": [low, high]}},
        )
        # x to the right, y down: the first panel is the lateral plane.
        names = sorted(axes)
        state.dimensions = neuroglancer.CoordinateSpace(
            names=names, units="um", scales=[axes[name][0] for name in names]
        )
        state.cross_section_scale = largest / finest / _PANEL_PX
        state.projection_scale = 1.5 * largest / finest
        state.layout = "4panel" if "z" in axes else "xy"
    return viewer


def _check_showable(info: OmeZarrInfo) -> None:
    level = info.levels[0]
    kind = np.dtype(level.dtype)
    large = kind.itemsize > 4 and kind != np.uint64
    if large or kind.kind not in "iuf" or level.codec == "lz4":  # lz4 without blosc
        raise StoreError(
            f"{info.location}: Neuroglancer cannot show {level.dtype} voxels in {level.codec}",
            remedy="install napari (pip install 'napari[all]'), or make a picture with mosaicflow"
            " screenshot",
        )
    if info.location.address.startswith("memory:"):
        raise StoreError(f"{info.location}: only this process can see what is in its memory")
