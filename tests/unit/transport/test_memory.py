import pytest

from edgeform.domain.observed import Unreachability
from edgeform.domain.site import Connect
from edgeform.transport.base import DeviceUnreachable, FilePart, Run, Target
from edgeform.transport.memory import (
    CutStdin,
    Delay,
    FaultAt,
    Faulty,
    LoseAnswer,
    MemoryTransport,
    Refuse,
)

CAM = Target(name="cam-01", connect=Connect())
OTHER = Target(name="cam-02", connect=Connect())


def _write(path, stdin=(b"",)):
    return Run(argv=("sh", "-c", f"cat > /var/lib/edgeform/{path}; echo done"), stdin=stdin)


@pytest.fixture
def memory(tmp_path):
    return MemoryTransport(tmp_path)


def test_the_kth_call_fails_and_the_others_do_not(memory):
    faulty = Faulty(memory, (FaultAt(fault=Refuse(), call=2, word="sh"),), sleep=lambda _: None)
    assert faulty.run(CAM, _write("a")).stdout == b"done\n"
    with pytest.raises(DeviceUnreachable) as caught:
        faulty.run(CAM, _write("b"))
    assert caught.value.reason is Unreachability.CONNECT
    assert not (memory.prefix("cam-01") / "b").exists()
    assert faulty.run(CAM, _write("c")).stdout == b"done\n"


def test_a_cut_after_n_bytes_leaves_n_bytes_on_the_device(memory, tmp_path):
    source = tmp_path / "file"
    source.write_bytes(b"0123456789")
    stdin = (b"abc", FilePart(path=source, offset=2, length=6))
    faulty = Faulty(memory, (FaultAt(fault=CutStdin(after_bytes=5)),), sleep=lambda _: None)
    with pytest.raises(DeviceUnreachable) as caught:
        faulty.run(CAM, _write("part", stdin))
    assert caught.value.reason is Unreachability.PROTOCOL
    assert (memory.prefix("cam-01") / "part").read_bytes() == b"abc23"


def test_a_lost_answer_happened_on_the_device(memory):
    faulty = Faulty(memory, (FaultAt(fault=LoseAnswer()),), sleep=lambda _: None)
    with pytest.raises(DeviceUnreachable):
        faulty.run(CAM, _write("done", (b"x",)))
    assert (memory.prefix("cam-01") / "done").read_bytes() == b"x"


def test_a_fault_may_be_one_devices_and_a_delay_uses_the_tests_clock(memory):
    slept = []
    faults = (
        FaultAt(fault=Refuse(reason=Unreachability.TIMEOUT), call=0, device="cam-01"),
        FaultAt(fault=Delay(seconds=3.5), call=0),
    )
    faulty = Faulty(memory, faults, sleep=slept.append)
    for _ in range(2):
        with pytest.raises(DeviceUnreachable):
            faulty.run(CAM, _write("a"))
    assert faulty.run(OTHER, _write("a")).exit_code == 0
    assert slept == [3.5] * 3
    assert [device for device, _ in faulty.commands] == ["cam-01", "cam-01", "cam-02"]
