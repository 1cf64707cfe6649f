"""``mosaicflow convert``: stores from and to other flavours and formats."""

from __future__ import annotations

from typing import Literal

__all__ = ["convert"]


def convert(
    source: str,
    output: str,
    *,
    ngff_version: Literal["0.4", "0.5"] = "0.4",
    chunks: tuple[int, ...] | None = None,
    compressor: Literal[
        "blosc", "blosc-lz4", "blosc-zstd", "zstd", "lz4", "gzip", "none"
    ] = "blosc",
    sharding_factor: int | None = None,
    n_levels: int | None = None,
    level: int = 0,
    resolution: tuple[float, ...] | None = None,
    legacy_lateral_order: bool = False,
    channel: int | None = None,
    time: int | None = None,
    overwrite: bool = False,
) -> None:
    """Copy an image into another format, flavour, chunking or compression.

    A store that becomes a store keeps all its levels, bit for bit, unless n_levels or level is
    given.

    Examples: ``mosaicflow convert IN.ome.zarr IN.nii.gz``;
    ``mosaicflow convert scan.ome.tif scan.ome.zarr --ngff_version 0.5``;
    ``mosaicflow convert IN.ome.zarr small.ome.zarr --level 2 --overwrite``.

    Parameters
    ----------
    source : str
        OME-Zarr store (folder, .zip, URL), .nii, .nii.gz, .tif, or a folder of TIFF planes.
    output : str
        .ome.zarr, .ome.zarr.zip, .nii, .nii.gz, .ome.tif, or a folder name for TIFF planes.
    ngff_version : {"0.4", "0.5"}, optional
        Flavour of a store.
    chunks : tuple of int, optional
        Chunk shape of a store, one number per axis.
    compressor : str, optional
        Codec of a store.
    sharding_factor : int, optional
        Chunks per file along y and x; needs 0.5.
    n_levels : int, optional
        Make a new power-of-two pyramid with this many extra levels.
    level : int, optional
        Pyramid level of a store to convert.
    resolution : tuple of float, optional
        Pixel size of the source in micrometres (one number, or one per axis), instead of the one
        in the file.
    legacy_lateral_order : bool, optional
        Swap the lateral axes, for stores by older software.
    channel : int, optional
        Channel to convert, where a store has several.
    time : int, optional
        Time point to convert, where a store has several.
    overwrite : bool, optional
        Replace an existing output.
    """
    from mosaicflow.errors import ParameterError
    from mosaicflow.io.convert.convert import Conversion, convert_image
    from mosaicflow.io.zarr.errors import explained
    from mosaicflow.io.zarr.reader import StoreChoice
    from mosaicflow.io.zarr.transcode import StoreFormat

    if resolution is not None and len(resolution) not in {1, 2, 3}:
        raise ParameterError(f"--resolution: found {len(resolution)} numbers, expected 1 to 3")
    pitch = resolution * 3 if resolution is not None and len(resolution) == 1 else resolution
    store = StoreFormat(chunks, compressor, ngff_version, sharding_factor)
    how = Conversion(
        resolution_mm=None if pitch is None else tuple(value / 1000 for value in pitch),
        level=level,
        n_levels=n_levels,
        choice=StoreChoice(
            lateral_order="xy" if legacy_lateral_order else "yx", channel=channel, time=time
        ),
        overwrite=overwrite,
    )
    with explained(f"{source} -> {output}"):
        convert_image(source, output, store, how)
