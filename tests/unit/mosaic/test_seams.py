import numpy as np
import pytest

from mosaicflow.mosaic.fusion import plan_canvas
from mosaicflow.mosaic.seams import seam_sums

POSITIONS = {(0, 0): (0.0, 0.0), (0, 1): (0.0, 14.0)}


@pytest.fixture
def canvas():
    return plan_canvas(POSITIONS, (20, 24))


def ratio(sums):
    border, n_border, every, n_every = sums
    return (border / n_border) / (every / n_every)


def test_an_even_slope_has_no_seams(canvas):
    slope = np.broadcast_to(np.arange(1.0, 39.0), canvas.shape_yx).astype(np.float32)
    border, n_border, every, n_every = seam_sums(canvas, (slice(0, 20), slice(0, 38)), slope)
    assert border / n_border == pytest.approx(1)
    assert n_border == 2 * 20  # both borders of the overlap, over 20 rows
    assert (every, n_every) == (37 * 20, 37 * 20 + 38 * 19)


def test_a_step_where_a_tile_ends_stands_out(canvas):
    step = np.ones(canvas.shape_yx, np.float32)
    step[:, 14:] = 2
    assert ratio(seam_sums(canvas, (slice(0, 20), slice(0, 38)), step)) > 10


def test_blocks_add_up_but_for_the_gradients_between_them(canvas):
    image = np.random.default_rng(0).random(canvas.shape_yx, np.float32) + 1
    full = np.array(seam_sums(canvas, (slice(0, 20), slice(0, 38)), image))
    parts = sum(
        np.array(seam_sums(canvas, (slice(0, 20), slice(x, x + 19)), image[:, x : x + 19]))
        for x in (0, 19)
    )
    np.testing.assert_allclose(parts[:2], full[:2])
    assert parts[3] == full[3] - 20


def test_places_without_data_do_not_count(canvas):
    image = np.ones(canvas.shape_yx, np.float32)
    image[:10] = 0
    border, n_border, every, _ = seam_sums(canvas, (slice(0, 20), slice(0, 38)), image)
    assert border == every == 0
    assert n_border == 2 * 10
