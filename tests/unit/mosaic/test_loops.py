"""Choosing between several shifts of a pair by the loops that they close."""

from mosaicflow.mosaic.link import LinkOption
from mosaicflow.mosaic.loops import choose_by_loops

# Two loops side by side: a 2 x 3 lattice with steps of 100 px.
RIGHT, DOWN = (0, 100), (100, 0)
PERIOD = 14


def option(step, excess, ratio, off=(0, 0)):
    shift = (step[0] + off[0], step[1] + off[1])
    return LinkOption(shift, excess, excess / 20, 0.8, ratio)


def lattice():
    """Every pair with one clear candidate, at its true shift."""
    pairs = {((iy, ix), (iy, ix + 1)): RIGHT for iy in (0, 1) for ix in (0, 1)}
    pairs |= {((0, ix), (1, ix)): DOWN for ix in (0, 1, 2)}
    return {pair: [option(step, 30.0, 1.6)] for pair, step in pairs.items()}


def test_a_doubtful_pair_is_settled_by_clear_ones_and_does_not_mislead_them():
    """A repetition of the texture matches a little better in the middle, and so does another.

    Both clear pairs of the upper row have the same repetition among their candidates: with it the
    loops would close round the doubtful pair's wrong shift.
    """
    options = lattice()
    wrong = option(DOWN, 25.0, 1.01, (PERIOD, -2 * PERIOD))
    options[(0, 1), (1, 1)] = [wrong, option(DOWN, 24.7, 0.99)]
    left, right = ((0, 0), (0, 1)), ((0, 1), (0, 2))
    options[left].append(option(RIGHT, 14.0, 0.6, (-PERIOD, 2 * PERIOD)))
    options[right].append(option(RIGHT, 14.0, 0.6, (PERIOD, -2 * PERIOD)))
    chosen = choose_by_loops(options)
    assert chosen[left].shift_px == chosen[right].shift_px == RIGHT
    assert chosen[(0, 1), (1, 1)].shift_px == DOWN


def test_a_strong_pattern_that_no_loop_confirms_gives_way():
    """What sits on the camera matches best where tiles do not move; two loops tell the truth."""
    options = lattice()
    still = option(DOWN, 40.0, 1.5, (-60, 7))
    options[(0, 1), (1, 1)] = [still, option(DOWN, 26.0, 0.65)]
    assert choose_by_loops(options)[(0, 1), (1, 1)].shift_px == DOWN
