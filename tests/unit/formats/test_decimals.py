import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mosaicflow.formats.ground import text_table
from mosaicflow.formats.ground.decimals import find_words
from mosaicflow.formats.particles.star import read_star_blocks

digits = st.text("0123456789", max_size=12)
plain = st.builds("{}{}{}{}".format, st.sampled_from(["", "-"]), digits, st.just("."), digits)
shortest = st.floats(allow_nan=False, allow_infinity=False).map(repr)
odd = st.text("0123456789.-+eE_xna:/", min_size=1, max_size=20)


@given(texts=st.lists(st.one_of(plain, shortest, odd), min_size=1, max_size=30))
@example(
    texts=["0", "-0", "-0.0", ".5", "5.", "-.5", "-5.", ".", "-", "-.", "--1", "1.2.3", "1..2"]
)
@example(texts=["9007199254740992", "9007199254740993", "9999999999999999", "0.9999999999999999"])
@example(texts=["1234567", "12345678", "123456789", "0.000000000000001", "00000000000000001"])
@example(
    texts=["1-2", "1:2", "/12", "+1", "1e5", "nan", "inf", "1_2", "0x10", "a.b.c", "data_1.mrc"]
)
def test_what_is_known_is_bit_for_bit_what_python_reads(texts):
    words = find_words("\n".join(texts), 1)
    values, known = words.decimals()
    for text, value, is_known in zip(texts, values[:, 0], known[:, 0], strict=True):
        if is_known:
            assert np.float64(text).tobytes() == value.tobytes()
        elif text.removeprefix("-").replace(".", "", 1).isdigit():
            # Only numbers of more digits than float64 has are left to others.
            assert len(text.removeprefix("-").replace(".", "")) > 15
    assert words.texts(0) == texts
    assert words.text(len(texts) - 1, 0) == texts[-1]


@given(rows=st.lists(st.lists(st.one_of(plain, odd), min_size=3, max_size=3), max_size=6))
def test_words_are_those_of_split(rows):
    lines = [" \t ".join(row) for row in rows]
    words = find_words("\n\n".join(lines), 3)
    expected = [row for row in (line.split() for line in lines) if row]
    if any(len(row) != 3 for row in expected):
        assert words is None
    else:
        assert [[words.text(r, c) for c in range(3)] for r in range(len(words.starts))] == expected


@pytest.mark.parametrize(
    "text", ["1 2\n3\n", "1\n2 3 4\n", "1 2 3\n4", "1 \x01 2", "1 \u00e9", "1\x0b2"]
)
def test_what_is_no_plain_table_is_left_to_others(text):
    assert find_words(text, 2) is None


def test_a_table_of_many_pieces_is_that_of_one(text_file, monkeypatch):
    rng = np.random.default_rng(8)
    numbers = rng.normal(size=(200, 2))
    rows = "".join(f"  {a!r} name{i}.mrc {b:.3e}\n" for i, (a, b) in enumerate(numbers.tolist()))
    path = text_file("a.star", f"data_\nloop_\n_a\n_n\n_b\n{rows}\n")
    for size in (1, 50, 1000, 1 << 20):
        monkeypatch.setattr(text_table, "_PIECE_CHARACTERS", size)
        columns = read_star_blocks(path)[0].table.columns
        np.testing.assert_array_equal(columns["_a"], numbers[:, 0])
        np.testing.assert_array_equal(columns["_b"], [float(f"{b:.3e}") for b in numbers[:, 1]])
        assert columns["_n"].tolist() == [f"name{i}.mrc" for i in range(200)]
