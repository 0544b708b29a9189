"""The stability index: next to nothing without a shift, more with a larger one, never a wrong number."""

import math
import random
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.captures import DIGEST
from support.soak import examples

from edgeform_wire import reference
from edgeform_wire.errors import WireError

SEEDS = range(1, 21)
"""Drawn samples are judged by seeds that stay: whoever searches for an unlucky one will find it."""
COUNTS = st.lists(st.integers(0, 10_000), min_size=2, max_size=20).filter(any)


def values(chance, count, mean=0.0, spread=1.0):
    return [{"mean": chance.gauss(mean, spread)} for _ in range(count)]


def index_of(held, seen):
    feature = held.features[0]
    return reference.psi(
        feature.counts, reference.counts_of(feature.edges, [v["mean"] for v in seen])
    )


@settings(max_examples=examples(200), deadline=None)
@given(COUNTS)
def test_a_histogram_has_not_moved_from_itself(counts):
    assert reference.psi(counts, counts) == 0.0
    more = [10 * c for c in counts]
    # An empty bin weighs something, so few inputs seem to move a little: never more than chance explains.
    far = reference.chance_level(len(counts), sum(counts), sum(more))
    assert reference.psi(counts, more) <= max(0.1, far)


@settings(max_examples=examples(200), deadline=None)
@given(st.data(), st.integers(2, 20))
def test_it_is_never_negative_and_the_same_both_ways(data, bins):
    lists = st.lists(st.integers(0, 10_000), min_size=bins, max_size=bins).filter(any)
    then, now = data.draw(lists), data.draw(lists)
    found = reference.psi(then, now)
    assert found >= 0.0
    assert math.isfinite(found)
    assert found == pytest.approx(reference.psi(now, then))


@pytest.mark.parametrize("count", [200, 1000])
@pytest.mark.parametrize("seed", SEEDS)
def test_inputs_of_the_same_kind_stay_below_what_chance_explains(seed, count):
    chance = random.Random(seed)
    held = reference.reference_of(values(chance, count), DIGEST)
    level = reference.chance_level(len(held.features[0].counts), count, 500)
    assert index_of(held, values(chance, 500)) < level * 1.5


@pytest.mark.parametrize("seed", SEEDS)
def test_a_larger_shift_has_a_larger_index(seed):
    chance = random.Random(seed)
    held = reference.reference_of(values(chance, 1000), DIGEST)
    found = [index_of(held, values(chance, 500, mean=shift)) for shift in (0.0, 0.5, 1.0, 2.0)]
    assert found == sorted(found)
    assert found[0] < reference.MODERATE
    assert found[2] > reference.SHIFTED


def test_chance_passes_its_level_hardly_ever():
    chance = random.Random(3)
    held = reference.reference_of(values(chance, 300), DIGEST)
    level = reference.chance_level(10, 300, 500)
    found = [index_of(held, values(chance, 500)) for _ in range(1000)]
    # The mean of the index without a shift is (bins - 1)(1/n + 1/m); Yurdakul 2018.
    assert sum(index > level for index in found) <= 10
    fresh = []
    for _ in range(300):
        again = reference.reference_of(values(chance, 300), DIGEST)
        fresh.append(index_of(again, values(chance, 500)))
    assert statistics.fmean(fresh) == pytest.approx(9 * (1 / 300 + 1 / 500), rel=0.25)


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(st.floats(-1e12, 1e12), min_size=50, max_size=200))
def test_a_reference_reads_back_whatever_its_inputs_were(numbers):
    held = reference.reference_of([{"mean": n, "spread": abs(n)} for n in numbers], DIGEST)
    assert reference.decode(held.encoded()) == held
    for feature in held.features:
        assert sum(feature.counts) == len(numbers)


def test_inputs_that_were_all_the_same_move_when_they_change():
    held = reference.reference_of([{"mean": 3.5}] * 100, DIGEST)
    assert index_of(held, [{"mean": 3.5}] * 100) == 0.0
    assert index_of(held, [{"mean": 3.6}] * 100) > 1.0


@pytest.mark.parametrize(
    "seen",
    [[{"mean": 1.0}] * 49, [{"mean": 1.0}] * 50 + [{"other": 1.0}], [{"mean": math.nan}] * 60],
)
def test_what_says_nothing_makes_no_reference(seen):
    with pytest.raises(WireError):
        reference.reference_of(seen, DIGEST)
