"""A rule is text of a site: whatever it is, it is refused with a place or judged, and never run."""

import pytest
from support import fuzz_rules


def test_a_few_thousand_grown_texts_are_refused_or_judged():
    tally = fuzz_rules.fuzz(0.0, seed=20261128, at_least=3000)
    assert tally.texts >= 3000
    assert tally.rules > 100, "or the seeds are too far from the language"


@pytest.mark.parametrize(
    "text", fuzz_rules.seeds(), ids=lambda text: text[:30].encode("unicode_escape").decode()
)
def test_every_seed_is_refused_or_judged(text):
    with fuzz_rules.no_code():
        fuzz_rules.check(text)


def test_the_watch_finds_what_runs_code():
    with pytest.raises(AssertionError, match="ran eval"), fuzz_rules.no_code():
        eval("1")  # noqa: S307 - that is the point
