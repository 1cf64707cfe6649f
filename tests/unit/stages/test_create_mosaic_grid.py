import json
import shutil
import tracemalloc

import numpy as np
import pytest
import tifffile

from mosaicflow.errors import InputError
from mosaicflow.io.store_options import StoreOptions
from mosaicflow.io.zarr import open_level, validate_omezarr
from mosaicflow.simulation import preset, simulate
from mosaicflow.stages.create_mosaic_grid import create_mosaic_grid
from mosaicflow.stages.inspect_acquisition import inspect_acquisition


def toy(folder, **changes):
    settings = preset(
        "toy", **{"truth_volume": False, "n_slices": 1, "tile_shape": (20, 24, 30)} | changes
    )
    return simulate(folder, settings=settings).raw


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return toy(tmp_path_factory.mktemp("acquisition"))


def make(raw, folder, *, inspect=None, slice_id=0, **settings):
    inspect_acquisition(
        raw=raw, output_dir=folder, **{"axial_resolution_um": 10.0} | (inspect or {})
    )
    output = folder / f"mosaic_grid_3d_z{slice_id:02d}.ome.zarr"
    tiles = folder / f"z{slice_id:02d}_tiles.json"
    create_mosaic_grid(tiles=tiles, raw=raw, output=output, **settings)
    return output


def files(store):
    return {
        p.relative_to(store).as_posix(): p.read_bytes() for p in store.rglob("*") if p.is_file()
    }


def test_each_tile_lies_at_its_place(raw, tmp_path):
    output = make(raw, tmp_path)

    level = open_level(output)
    (folder,) = raw.glob("z00/tile_x01_y00_z00")
    stream = np.concatenate([np.fromfile(p, "<f4") for p in sorted(folder.glob("*.bin"))])
    stored = stream.reshape(30, 24 + 4, 20)[:, :24]
    assert level.shape == (20, 48, 60)
    assert level.chunks == (20, 24, 30)
    assert level.resolution_mm == pytest.approx((0.01, 0.01, 0.01))
    np.testing.assert_array_equal(level[:, :24, 30:], stored.transpose(2, 1, 0)[:, ::-1, ::-1])
    assert not [p for p in validate_omezarr(output) if p.severity == "error"]


def test_the_metadata_says_where_the_tiles_come_from(raw, tmp_path):
    attrs = open_level(make(raw, tmp_path)).attrs

    assert (attrs["kind"], attrs["slice_id"]) == ("mosaic_grid", 0)
    assert (attrs["tile_shape"], attrs["grid_shape"]) == ([20, 24, 30], [2, 2])
    assert attrs["missing_tiles"] == []
    assert attrs["positions"] == "stage"
    assert sorted(attrs["tile_positions_mm"]) == ["0,0", "0,1", "1,0", "1,1"]
    assert attrs["orientation"]["axis_y"] == "fast-reversed"
    assert attrs["source"] == {"root": "raw", "layout": "per_slice", "n_tiles": 4}
    assert [entry["step"] for entry in attrs["history"]] == ["create_mosaic_grid"]
    assert str(raw.parent) not in json.dumps(attrs)


def test_the_bytes_do_not_depend_on_threads(raw, tmp_path):
    one = make(raw, tmp_path / "one", threads=1)
    two = make(raw, tmp_path / "two", threads=2)

    assert files(one) == files(two)


@pytest.mark.parametrize("layout", ["flat", "acquisition"])
def test_every_layout_gives_the_same_grid(raw, tmp_path, layout):
    other = toy(tmp_path / "acquisition", layout=layout)

    same = open_level(make(other, tmp_path / "other"))[...]

    np.testing.assert_array_equal(same, open_level(make(raw, tmp_path / "plain"))[...])


def test_without_preprocessing_a_lines_run_along_x(tmp_path):
    raw = toy(tmp_path / "acquisition", preprocess=False)

    output = make(raw, tmp_path / "out", inspect={"preprocess": False})

    level = open_level(output)
    assert level.shape == (20, 48, 60)
    assert level.attrs["orientation"] == {"preprocess": False, "axis_y": "slow", "axis_x": "fast"}


def test_indices_need_not_start_at_zero_and_holes_stay_empty(tmp_path):
    raw = toy(tmp_path / "acquisition", first_index=(5, 2), missing_tiles=("0/5/3",))

    output = make(raw, tmp_path / "out")

    level = open_level(output)
    assert level.attrs["index_origin"] == {"iy": 5, "ix": 2}
    assert level.attrs["missing_tiles"] == [[0, 1]]
    assert level[:, :24, 30:].max() == 0
    assert not (output / "0" / "0" / "0" / "1").exists()


def test_shards_hold_the_same_tiles(raw, tmp_path):
    store = StoreOptions(ngff_version="0.5", sharding_factor=2)

    sharded = open_level(make(raw, tmp_path / "sharded", store=store, threads=2))

    np.testing.assert_array_equal(sharded[...], open_level(make(raw, tmp_path / "plain"))[...])
    assert sharded.chunks == (20, 24, 30)


