"""The monitor protocol, spoken with a real program that speaks it: qemu's storage daemon."""

import shutil
import subprocess

import pytest

from edgeform.lab.execution import wait_until
from edgeform.lab.failure import LabError
from edgeform.lab.vm_monitor import Monitor

DAEMON = shutil.which("qemu-storage-daemon")
pytestmark = pytest.mark.skipif(not DAEMON, reason="no qemu-storage-daemon (qemu-system-common)")


@pytest.fixture
def monitor(tmp_path):
    path = tmp_path / "qmp"
    socket = f"socket,id=c,path={path},server=on,wait=off"
    with subprocess.Popen((DAEMON, "--chardev", socket, "--monitor", "chardev=c")) as daemon:
        try:
            wait_until(path.exists, what="the monitor", timeout_s=10)
            with Monitor(path) as opened:
                yield opened
        finally:
            daemon.kill()


def test_an_answer_is_what_qemu_returned(monitor, tmp_path):
    image = tmp_path / "image"
    image.write_bytes(bytes(1 << 20))
    monitor.tell("blockdev-add", node_name="stick", driver="file", filename=str(image))
    nodes = monitor.tell("query-named-block-nodes", flat=True)
    assert [node["node-name"] for node in nodes] == ["stick"]


def test_a_refusal_is_given_in_qemu_s_own_words(monitor):
    with pytest.raises(LabError, match=r"qemu refused blockdev-del.*nowhere"):
        monitor.tell("blockdev-del", node_name="nowhere")


def test_an_event_that_does_not_come_is_not_awaited_for_ever(monitor):
    with pytest.raises(LabError, match=r"Waited 0\.1 s in vain for DEVICE_DELETED of stick"):
        monitor.wait_for("DEVICE_DELETED", device="stick", timeout_s=0.1)


def test_a_monitor_that_is_not_there_is_named(tmp_path):
    with pytest.raises(LabError, match="does not answer"):
        Monitor(tmp_path / "none")
