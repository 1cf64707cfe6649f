import json

import pytest

from mosaicflow.engine.layout import RunFolder, published_folder


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("mosaic_grid_3d_z00.ome.zarr", "mosaic_grids"),
        ("mosaic_grid_3d_z100_illum_fix.ome.zarr", "mosaic_grids"),
        ("slice_z07_stitch_3d.ome.zarr", "slices/stitch_3d"),
        ("slice_z123_axial_corr.ome.zarr", "slices/axial_corr"),
        ("3d_volume.ome.zarr", ""),
        ("mouse 7.ome.zarr", ""),
        ("slice_z07_normalize.metrics.json", "metrics"),
        ("alignment.metrics.json", "metrics"),
        ("z00_z01_transform.json", "transforms"),
        ("z00_z01_transform.tfm", "transforms"),
        ("z00_transform_xy.npy", "transforms"),
        ("layout.png", "previews"),
        ("z00_tile_positions.csv", "tables"),
        ("z00_failure.json", "tables"),
        ("alignment.json", "tables"),
        ("illumination.npz", "tables"),
        ("z00_tiles.bdv.xml", "tables"),
        ("z00_TileConfiguration.txt", "tables"),
        ("3d_volume_tiles.xml", "exports"),
        ("mouse 7_slices_TileConfiguration.txt", "exports"),
        ("3d_volume.ome.tif", "exports"),
        ("README.txt", ""),
        ("ro-crate-metadata.json", ""),
    ],
)
def test_every_output_has_its_folder(tmp_path, name, folder):
    assert published_folder(name) == folder
    assert RunFolder(tmp_path).path(name) == tmp_path / folder / name
    assert not RunFolder.place(name).startswith("/")


def test_an_unknown_kind_of_output_is_a_bug():
    with pytest.raises(ValueError, match=r"no place in the output tree for core\.dump"):
        published_folder("core.dump")


def test_every_store_that_a_run_publishes_tells_viewers_a_contrast(finished_run):
    stores = [path.parent for path in finished_run.rglob(".zattrs") if path.parent.suffix]
    kinds = {path.name.replace("z00", "zNN") for path in stores if "z01" not in path.name}
    assert {"3d_volume.ome.zarr", "slice_zNN_normalize.ome.zarr"} <= kinds
    assert "mosaic_grid_3d_zNN.ome.zarr" in kinds
    for path in stores:
        (channel,) = json.loads((path / ".zattrs").read_text())["omero"]["channels"]
        window = channel["window"]
        assert window["min"] <= window["start"] < window["end"] <= window["max"], path
