"""A disk that fails or fills up under the real transaction, at its n-th write or fsync, injected by strace.

Only the transaction's own process meets the error. The old generation keeps serving, or the new one does.
"""

import shutil

import pytest
from support.killing import assert_sound, ended, run_killed, transaction_of
from support.real_device import RealDevice

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")

# Once an error of the medium, and a disk that is full from then on.
FAULTS = {"fsync": "error=EIO:when={}", "write": "error=ENOSPC:when={}+"}
IN_EVERY_RUN = {("fsync", 26), ("write", 10)}
CASES = [
    pytest.param(call, number, marks=[] if (call, number) in IN_EVERY_RUN else [pytest.mark.slow])
    for call, numbers in (("fsync", range(2, 90, 4)), ("write", range(1, 40, 3)))
    for number in numbers
]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    device = RealDevice(tmp_path_factory.mktemp("failing"))
    assert device.apply("1.0.0")["outcome"] == "committed"
    yield device
    device.end()


@pytest.mark.parametrize(("call", "number"), CASES)
def test_the_device_stays_sound(shared, call, number):
    before = shared.state.committed().generation
    deployment = shared.offer(f"2.{shared.number}.0")
    fault = FAULTS[call].format(number)
    under = (
        "strace",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        f"trace={call}",
        "-e",
        f"inject={call}:{fault}",
    )
    done = run_killed(shared, "none", "never", "transact", deployment, under)
    said = done.stderr.decode()
    if not shared.device.disk.exists(shared.layout.journal(transaction_of(shared, deployment))):
        # It failed before the order stood: nothing was begun, and the caller was told.
        assert done.returncode != 0
        assert_sound(shared)
        return
    found = ended(shared, transaction_of(shared, deployment))
    assert_sound(shared)
    after = shared.state.committed().generation
    assert (found["outcome"] == "committed") == (after > before), (found, said)
