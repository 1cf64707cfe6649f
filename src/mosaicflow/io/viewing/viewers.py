"""Handing a store to napari or Neuroglancer."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from mosaicflow.errors import MissingExtraError
from mosaicflow.io.zarr.info import read_omezarr_info
from mosaicflow.io.zarr.reader import read_omezarr
from mosaicflow.io.zarr.render import contrast_of

if TYPE_CHECKING:
    from mosaicflow.io.zarr.location import StorePath

__all__ = ["has_napari", "neuroglancer_viewer", "show_in_napari"]

_PERCENTILES = (0.5, 99.5)


def has_napari() -> bool:
    """Whether napari can be imported."""
    return importlib.util.find_spec("napari") is not None


def show_in_napari(path: StorePath) -> None:
    """Open a store in napari with scale, translation and contrast, and wait until it is closed.

    Parameters
    ----------
    path : path or URL
        Store.
    """
    import napari

    viewer = napari.Viewer(title=str(path))
    viewer.add_image(**napari_layer(path))
    napari.run()


def napari_layer(path: StorePath) -> dict[str, Any]:
    """Return the arguments of `napari.Viewer.add_image` for a store."""
    info = read_omezarr_info(path)
    levels = [read_omezarr(path, number) for number in range(len(info.levels))]
    return {
        "data": [image for image, _ in levels],
        "multiscale": True,
        "scale": tuple(1000 * value for value in levels[0][1]),
        "name": info.name,
        "contrast_limits": contrast_of(path, _PERCENTILES),
        "units": "um",
    }


def neuroglancer_viewer(path: StorePath, url: str) -> Any:  # noqa: ANN401  # untyped package
    """Return a Neuroglancer viewer of a store that a web server offers.

    Parameters
    ----------
    path : path or URL
        Store, to find the contrast.
    url : str
        Address at which a browser finds it.
    """
    try:
        import neuroglancer
    except ImportError as error:
        raise MissingExtraError(
            f"viewing needs napari or neuroglancer ({error})",
            remedy="install one: pip install 'mosaicflow[view]', or pip install 'napari[all]'",
        ) from error
    info = read_omezarr_info(path)
    low, high = contrast_of(path, _PERCENTILES)
    viewer = neuroglancer.Viewer()
    with viewer.txn() as state:
        state.layers[info.name] = neuroglancer.ImageLayer(
            source=f"zarr://{url}",
            shader="#uicontrol invlerp normalized\nvoid main() { emitGrayscale(normalized()); }\n",
            shader_controls={"normalized": {"range": [low, high]}},
        )
    return viewer
