import pytest

from edgeform.build.gate import judged, upper_bound, worst_drop
from edgeform.domain.builds import Gate

GOOD = {
    "samples": 360,
    "accuracy": 0.97,
    "reference_accuracy": 0.972,
    "worse": 2,
    "better": 1,
    "agreement": 0.99,
    "sqnr_db": 30.0,
    "non_finite": 0,
    "constant": False,
}


def failing(**changed):
    return [v.name for v in judged(Gate(), GOOD | changed) if not v.passed]


def test_a_good_variant_passes_every_demand():
    assert failing() == []
    assert len(judged(Gate(), GOOD)) == 3


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"accuracy": 0.9619}, "accuracy drop"),
        ({"agreement": 0.979}, "agreement"),
        ({"sqnr_db": 14.9}, "SQNR"),
        ({"non_finite": 1}, "sane outputs"),
        ({"constant": True}, "sane outputs"),
    ],
)
def test_each_demand_can_fail_by_itself(changed, name):
    assert failing(**changed) == [name]


def test_better_accuracy_hides_neither_disagreement_nor_noise():
    assert failing(accuracy=1.0, agreement=0.5, sqnr_db=3.0) == ["agreement", "SQNR"]


def test_without_a_task_agreement_and_sqnr_are_judged():
    names = [v.name for v in judged(Gate(), GOOD | {"accuracy": None})]
    assert names == ["agreement", "SQNR"]


def test_what_lies_exactly_on_the_limit_passes():
    on_it = {"accuracy": 0.962, "agreement": 0.98, "sqnr_db": 15.0}
    assert failing(**on_it) == []


def test_the_drop_that_is_not_excluded_is_larger_than_the_one_that_was_seen():
    assert worst_drop(GOOD) > 0.002
    assert worst_drop(GOOD | {"worse": 0, "better": 0}) == pytest.approx(1 - 0.05 ** (1 / 360))


@pytest.mark.parametrize(
    ("events", "trials", "bound"),
    # Clopper and Pearson's one-sided 95 % bound, from the quantile of Beta(events + 1, trials - events).
    [(0, 10, 0.2589), (1, 10, 0.3942), (5, 100, 0.1023), (10, 1000, 0.0169), (7, 7, 1.0)],
)
def test_the_upper_bound_is_that_of_clopper_and_pearson(events, trials, bound):
    assert upper_bound(events, trials) == pytest.approx(bound, abs=2e-4)
