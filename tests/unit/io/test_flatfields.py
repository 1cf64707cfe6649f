import numpy as np
import pytest

from mosaicflow.errors import FormatError
from mosaicflow.io.flatfields import FlatField, load_flat_field, save_flat_field


@pytest.fixture
def field():
    gain = np.linspace(0.5, 1.5, 12, dtype=np.float32).reshape(3, 4)
    none = np.zeros_like(gain)
    return FlatField(gain, none, none, none)


def test_a_flat_field_is_read_back(field, tmp_path):
    path = tmp_path / "illumination.npz"
    save_flat_field(path, field, n_tiles=3)
    found = load_flat_field(path)
    np.testing.assert_array_equal(found.gain, field.gain)
    np.testing.assert_array_equal(found.offset, field.offset)
    assert [item.name for item in tmp_path.iterdir()] == ["illumination.npz"]


def test_the_same_field_gives_the_same_bytes(field, tmp_path):
    paths = [tmp_path / "a.npz", tmp_path / "b.npz"]
    for path in paths:
        save_flat_field(path, field, n_tiles=3)
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize("damage", ["text", "truncated", "other", "single", "gone"])
def test_another_file_is_refused_with_the_way_to_make_one(field, tmp_path, damage):
    path = tmp_path / "illumination.npz"
    save_flat_field(path, field, n_tiles=3)
    if damage == "text":
        path.write_text("hello")
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "other":
        np.savez(path, gain=np.ones(3))
    elif damage == "single":
        with path.open("wb") as file:
            np.save(file, field.gain)
    else:
        path.unlink()
    with pytest.raises(FormatError, match=r"not an illumination file .* estimate_illumination"):
        load_flat_field(path)
