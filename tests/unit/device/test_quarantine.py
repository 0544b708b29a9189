"""The way out of quarantine, on a device's real files."""

import fcntl
import json
import sys

import pytest
from support.device import ask

from edgeform_device import quarantine
from edgeform_device.errors import Locked, Refused
from edgeform_device.records import Quarantined, State

ONE, OTHER = "sha256:" + "1" * 64, "sha256:" + "2" * 64


@pytest.fixture
def state(device):
    state = State(device.disk, device.layout)
    held = Quarantined("a port was taken", "2026-11-22T00:00:00Z", "t1-x", 2)
    state.write_quarantine({ONE: held, OTHER: held})
    return state


def test_one_is_released_and_the_others_stay(device, state):
    assert quarantine.release(device.disk, device.layout, ONE).reason == "a port was taken"
    assert set(state.quarantine()) == {OTHER}


def test_what_is_not_held_is_refused_with_what_is(device, state):
    quarantine.release(device.disk, device.layout, ONE)
    with pytest.raises(Refused, match="is not held") as refused:
        quarantine.release(device.disk, device.layout, ONE)
    assert OTHER in refused.value.detail


def test_nothing_is_released_while_a_transaction_works(device, state):
    with open(device.layout.lock, "w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(Locked):
            quarantine.release(device.disk, device.layout, ONE)
    assert set(state.quarantine()) == {ONE, OTHER}


def test_the_verb_takes_a_digest_and_nothing_else(device, state, tool):
    command = (sys.executable, str(tool), "--prefix", str(device.prefix), "release")
    done = ask(command, stdin=json.dumps({"digest": ONE, "who": "anna@desk"}).encode())
    assert done.exit_code == 0, done
    assert "anna@desk released" in done.talk
    assert ask(command, stdin=b'{"digest": "all"}').exit_code == 64
    assert set(state.quarantine()) == {OTHER}
