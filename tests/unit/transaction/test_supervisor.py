"""The supervisor without systemd, with a pipeline that ends as soon as it is started: real processes."""

import os
import signal
import sys
import time

import pytest

import edgeform_device
from edgeform_device.boottime import BootClock
from edgeform_device.durable import Disk
from edgeform_device.layout import layout_for
from edgeform_device.running import command_line, daemon_pid
from edgeform_device.supervisor import SupervisorServices

TOOL = """
import sys
sys.path.insert(0, sys.argv.pop(1))
if "supervise" not in sys.argv:
    sys.exit(3)
from edgeform_device.boottime import BootClock
from edgeform_device.layout import layout_for
from edgeform_device.supervise import Supervisor
prefix = sys.argv[1]
Supervisor(layout_for(prefix), BootClock(), {tool!r}).serve()
"""


@pytest.fixture
def services(tmp_path):
    """Whatever is wanted exits with 3 at once."""
    script, prefix = tmp_path / "tool.py", tmp_path / "prefix"
    prefix.mkdir()
    source = os.path.dirname(os.path.dirname(edgeform_device.__file__))
    tool = (sys.executable, str(script), source, str(prefix))
    script.write_text(TOOL.format(tool=tool))
    layout = layout_for(str(prefix))
    yield SupervisorServices(Disk(), layout, BootClock(), tool)
    pid = daemon_pid(layout)
    if pid:
        os.kill(pid, signal.SIGTERM)
        wait_for(lambda: not command_line(pid))


def wait_for(condition):
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_failed_starts_are_counted_until_somebody_wishes_anew(services):
    services.start(("gate",))
    wait_for(lambda: services.health("gate").failures >= 2)
    assert not services.health("gate").is_ready
    services.restart(("gate",))
    assert services.health("gate").failures < 2
