from hypothesis import given
from hypothesis import strategies as st

from edgeform.apply.outcome import Dark, Helpless, Outcome, Pending, Unchanged
from edgeform.rollout.gate import Verdict, judge
from edgeform.rollout.waves import one_wave

names = st.text("abcdef0123456789-", min_size=1, max_size=8)
outcomes = st.one_of(
    names.map(lambda n: Unchanged(device=n, generation=1)),
    names.map(lambda n: Pending(device=n, detail="", hint="")),
    names.map(lambda n: Dark(device=n, detail="", hint="")),
    names.map(lambda n: Helpless(device=n, detail="", hint="")),
)


@given(st.lists(names))
def test_a_wave_holds_each_device_once_and_forgets_none(devices):
    waves = one_wave(devices)
    assert sorted(d for w in waves for d in w) == sorted(set(devices))


def test_the_first_device_that_needs_hands_stops_the_rollout():
    helpless = Helpless(device="a", detail="", hint="")
    assert judge([Unchanged(device="b", generation=1)]) is Verdict.GO
    assert judge([Unchanged(device="b", generation=1), helpless]) is Verdict.STOP


@given(st.lists(outcomes), outcomes)
def test_one_more_outcome_never_turns_stop_into_go(before: list[Outcome], one_more: Outcome):
    if judge(before) is Verdict.STOP:
        assert judge([*before, one_more]) is Verdict.STOP
