"""Models that load, answer and are wrong: the devices find out by themselves and stay on what works."""

import pytest
from support.site import PIPELINE

pytestmark = pytest.mark.device

ON_BOTH_DEVICES = [
    ("wrong-normalisation", "nan-weights"),
    ("swapped-labels", "wrong-provider"),
    pytest.param("wrong-scale", "wrong-shape", marks=pytest.mark.slow),
    pytest.param("too-slow", "flipped-weights", marks=pytest.mark.slow),
]
FAILING_CHECK = {"wrong-provider": "provider", "too-slow": "latency"}
"""What finds them; every other is found by its goldens."""


@pytest.mark.parametrize(("first", "second"), ON_BOTH_DEVICES)
def test_a_wrong_model_never_serves_and_is_held(site, first, second):
    wrong = {"one": first, "two": second}
    before = {name: site.seen(name) for name in wrong}
    main_pids = {name: main_pid(site, name) for name in wrong}
    for name, pipeline in wrong.items():
        site.want(name, pipeline)
    done = site.apply()
    assert done.exit_code == 5, done.text
    for name, pipeline in wrong.items():
        check = FAILING_CHECK.get(pipeline, "golden")
        assert f"{name}: check {PIPELINE} shadow.{check}: fail" in done.err, done.text
        assert f"back on generation {before[name].current}" in done.out
        after = site.assert_serving(name, generation=before[name].current)
        assert main_pid(site, name) == main_pids[name], "what serves was not even restarted"
        held = set(after.quarantine) - set(before[name].quarantine)
        receipt = site.assert_receipts_home(name)[-1]
        assert (receipt["result"], {receipt["digest"]}) == ("rolled_back", held)
        assert check in receipt["reason"], receipt["reason"]
        assert check in {
            c["name"].split(".")[-1] for c in receipt["checks"] if c["verdict"] == "fail"
        }
    asked_again = site.apply()
    assert asked_again.exit_code == 3, asked_again.text
    assert "held" in asked_again.out
    assert {name: site.seen(name).current for name in wrong} == {
        n: before[n].current for n in wrong
    }


def test_after_a_held_model_a_good_one_goes_in(site):
    before = site.seen("one")
    site.want("one", "nan-weights")
    assert site.apply("-l", "one").exit_code == 5
    planned = site.plan("-l", "one", "--detailed-exitcode")
    assert planned.exit_code == 3, planned.text
    assert "held" in planned.out
    site.want("one", "better")
    done = site.apply("-l", "one")
    assert done.exit_code == 0, done.text
    # The number of the generation that failed is not used again: it is kept as evidence.
    after = site.seen("one")
    assert after.current > before.current
    site.assert_serving("one", generation=after.current)


def main_pid(site, name: str) -> str:
    unit = f"edgeform-pipeline@{PIPELINE}"
    return site.on(name, "systemctl", "show", "-p", "MainPID", "--value", unit)
