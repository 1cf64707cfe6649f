"""What pairs join."""

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from mosaicflow.groups import joined


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=15))
def test_members_have_one_name_where_a_chain_of_pairs_leads_from_one_to_the_other(pairs):
    names = joined(pairs)
    assert names.keys() == {member for pair in pairs for member in pair}
    for one, other in combinations(names, 2):
        reached, size = {one}, 0
        while size != len(reached):
            size = len(reached)
            reached |= {m for pair in pairs if reached & set(pair) for m in pair}
        assert (names[one] == names[other]) == (other in reached)
