"""Two controllers that look after one site cannot shorten or change what the other one wrote down."""

from hypothesis import given
from hypothesis import strategies as st

from edgeform.rollout.records import Parted, joined, lines_of_file

lines = st.lists(st.binary(min_size=1, max_size=4).filter(lambda b: b"\n" not in b), max_size=6)
chains = lines.map(lambda found: tuple(b"%d:" % n + line for n, line in enumerate(found)))


@given(chains, st.integers(0, 6), st.integers(0, 6))
def test_two_beginnings_of_one_chain_are_the_longer_one(chain, here, there):
    one, other = chain[:here], chain[:there]
    assert joined(one, other) == joined(other, one) == max(one, other, key=len)


@given(chains, chains)
def test_nothing_of_either_is_lost_or_they_have_parted(one, other):
    found = joined(one, other)
    if isinstance(found, Parted):
        place = found.line - 1
        assert one[:place] == other[:place]
        assert one[place] != other[place]
    else:
        assert found[: len(one)] == one
        assert found[: len(other)] == other


@given(chains, chains, chains)
def test_the_order_of_the_two_controllers_does_not_matter(base, one, other):
    first = joined(base, one)
    if not isinstance(first, Parted) and not isinstance(joined(first, other), Parted):
        second = joined(base, other)
        assert not isinstance(second, Parted)
        assert joined(second, one) == joined(first, other)


@given(st.binary(max_size=60))
def test_any_file_has_lines_and_a_conflict_of_git_is_never_a_chain(content):
    found = lines_of_file(content)
    assert b"" not in found
    assert isinstance(joined((*found, b"<<<<<<< HEAD"), ()), Parted)
