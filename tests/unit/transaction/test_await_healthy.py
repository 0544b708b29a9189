"""What is said of a pipeline that does not become ready."""

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


def health(phase, detail=""):
    return Health("gate", is_active=True, pid=1, phase=phase, detail=detail)


def waited(*healths):
    steps = Steps(*healths)
    content = SimpleNamespace(pipelines=[SimpleNamespace(name="gate")])
    return await_healthy(SimpleNamespace(clock=steps, services=steps), content, within_s=1.0)


def test_the_reason_of_a_runtime_that_is_started_again_and_again_is_not_lost():
    assert waited(health("loading"), health("failed", BUSY), health("loading")) == (
        f"gate says loading. Before, it failed: {BUSY}",
    )


def test_a_reason_is_said_once():
    assert waited(health("failed", BUSY)) == (f"gate says failed. {BUSY}",)


def test_a_slow_one_is_only_slow_and_a_ready_one_is_no_trouble():
    assert waited(health("loading")) == ("gate says loading.",)
    assert waited(health("failed", BUSY), health("ready")) == ()
