"""Files of the alignment that somebody edited: any value is read, or refused in one line."""

import copy
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaicflow.alignment.solution import AlignedSlice, Alignment
from mosaicflow.errors import FormatError, MosaicflowError
from mosaicflow.ledger.overrides import read_overrides
from mosaicflow.rigid import Rigid2D

SLICES = tuple(
    AlignedSlice(i, Rigid2D(0.5, (9.5, 9.5), (1.0, 2.0)), (1.0, 1.0), 8.0 * i, 0.9, "graph")
    for i in range(2)
)
SOUND = json.loads(
    json.dumps(Alignment(0, (10.0, 10.0, 10.0), (20, 20), 30, 8.0, SLICES).to_json())
)
ODD = st.one_of(
    st.none(),
    st.sampled_from([math.nan, math.inf, -math.inf, -1, 0, 1e308, 10**400, "", "x", [], {}, True]),
    st.recursive(st.integers() | st.text(max_size=3), st.lists, max_leaves=3),
)


def places(value, path=()):
    """Name every place of a document."""
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    for key, one in entries:
        yield (*path, key)
        if isinstance(one, dict | list):
            yield from places(one, (*path, key))


@given(place=st.sampled_from(list(places(SOUND))), value=ODD)
def test_any_value_in_an_alignment_is_read_or_refused(place, value):
    changed = copy.deepcopy(SOUND)
    *outer, last = place
    target = changed
    for key in outer:
        target = target[key]
    target[last] = value
    try:
        found = Alignment.from_json(changed, "alignment.json")
    except FormatError:
        return
    assert min(found.canvas_yx) >= 1
    assert found.n_planes >= 1
    numbers = [*found.pitch_um, found.interval_planes]
    for one in found.slices:
        numbers += [one.z_plane, *one.scale_yx, one.transform.angle_deg]
        numbers += [*one.transform.translation_yx, *one.transform.center_yx]
    assert all(map(math.isfinite, numbers))


CELLS = st.sampled_from(
    ["", "1", "0", "-2.5", "nan", "inf", "-inf", "1e308", "1e999", "1,5", "0x1", "true", "x", "٣"]
)


@given(rows=st.lists(st.tuples(st.sampled_from(["tile", "slice"]), *[CELLS] * 8), max_size=3))
def test_any_cell_of_the_overrides_is_a_finite_number_or_refused(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("o") / "overrides.csv"
    header = "kind,slice_id,iy,ix,dy_px,dx_px,angle_deg,sigma_px,lock\n"
    lines = [",".join(f'"{cell}"' for cell in row) for row in rows]
    path.write_text(header + "\n".join(lines))
    try:
        found = read_overrides(path)
    except MosaicflowError:
        return
    for one in found:
        numbers = [*(one.tile or ()), *(one.shift_px or ()), one.angle_deg or 0, one.sigma_px or 1]
        assert all(map(math.isfinite, numbers))


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("tile,0,1.5,0,1,1", "row 1: iy is '1.5', expected a whole number"),
        ("tile,0,nan,0,1,1", "row 1: iy is 'nan', expected a whole number"),
        ("tile,0,1,0,inf,1", "row 1: dy_px is 'inf', expected a number"),
        ("tile,0,1,0,2,1\ntile,0,1,0,3,1", "row 2: a second row about tile"),
    ],
)
def test_an_override_that_cannot_be_meant_is_refused(tmp_path, rows, said):
    path = tmp_path / "overrides.csv"
    path.write_text(f"kind,slice_id,iy,ix,dy_px,dx_px\n{rows}\n")
    with pytest.raises(MosaicflowError, match=said):
        read_overrides(path)
