"""The transaction on a recorded ext4 disk: every state that a power cut can leave, mounted and recovered.

Beside the crash model, which is pessimistic about POSIX, this shows what the real file system does, also
without its habit of writing data before a rename. Services and checks are stand-ins; all files are real.
"""

import os

import pytest
from support.crashdisk import MERCIFUL, MERCILESS, crashes, record, violations
from support.crashmodel import Story, after_recovery, recover_after_power_cut
from support.soak import DEPTH, SEED
from support.transact import World, a_device_at, a_generation, digest, next_deployment, order

from edgeform.lab.doctor import NEEDED_FOR_CRASHDISK, doctor, missing
from edgeform_device.durable import Disk
from edgeform_device.errors import DeviceError
from edgeform_device.transaction import transact

gaps = missing(doctor(os.environ), NEEDED_FOR_CRASHDISK)
pytestmark = [
    pytest.mark.crash,
    pytest.mark.skipif(
        bool(gaps), reason="no recorded disk: " + "; ".join(f"{g.name}: {g.reason}" for g in gaps)
    ),
]


def a_world(root, disk=None, **fields):
    return World(disk=disk or Disk(), prefix=str(root), **fields)


def installed(root):
    a_device_at(a_generation(model=1), world=a_world(root))


def running_on(root, disk=None):
    """The device that `installed` made, with its pipeline running."""
    world = a_world(root, disk)
    world.services.define(a_generation(model=1))
    world.services.start(("cam",))
    return world


def activated(root, say, *, is_bad=False, disk=None):
    world = running_on(root, disk)
    if is_bad:
        world.checks.bad_live.add(digest(2))
    outcome = transact(world.env, order(world, next_deployment(world, a_generation(model=2))))
    say(outcome.result)


def turned_back(root, say):
    activated(root, say, is_bad=True)


def check(root, said):
    world = a_world(root)
    world.clock.boot = "boot-2"
    try:
        recover_after_power_cut(world)
    except (DeviceError, OSError, ValueError) as exc:
        return f"recovery failed: {exc}"
    story = Story(None, None, 1, 2)
    return after_recovery(story, world, "committed" in said, is_swept=True)


@pytest.mark.parametrize(
    ("story", "options"),
    [
        pytest.param(activated, MERCILESS, id="committed-noauto_da_alloc"),
        pytest.param(activated, MERCIFUL, id="committed", marks=pytest.mark.slow),
        pytest.param(turned_back, MERCILESS, id="back-noauto_da_alloc", marks=pytest.mark.slow),
        pytest.param(turned_back, MERCIFUL, id="back", marks=pytest.mark.slow),
    ],
)
def test_every_state_of_the_disk_recovers(options, story, record_property):
    recording = record(installed, story, mount_options=options)
    assert len(recording.marks) == 1
    assert sum(entry.is_flush for entry in recording.entries) >= 20
    subsets = 2 * DEPTH
    record_property("power_cuts", len(tuple(crashes(recording, seed=SEED, subsets=subsets))))
    found = violations(recording, check, seed=SEED, subsets=subsets)
    assert found == (), found[:3]


class NeverSyncing(Disk):
    def sys_fsync(self, fd):
        pass


def test_a_disk_that_is_never_synced_is_caught():
    def careless(root, say):
        activated(root, say, disk=NeverSyncing())

    recording = record(installed, careless, mount_options=MERCILESS)
    assert violations(recording, check, seed=SEED)
