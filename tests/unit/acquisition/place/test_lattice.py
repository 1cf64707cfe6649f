import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mosaicflow.acquisition.place.lattice import fill_steps, fit_lattice, index_positions

SIZE = (100.0, 120.0)


def places(rows, columns, angle_deg=0.0, jitter=0.0, seed=0):
    rng = np.random.default_rng(seed)
    index = [(iy, ix) for iy in range(rows) for ix in range(columns)]
    turn = np.deg2rad(angle_deg)
    matrix = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    position = np.array(index) * [80.0, 100.0] @ matrix.T
    return index, position + rng.uniform(-jitter, jitter, position.shape)


@given(
    rows=st.integers(1, 8),
    columns=st.integers(1, 8),
    angle=st.floats(-3, 3),
    jitter=st.floats(0, 5),
    seed=st.integers(0, 99),
)
def test_the_lattice_behind_positions_is_found(rows, columns, angle, jitter, seed):
    index, position = places(rows, columns, angle, jitter, seed)

    assert index_positions([tuple(p) for p in position], SIZE) == index


def test_a_turned_camera_may_move_a_long_row_by_more_than_a_step():
    index, position = places(3, 150, angle_deg=1.0)

    assert np.ptp(position[:150, 0]) > 80
    assert index_positions([tuple(p) for p in position], SIZE) == index


def test_holes_and_a_tile_apart_keep_their_place():
    index, position = places(4, 5)
    kept = [n for n, (iy, ix) in enumerate(index) if (iy, ix) in {(0, 0), (0, 1), (1, 0), (3, 4)}]

    found = index_positions([tuple(position[n]) for n in kept], SIZE)

    assert found == [index[n] for n in kept]


def test_a_wild_position_does_not_move_the_fit():
    index, position = places(4, 4)
    position[5] += 500

    fit = fit_lattice(index, [tuple(p) for p in position])

    np.testing.assert_allclose(fit.matrix, [[80, 0], [0, 100]], atol=1e-9)
    np.testing.assert_allclose(fit.offset, [0, 0], atol=1e-9)


def test_a_single_row_leaves_the_other_step_unknown():
    index, position = places(1, 4)

    fit = fit_lattice(index, [tuple(p) for p in position])

    assert np.isnan(fit.matrix[:, 0]).all()
    np.testing.assert_allclose(fit.predict(np.array([(0, 3)])), [[0, 300]])


def test_a_step_filled_in_leaves_the_tiles_where_they_are():
    index = [(2, 0), (2, 1), (2, 2)]
    position = [(7.0, 0.0), (7.0, 100.0), (7.0, 200.0)]

    fit = fill_steps(fit_lattice(index, position), np.diag([80.0, 90.0]), index, position)

    np.testing.assert_allclose(fit.predict(np.array([*index, (3, 1)])), [*position, (87.0, 100.0)])
