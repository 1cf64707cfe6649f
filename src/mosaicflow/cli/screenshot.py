"""``mosaicflow screenshot``: three planes of a store as a picture."""

from __future__ import annotations

from pathlib import Path

__all__ = ["screenshot"]


def screenshot(
    path: str,
    output: Path,
    *,
    level: int | None = None,
    percentiles: tuple[float, float] = (0.5, 99.5),
    channel: int | None = None,
    time: int | None = None,
) -> None:
    """Write the three central planes of a store as a PNG; needs no display.

    Examples: ``mosaicflow screenshot OUT/3d_volume.ome.zarr planes.png``;
    ``mosaicflow screenshot OUT/3d_volume.ome.zarr planes.png --level 1``;
    ``mosaicflow screenshot OUT/3d_volume.ome.zarr planes.png --percentiles 1 99``.

    Parameters
    ----------
    path : str
        Folder, .zip archive or URL of an OME-Zarr store.
    output : Path
        PNG to write.
    level : int, optional
        Pyramid level; by default one that fits the picture.
    percentiles : tuple of float, optional
        Values shown as black and white.
    channel : int, optional
        Channel to show, where there are several.
    time : int, optional
        Time point to show, where there are several.
    """
    from mosaicflow.io.zarr.errors import explained
    from mosaicflow.io.zarr.reader import StoreChoice
    from mosaicflow.io.zarr.render import write_screenshot

    with explained(str(output)):
        choice = StoreChoice(channel=channel, time=time)
        write_screenshot(path, Path(output), level=level, percentiles=percentiles, choice=choice)
