"""``mosaicflow view3d``: a volume in space."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mosaicflow.formats.streaming.scene import Bounds
    from mosaicflow.formats.streaming.viewer import Viewer

__all__ = ["view3d"]


def view3d(
    volume: str,
    *,
    screenshot: Path | None = None,
    box: tuple[float, float, float, float, float, float] | None = None,
) -> None:
    """Show three planes and the body of a volume, coarse at first and finer as it is read.

    Only what the screen shows is read, at the resolution that it has: of a volume of any size, on a
    disk or on a web server. Needs the extra `view`; a picture needs no display.

    Examples: ``mosaicflow view3d OUT/3d_volume.ome.zarr``;
    ``mosaicflow view3d OUT/3d_volume.ome.zarr --screenshot body.png``;
    ``mosaicflow view3d OUT/3d_volume.ome.zarr --box 0 500 0 2000 0 2000``.

    Parameters
    ----------
    volume : str
        Folder, .zip archive or URL (s3://, gs://, http://) of an OME-Zarr store.
    screenshot : Path, optional
        PNG to write, instead of opening a window.
    box : tuple of float, optional
        Clipping box: first and last position along z, y and x, in the unit of the store.
    """
    from mosaicflow.formats.streaming.omezarr import open_pyramid
    from mosaicflow.io.zarr.errors import explained

    _check(screenshot)
    with explained(volume):
        pyramid, info = open_pyramid(volume)
        with pyramid:
            from mosaicflow.formats.streaming.viewer import Viewer

            viewer = Viewer(
                pyramid, info["unit"], box=_bounds(box), off_screen=screenshot is not None
            )
            if screenshot is None:
                _show(viewer)
            else:
                _save(viewer, Path(screenshot))


def _check(screenshot: Path | None) -> None:
    """Say what is wrong before anything is read."""
    import os
    import sys

    from mosaicflow.errors import ParameterError
    from mosaicflow.formats.ground.errors import library

    if screenshot is not None and Path(screenshot).suffix.lower() != ".png":
        raise ParameterError(
            f"{screenshot}: the picture is a PNG; give it a name that ends in .png"
        )
    displays = ("DISPLAY", "WAYLAND_DISPLAY")
    if screenshot is None and sys.platform == "linux" and not any(map(os.environ.get, displays)):
        raise ParameterError(
            "no display here for a window",
            remedy="make a picture with --screenshot FILE.png, or use mosaicflow view",
        )
    logger = library("vtkmodules.vtkCommonCore", extra="view").vtkLogger
    # Without a display VTK tries one nevertheless, and warns.
    logger.SetStderrVerbosity(logger.VERBOSITY_ERROR)


def _bounds(box: tuple[float, ...] | None) -> Bounds | None:
    from mosaicflow.errors import ParameterError
    from mosaicflow.formats.streaming.scene import Bounds

    if box is None:
        return None
    z0, z1, y0, y1, x0, x1 = box
    if not (z0 < z1 and y0 < y1 and x0 < x1):
        raise ParameterError(f"box {box}: each axis needs a first position below the last one")
    return Bounds((z0, y0, x0), (z1, y1, x1))


def _show(viewer: Viewer) -> None:
    from mosaicflow.formats.streaming.window import ViewWindow

    ViewWindow(viewer).run()


def _save(viewer: Viewer, output: Path) -> None:
    from mosaicflow.errors import StoreError

    viewer.save(output)
    if viewer.pyramid.errors:
        (level, index), error = next(iter(viewer.pyramid.errors.items()))
        raise StoreError(
            f"{output}: written, but {len(viewer.pyramid.errors)} chunks are missing in it; level"
            f" {level}, chunk {index}: {error}"
        )
