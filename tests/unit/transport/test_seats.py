"""How many worker processes a fleet gets, and which device goes to which."""

import os

import pytest

from edgeform.transport.pyinfra import DEVICES_PER_WORKER, PyinfraTransport


@pytest.fixture
def transport():
    made = PyinfraTransport(workers=2)
    yield made
    made.close()


def pids(transport, count):
    return [transport._worker_for(f"dev-{n}").pid for n in range(count)]


def test_a_small_fleet_has_one_process(transport):
    assert len(set(pids(transport, DEVICES_PER_WORKER))) == 1


def test_a_larger_fleet_fills_one_process_after_the_other_and_then_spreads(transport):
    found = pids(transport, 2 * DEVICES_PER_WORKER + 4)
    first, second = found[0], found[DEVICES_PER_WORKER]
    assert found[:DEVICES_PER_WORKER] == [first] * DEVICES_PER_WORKER
    assert found[DEVICES_PER_WORKER : 2 * DEVICES_PER_WORKER] == [second] * DEVICES_PER_WORKER
    assert found[2 * DEVICES_PER_WORKER :] == [first, second, first, second]


def test_a_device_keeps_its_process(transport):
    found = pids(transport, DEVICES_PER_WORKER + 1)
    assert pids(transport, DEVICES_PER_WORKER + 1) == found


def test_the_process_that_was_warmed_up_is_the_first_devices(transport):
    transport.warm_up()
    pid = transport._workers[0].pid
    assert pids(transport, 1) == [pid]


def test_a_worker_that_nobody_asked_is_ended_at_once(transport):
    transport.warm_up()
    process = transport._workers[0]._process
    transport.close()
    assert process.returncode == -9
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)
