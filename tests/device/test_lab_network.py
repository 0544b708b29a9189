"""Faults in the lab's network are real: measured on real connections, and healed afterwards."""

import os
import socket
import subprocess
import time

import pytest
from support.lab import ssh_command
from support.network import (
    CutAfter,
    Loss,
    Partition,
    Reset,
    faulty,
    limited_rate,
    ruleset,
    slow_line,
)

from edgeform.lab.doctor import NEEDED_FOR_FAULTS, doctor, missing

GAPS = missing(doctor(os.environ), NEEDED_FOR_FAULTS)
pytestmark = [
    pytest.mark.device,
    pytest.mark.network,
    pytest.mark.skipif(
        bool(GAPS), reason="; ".join(f"{gap.name}: {gap.reason}" for gap in GAPS) or "-"
    ),
]


def round_trip_s(host: str) -> float:
    """How long a TCP connection takes to be made, at best: one round trip of the network.

    The best of several, because this machine may be busy, and frames of an earlier connection may be
    on the way.
    """

    def once() -> float:
        began = time.monotonic()
        with socket.create_connection((host, 22), timeout=5):
            return time.monotonic() - began

    return min(once() for _ in range(5))


def pushed(device, ssh, size: int, timeout_s: float = 30):
    return ssh(device, "wc -c", stdin=bytes(size), timeout_s=timeout_s)


@pytest.fixture
def target(lab):
    return lab.devices()[0]


def test_a_partition_is_silent_and_hits_one_device(lab, target):
    other = lab.devices()[1]
    with faulty(lab.network, target, Partition()):
        with pytest.raises(TimeoutError), socket.create_connection((target.host, 22), timeout=1):
            pass
        assert round_trip_s(other.host) < 1
    assert round_trip_s(target.host) < 1


def test_a_reset_is_told_at_once(lab, target):
    with faulty(lab.network, target, Reset()), pytest.raises(ConnectionRefusedError):
        socket.create_connection((target.host, 22), timeout=5)


def test_a_reset_ends_a_connection_that_exists(lab, target):
    with socket.create_connection((target.host, 22), timeout=5) as line:
        assert line.recv(4) == b"SSH-"
        with faulty(lab.network, target, Reset()):
            line.settimeout(5)
            with pytest.raises(ConnectionResetError):
                for _ in range(50):
                    line.sendall(b"x" * 100)
                    time.sleep(0.02)


def test_a_transfer_stalls_at_the_byte(lab, target, ssh):
    with (
        faulty(lab.network, target, CutAfter(size_bytes=300_000)),
        pytest.raises(subprocess.TimeoutExpired),
    ):
        pushed(target, ssh, 1 << 20, timeout_s=3)
    assert pushed(target, ssh, 1 << 20).out.strip() == str(1 << 20)


def test_a_transfer_is_reset_at_the_byte(lab, target, ssh):
    with faulty(lab.network, target, CutAfter(size_bytes=300_000, told=True)):
        said = pushed(target, ssh, 1 << 20)
    assert said.status == 255
    # ECONNRESET or EPIPE, whichever of its system calls meets the reset first.
    assert "reset" in said.err or "Broken pipe" in said.err


def test_a_small_exchange_passes_below_the_byte(lab, target, ssh):
    with faulty(lab.network, target, CutAfter(size_bytes=300_000)):
        assert ssh(target, "echo fine").out == "fine\n"


def test_loss_is_about_as_much_as_asked_for(lab, target):
    probe = "import socket,sys;s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n"
    counter = (
        probe + "s.bind(('0.0.0.0',9999));s.settimeout(2);n=0;print('ready',flush=True)\n"
        "try:\n  while s.recv(9)!=b'end': n+=1\nexcept TimeoutError: pass\nprint(n)"
    )
    command = (*ssh_command(target, lab.known_hosts), "python3 -")
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as remote:
        remote.stdin.write(counter)
        remote.stdin.close()
        assert remote.stdout.readline() == "ready\n"
        with (
            faulty(lab.network, target, Loss(percent=20)),
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        ):
            for _ in range(1000):
                sender.sendto(b"x", (target.host, 9999))
                time.sleep(0.0005)
            arrived = int(remote.stdout.readline())
    # Five standard deviations around 800.
    assert 735 < arrived < 865


def test_a_limited_rate_is_kept(lab, target, ssh):
    # 2 Mbyte at 8 Mbit/s are 2 s; unlimited, a fraction of one.
    with limited_rate(lab.network, 8000):
        began = time.monotonic()
        assert pushed(target, ssh, 2_000_000).out.strip() == "2000000"
        assert time.monotonic() - began > 1.7


def test_a_line_adds_its_delay_both_ways(lab, target, ssh):
    assert round_trip_s(target.host) < 0.05
    with slow_line(lab.network) as line:
        assert round_trip_s(target.host) < 0.05
        line.set(delay_ms=60, jitter_ms=5)
        assert 0.105 < round_trip_s(target.host) < 0.4
        assert ssh(target, "echo fine").out == "fine\n"
        line.set()
        assert round_trip_s(target.host) < 0.05
    assert round_trip_s(target.host) < 0.05


def test_a_line_can_be_cut_and_mended(lab, target):
    with slow_line(lab.network) as line:
        line.set(is_cut=True)
        with pytest.raises(TimeoutError), socket.create_connection((target.host, 22), timeout=1):
            pass
        line.set()
        assert round_trip_s(target.host) < 3


def test_a_line_has_a_rate(lab, target, ssh):
    with slow_line(lab.network) as line:
        line.set(rate_kbit=8000)
        began = time.monotonic()
        assert pushed(target, ssh, 2_000_000).out.strip() == "2000000"
        assert time.monotonic() - began > 1.7


def test_rules_name_one_device():
    text = ruleset("10.77.3.11", Loss(percent=2.5))
    assert "ip daddr 10.77.3.11 numgen random mod 1000 < 25 drop" in text
    assert text.startswith("table inet fault_10_77_3_11 {")