def test_a_misplaced_galvo_return_is_corrected(tmp_path):
    changes = {"tile_shape": (30, 120, 60), "grid": (2, 3), "n_extra": 20}
    sound = toy(tmp_path / "sound", **changes)
    shifted = toy(tmp_path / "shifted", galvo_slices=(0,), **changes)

    output = make(shifted, tmp_path / "out")

    attrs = open_level(output).attrs
    assert (attrs["galvo"]["shift"], attrs["galvo"]["applied"]) == (120 - 84, True)
    np.testing.assert_allclose(
        open_level(output)[...].mean(), open_level(make(sound, tmp_path / "truth"))[...].mean(),
        rtol=0.02,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "reason"),
    [({"fix_galvo_shift": False}, "not looked for"), ({"detect_galvo": True}, "only reported")],
)
def test_the_correction_can_be_left_out(tmp_path, settings, reason):
    raw = toy(
        tmp_path / "acquisition", galvo_slices=(0,), tile_shape=(30, 120, 60), grid=(2, 3),
        n_extra=20,
    )  # fmt: skip
    settings = {"fix_galvo_shift": False} | settings

    galvo = open_level(make(raw, tmp_path / "out", **settings)).attrs["galvo"]

    assert galvo["applied"] is False
    assert galvo["reason"].startswith(reason)


def test_a_camera_shift_is_undone(tmp_path):
    changes = {"n_extra": 0, "tile_shape": (20, 40, 30)}
    sound = open_level(make(toy(tmp_path / "a", **changes), tmp_path / "sound"))[...]
    raw = toy(tmp_path / "b", camera_shift_px=7, marker=True, **changes)

    fixed = open_level(make(raw, tmp_path / "fixed", fix_camera_shift=True))[...]

    # The marker's own line is replaced by its neighbour: the last one, as Y runs backwards.
    rows = [row for row in range(80) if row not in (39, 79)]
    np.testing.assert_array_equal(fixed[:, rows], sound[:, rows])


def test_flat_images_become_one_plane(tmp_path):
    root = tmp_path / "tiles"
    root.mkdir()
    for ix in range(3):
        tifffile.imwrite(
            root / f"t_{ix + 1}.tif",
            np.full((8, 9), ix + 1, np.uint16) + np.eye(8, 9, dtype=np.uint16),
        )
    inspect = {
        "pixel_size_um": 2.0, "tile_pattern": "row-by-row", "tile_grid": "1x3",
    }  # fmt: skip

    level = open_level(make(root, tmp_path / "out", inspect=inspect))

    assert level.shape == (1, 8, 27)
    assert level[0, 1, :].tolist() == [1, 2, *[1] * 7, 2, 3, *[2] * 7, 3, 4, *[3] * 7]
    assert level.resolution_mm[1:] == pytest.approx((0.002, 0.002))


def test_a_failed_slice_repeats_its_reason(raw, tmp_path):
    copy = tmp_path / "raw"
    shutil.copytree(raw, copy)
    for path in copy.glob("z00/*/image_00000.bin"):
        path.write_bytes(b"")

    with pytest.raises(InputError, match="4 of 4 tiles cannot be used"):
        make(copy, tmp_path / "out")

    assert not (tmp_path / "out" / "mosaic_grid_3d_z00.ome.zarr").exists()


def test_too_many_tiles_lost_while_reading_fail_the_slice(raw, tmp_path):
    copy = tmp_path / "raw"
    shutil.copytree(raw, copy)
    inspect_acquisition(raw=copy, output_dir=tmp_path)
    next(copy.glob("z00/tile_x00*/image_00000.bin")).unlink()
    output = tmp_path / "mosaic_grid_3d_z00.ome.zarr"

    with pytest.raises(InputError, match="1 of 4 tiles of slice 0 cannot be used"):
        create_mosaic_grid(tiles=tmp_path / "z00_tiles.json", raw=copy, output=output)

    assert not list(tmp_path.glob("*mosaic_grid_3d*"))  # no hidden leftover either
    create_mosaic_grid(
        tiles=tmp_path / "z00_tiles.json", raw=copy, output=output, max_missing_fraction=0.5
    )
    metrics = json.loads((tmp_path / "mosaic_grid_3d_z00.metrics.json").read_text())["metrics"]
    assert (metrics["tiles_found"]["value"], metrics["tiles_placed"]["value"]) == (4, 3)


def test_another_json_is_no_tile_list(tmp_path):
    (tmp_path / "z00_tiles.json").write_text("{}")

    with pytest.raises(InputError, match="not a tile list"):
        create_mosaic_grid(
            tiles=tmp_path / "z00_tiles.json", raw=tmp_path, output=tmp_path / "a.ome.zarr"
        )


def test_strict_refuses_to_repair(raw, tmp_path):
    copy = tmp_path / "raw"
    shutil.copytree(raw, copy)
    path = next(copy.glob("z00/tile_x00*/image_00000.bin"))
    samples = np.fromfile(path, "<f4")
    samples[0] = np.nan
    samples.tofile(path)

    with pytest.raises(InputError, match=r"1 of 14400 samples are not finite.*\(strict\)"):
        make(copy, tmp_path / "out", strict=True)


@pytest.mark.parametrize("store", [StoreOptions(), StoreOptions(ngff_version="0.5")])
def test_memory_is_that_of_a_few_tiles(tmp_path, store, monkeypatch):
    monkeypatch.setenv("MOSAICFLOW_THREADS", "1")
    root = tmp_path / "tiles"
    root.mkdir()
    tile = np.random.default_rng(0).uniform(1, 9, (32, 128, 128)).astype(np.float32)
    for number in range(36):
        tifffile.imwrite(root / f"x{number % 6}_y{number // 6}.tif", tile, photometric="minisblack")
    inspect_acquisition(raw=root, output_dir=tmp_path, pixel_size_um=1.0, axial_resolution_um=1.0)
    output = tmp_path / "mosaic_grid_3d_z00.ome.zarr"

    tracemalloc.start()
    create_mosaic_grid(tiles=tmp_path / "z00_tiles.json", raw=root, output=output, store=store)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 5 * tile.nbytes + 20e6  # 36 tiles would be 75 MB, a shard of 16 33 MB
