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
) -> None:
    """Write the three central planes of a store as a PNG; needs no display.

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
    """
    from mosaicflow.io.zarr.render import write_screenshot

    write_screenshot(path, Path(output), level=level, percentiles=percentiles)
