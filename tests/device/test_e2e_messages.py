"""SSH that dies or falls silent at each message of an apply: the old or the new one serves, and the next apply ends it."""

import os

import pytest
from support.site import copy_locked
from support.small_site import SmallSite

from edgeform.lab.faults import Fault
from edgeform.lab.rootless_lab import RootlessLab

pytestmark = pytest.mark.device

GOOD = ("digits", "better")
KILLED = [pytest.param(n, marks=[] if n == 1 else [pytest.mark.slow]) for n in range(1, 6)]
"""Each connection dies at its next but n-th message, so that with 1 every message loses its connection once."""
AT_BYTES = (2_000, 5_000, 6_500, 8_000, 12_000, 60_000)
"""From the greeting, over the login (about 3 kB from the client), into messages and the upload."""


@pytest.fixture(scope="module")
def small(locked_site, tmp_path_factory):
    """One device that serves; what a test leaves is only another generation."""
    pytest.importorskip("asyncssh", reason="the extra edgeform[lab] is not installed")
    folder = tmp_path_factory.mktemp("messages")
    lab = RootlessLab(folder / "rootless", environment=os.environ, owner_pid=os.getpid())
    lab.up(("small-1",))
    try:
        site = SmallSite(folder=copy_locked(locked_site, folder / "site"), lab=lab)
        site.want("digits")
        first = site.run("apply", "--yes")
        assert first.exit_code == 0, first.text
        yield site
    finally:
        lab.down()


def disturbed(small, fault: Fault):
    """An apply under the fault; afterwards old or new serves, and the next apply needs no help."""
    before = small.generations()["small-1"]
    small.want("better")
    small.lab.set_fault("small-1", fault)
    try:
        done = small.run("apply", "--yes")
    finally:
        small.lab.set_fault("small-1", Fault())
    checked = small.run("check", "small-1")
    assert checked.exit_code == 0, checked.text
    after = small.generations()["small-1"]
    assert after >= before
    again = small.run("apply", "--yes")
    assert again.exit_code == 0, again.text
    assert small.generations()["small-1"] > before
    return done


@pytest.mark.parametrize("commands", KILLED)
def test_a_connection_that_dies_at_every_message_costs_only_time(small, commands):
    done = disturbed(small, Fault(kill_after_commands=commands))
    assert done.exit_code == 0, done.text


@pytest.mark.slow
@pytest.mark.parametrize("count", AT_BYTES)
def test_a_connection_cut_at_a_byte_leaves_the_old_or_the_new_one(small, count):
    done = disturbed(small, Fault(cut_after_bytes=count))
    assert done.exit_code in (0, 9), done.text


@pytest.mark.slow
@pytest.mark.parametrize("count", AT_BYTES[:4])
def test_a_connection_that_stalls_at_a_byte_is_left_and_never_waited_for_without_end(small, count):
    done = disturbed(small, Fault(stall_after_bytes=count))
    assert done.exit_code in (0, 9), done.text
