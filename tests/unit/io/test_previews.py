import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mosaicflow.io.previews import ThinnedImage, write_preview


def pixels(path):
    with Image.open(path) as picture:
        return np.array(picture)


@given(
    shape=st.tuples(st.integers(1, 5000), st.integers(1, 40)),
    block=st.integers(1, 700),
)
def test_a_thinned_image_is_every_nth_pixel_whatever_the_blocks(shape, block):
    full = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    thin = ThinnedImage(shape)
    for y in range(0, shape[0], block):
        region = (slice(y, min(y + block, shape[0])), slice(0, shape[1]))
        thin.add(region, full[region])
    step = -(-max(shape) // 2000)
    np.testing.assert_array_equal(thin.image, full[::step, ::step])
    assert max(thin.image.shape) <= 2000


def test_a_preview_stretches_what_is_data_and_keeps_the_rest_black(tmp_path):
    image = np.linspace(5, 6, 10_000).reshape(100, 100)
    image[:, :20] = 0
    path = tmp_path / "p.png"
    write_preview(path, image, 10.0)
    found = pixels(path)
    assert found.shape == (100, 100)
    assert (found[:, :20] == 0).all()
    assert found[0, 20:].max() <= 3
    assert found[-1, 20:].min() >= 252
    assert [item.name for item in tmp_path.iterdir()] == ["p.png"]


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_an_even_image_gives_an_even_preview(tmp_path, value):
    write_preview(tmp_path / "p.png", np.full((4, 5), value), 10.0)
    assert np.ptp(pixels(tmp_path / "p.png")) == 0


def test_a_large_image_fits_a_screen(tmp_path):
    write_preview(tmp_path / "p.png", np.random.default_rng(0).random((4100, 10)), 10.0)
    assert max(pixels(tmp_path / "p.png").shape) == 2000


@pytest.mark.parametrize(("rows", "pitch_um"), [(50, 10.0), (4000, 20.0)])
def test_a_preview_says_how_large_its_own_pixels_are(tmp_path, rows, pitch_um):
    write_preview(tmp_path / "p.png", np.ones((rows, 400)), 10.0)
    with Image.open(tmp_path / "p.png") as picture:
        assert float(picture.info["um_per_px"]) == pytest.approx(pitch_um)
