"""A driver change against a device that is a list of answers."""

from dataclasses import replace

import pytest
from support.facts import facts

from edgeform.domain.drivers import DriverTuple, Package
from edgeform.domain.observed import Unreachability
from edgeform.domain.site import Connect
from edgeform.drivers.change import Changed, Stuck, Surroundings, Undone, change
from edgeform.transport.base import DeviceUnreachable, Finished, ProvisionStep, Target

WANTED = DriverTuple(packages=(Package(name="drv", version="2"),), verify=("drv-check",))
OK = Finished(exit_code=0, stdout=b"", stderr=b"")


class Box:
    role_fails = ""

    """A transport to one device; `exits` gives exit codes by the command's first word."""

    def __init__(self, steps=(), exits=None, gone_at=None):
        self.ran = []
        self._steps = tuple(steps) or (
            ProvisionStep(operation="drv", changed=True, succeeded=True),
        )
        self._exits = exits or {}
        self._gone_at = gone_at

    def run(self, target, command):
        self.ran.append(command.argv)
        if command.argv[0] == self._gone_at:
            raise DeviceUnreachable(target.name, Unreachability.CONNECT, "gone")
        return replace(OK, exit_code=self._exits.get(command.argv[0], 0), stderr=b"why")

    def provision(self, target, drivers, on_step):
        for step in self._steps:
            on_step(step)
        return self._steps

    def close(self):
        pass


def tried(box, wanted=None):
    heard = []
    around = Surroundings(
        transport=box,
        play_role=lambda target, role, on_step: box.role_fails,
        listener=heard.append,
        monotonic=lambda: 0.0,
        sleep=lambda s: None,
    )
    before = facts(packages=(("drv", "1"),))
    target = Target(name="d", connect=Connect())
    return change(target, "/p", wanted or WANTED, before, around), heard


def test_a_verified_change_is_told_step_by_step():
    outcome, heard = tried(Box())
    assert outcome == Changed(device="d", changed_steps=1, rebooted=False)
    assert [e.operation for e in heard] == ["drv"]


@pytest.mark.parametrize("is_loaded", [True, False])
def test_a_reboot_is_for_what_the_kernel_loads(is_loaded):
    """A kernel parameter alone is in effect at once, also where the class demands reboots."""
    step = ProvisionStep(operation="any", changed=True, succeeded=True, is_loaded=is_loaded)
    box = Box(steps=[step])
    outcome, _ = tried(box, replace(WANTED, reboot=True))
    assert outcome == Changed(device="d", changed_steps=1, rebooted=is_loaded)
    assert (("systemctl", "reboot") in box.ran) == is_loaded


def test_a_failed_verification_puts_the_previous_package_back():
    box = Box(exits={"drv-check": 1})
    outcome, _ = tried(box)
    assert isinstance(outcome, Undone)
    assert "drv-check" in outcome.reason
    assert any("dpkg --install" in " ".join(argv) for argv in box.ran)


def test_a_failed_step_is_undone_without_asking_for_a_verification():
    box = Box(
        steps=[ProvisionStep(operation="drv", changed=False, succeeded=False, detail="no space")]
    )
    outcome, _ = tried(box)
    assert isinstance(outcome, Undone)
    assert "no space" in outcome.reason
    assert ("drv-check",) not in box.ran


def test_an_undo_that_fails_needs_somebody():
    outcome, _ = tried(Box(exits={"drv-check": 1, "sh": 1}))
    assert isinstance(outcome, Stuck)
    assert outcome.undo_failed


def test_a_device_that_goes_away_before_anything_was_changed_is_unreachable():
    with pytest.raises(DeviceUnreachable):
        tried(Box(gone_at="mkdir"))


def test_a_device_that_goes_away_during_the_change_and_comes_back_is_undone():
    outcome, _ = tried(Box(gone_at="drv-check"))
    assert isinstance(outcome, Undone)
    assert "went away" in outcome.reason
