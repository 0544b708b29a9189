"""What is said of a pipeline that does not become ready."""

from dataclasses import replace
from types import SimpleNamespace

from edgeform_device.ports import Health
from edgeform_device.settle import await_healthy

BUSY = "cannot serve at 0.0.0.0:8080: [Errno 98] Address already in use"


class Steps:
    """A clock that moves when somebody sleeps, and services that answer one health after the other."""

    def __init__(self, *healths):
        self._healths = list(healths)
        self._now = 0.0

    def boottime_s(self):
        return self._now

    def sleep(self, seconds):
        self._now += seconds

    def health(self, name):
        assert name == "gate"
        return self._healths.pop(0) if len(self._healths) > 1 else self._healths[0]


def health(phase, detail="", pid=1):
    return Health("gate", is_active=True, pid=pid, phase=phase, detail=detail)


def waited(*healths, **limits):
    steps = Steps(*healths)
    content = SimpleNamespace(pipelines=[SimpleNamespace(name="gate")])
    around = SimpleNamespace(clock=steps, services=steps)
    return await_healthy(around, content, **({"within_s": 1.0} | limits))


def test_the_reason_of_a_runtime_that_is_started_again_and_again_is_not_lost():
    assert waited(health("loading"), health("failed", BUSY), health("loading")) == (
        f"gate says loading. Before, it failed: {BUSY}",
    )


def test_a_reason_is_said_once():
    assert waited(health("failed", BUSY)) == (f"gate says failed. {BUSY}",)


def test_a_slow_one_is_only_slow_and_a_ready_one_is_no_trouble():
    assert waited(health("loading")) == ("gate says loading.",)
    assert waited(health("failed", BUSY), health("ready")) == ()


def test_the_third_failed_start_is_the_last_one_that_is_waited_for():
    told = [health("failed", BUSY, pid=1), health("loading"), health("failed", BUSY, pid=2)]
    told += [health("failed", BUSY, pid=2), health("failed", BUSY, pid=3)]
    endless = [health("loading")] * 1000
    assert waited(*told, *endless, within_s=120.0, failures=3) == (f"gate says failed. {BUSY}",)


def test_a_pipeline_that_ends_before_anybody_can_ask_it_is_counted_by_who_runs_it():
    gone = Health("gate", is_active=False, pid=0, phase="", detail="result exit-code", failures=3)
    starting = replace(gone, failures=1)
    told = (starting, gone, *[health("ready")] * 2)
    assert waited(*told, within_s=120.0, failures=3) == ("gate does not run. result exit-code",)


def test_going_back_is_never_hopeless():
    failed = [health("failed", BUSY, pid=n) for n in range(4)]
    assert waited(*failed, health("ready"), within_s=30.0) == ()
