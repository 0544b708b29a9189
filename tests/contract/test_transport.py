"""What every Transport promises, held against SSH (a real sshd), the local machine and the test transport."""

import hashlib
import os
import threading
import time
from dataclasses import replace

import pytest
from support.sshd import WHY_NOT, SshServer, needs_sshd
from support.transport import a_target

from edgeform.domain.observed import Unreachability
from edgeform.domain.site import Connect
from edgeform.transport.base import DeviceUnreachable, FilePart, Run, Target
from edgeform.transport.bymode import ByMode
from edgeform.transport.local import LocalTransport
from edgeform.transport.memory import MemoryTransport
from edgeform.transport.pyinfra import PyinfraTransport

MIB = 1024 * 1024


class Road:
    """A transport and two devices that it reaches."""

    def __init__(self, transport, target, other):
        self.transport = transport
        self.target = target
        self.other = other

    def run(self, *argv, **options):
        return self.transport.run(self.target, Run(argv=argv, **({"timeout_s": 30.0} | options)))


@pytest.fixture(scope="module", params=["ssh", "local", "memory"])
def road(request, tmp_path_factory):
    base = tmp_path_factory.mktemp(request.param)
    if request.param == "ssh":
        if not needs_sshd:
            pytest.skip(WHY_NOT)
        with SshServer(base / "device") as server:
            ssh = PyinfraTransport(workers=1)
            transport = ByMode(ssh=ssh, local=LocalTransport())
            yield Road(transport, a_target(server, "cam-01"), a_target(server, "cam-02"))
            transport.close()
        return
    connect = Connect(mode="local", become="none")
    made = LocalTransport() if request.param == "local" else MemoryTransport(base)
    yield Road(made, Target(name="cam-01", connect=connect), Target(name="cam-02", connect=connect))
    made.close()


def test_words_arrive_as_they_were_given(road):
    words = ("two  spaces", "it's", 'a "quote"', "$HOME", "`id`", "a;b&&c|d>e", "*", "\\", "ü", "")
    finished = road.run("printf", "%s\\n", *words)
    assert finished.stdout.decode().split("\n")[:-1] == list(words)
    assert finished.exit_code == 0


def test_a_line_break_in_a_word_is_kept(road):
    assert road.run("printf", "%s", "one\ntwo").stdout == b"one\ntwo"


def test_stdout_stderr_and_exit_code_are_kept_apart(road):
    finished = road.run("sh", "-c", "echo out; echo err >&2; exit 7")
    assert (finished.exit_code, finished.stdout, finished.stderr) == (7, b"out\n", b"err\n")


def test_bytes_pass_unchanged_in_both_directions(road, tmp_path):
    every_byte = bytes(range(256)) * 64
    source = tmp_path / "part"
    source.write_bytes(b"skipped" + every_byte + b"not sent")
    part = FilePart(path=source, offset=7, length=len(every_byte))
    finished = road.run("cat", stdin=(b"\x00\xff", part, b"\r\n\x1a", every_byte))
    assert finished.stdout == b"\x00\xff" + every_byte + b"\r\n\x1a" + every_byte


def test_stdin_ends_when_nothing_is_sent(road):
    assert road.run("cat").stdout == b""


def test_a_large_upload_arrives_whole(road, tmp_path):
    source = tmp_path / "model"
    content = os.urandom(MIB) * 24
    source.write_bytes(content)
    finished = road.run("sha256sum", stdin=(FilePart(path=source, offset=0, length=len(content)),))
    assert finished.stdout.split()[0].decode() == hashlib.sha256(content).hexdigest()


def test_a_device_that_answers_while_it_reads_does_not_block(road):
    # 8 MiB out for 8 MiB in, both far beyond any buffer: whoever writes first and reads later hangs.
    content = os.urandom(8 * MIB)
    assert road.run("cat", stdin=(content,)).stdout == content


def test_much_stderr_beside_much_stdout_does_not_block(road):
    script = "i=0; while [ $i -lt 300 ]; do head -c 4096 /dev/zero; head -c 2048 /dev/zero >&2; i=$((i+1)); done"
    finished = road.run("sh", "-c", script)
    assert (len(finished.stdout), len(finished.stderr)) == (300 * 4096, 300 * 2048)


def test_a_command_that_stops_reading_early_still_answers(road):
    finished = road.run("sh", "-c", "head -c 10; exit 3", stdin=(b"x" * (8 * MIB),))
    assert (finished.exit_code, finished.stdout) == (3, b"x" * 10)


def test_a_command_that_closes_stdin_and_goes_on_still_answers(road):
    finished = road.run("sh", "-c", "exec 0<&-; sleep 0.5; echo late", stdin=(b"x" * (8 * MIB),))
    assert (finished.exit_code, finished.stdout) == (0, b"late\n")


def test_a_command_that_is_killed_says_so_with_its_exit_code(road):
    assert road.run("sh", "-c", "kill -9 $$").exit_code >= 128


def test_a_missing_program_is_an_answer(road):
    assert road.run("/nowhere/edgeform-device", "state").exit_code == 127
    assert road.run("no-such-program-here").exit_code == 127


def test_a_command_that_takes_too_long_is_unreachable_by_timeout(road):
    started = time.monotonic()
    with pytest.raises(DeviceUnreachable) as caught:
        road.run("sleep", "60", timeout_s=1.0)
    assert caught.value.reason is Unreachability.TIMEOUT
    assert caught.value.device == "cam-01"
    assert time.monotonic() - started < 15
    assert road.run("echo", "again").stdout == b"again\n"


def test_a_silent_command_that_reads_nothing_is_bounded_too(road):
    with pytest.raises(DeviceUnreachable) as caught:
        road.run("sleep", "60", stdin=(b"x" * (16 * MIB),), timeout_s=1.0)
    assert caught.value.reason is Unreachability.TIMEOUT


def test_a_command_ends_on_the_device_when_its_time_is_over(road, tmp_path):
    # Gotcha 5: closing a connection ends nothing at the other end.
    ended = tmp_path / "pid"
    with pytest.raises(DeviceUnreachable):
        road.run("sh", "-c", f"echo $$ > {ended}; exec sleep 300", timeout_s=1.0)
    pid = int(ended.read_text())
    _wait_until(lambda: not os.path.exists(f"/proc/{pid}"), 20)


def test_more_output_than_agreed_is_refused_and_not_kept(road):
    with pytest.raises(DeviceUnreachable) as caught:
        road.run("head", "-c", str(17 * MIB), "/dev/zero")
    assert caught.value.reason is Unreachability.PROTOCOL
    assert road.run("echo", "again").stdout == b"again\n"


def test_stderr_is_bounded_by_keeping_its_end(road):
    finished = road.run("sh", "-c", "head -c 3000000 /dev/zero >&2; echo end >&2")
    assert len(finished.stderr) <= MIB
    assert finished.stderr.endswith(b"end\n")


def test_a_file_that_is_shorter_than_announced_is_our_failure_not_the_devices(road, tmp_path):
    from edgeform.transport.messages import WorkerFailed

    source = tmp_path / "short"
    source.write_bytes(b"abc")
    with pytest.raises(WorkerFailed, match="ended 7 bytes before"):
        road.run("cat", stdin=(FilePart(path=source, offset=0, length=10),))
    with pytest.raises(WorkerFailed, match="cannot be read"):
        road.run("cat", stdin=(FilePart(path=tmp_path / "gone", offset=0, length=10),))
    assert road.run("echo", "again").stdout == b"again\n"


def test_calls_for_different_devices_run_side_by_side(road):
    started = time.monotonic()
    answers = {}

    def ask(target):
        answers[target.name] = road.transport.run(
            target, Run(argv=("sh", "-c", "sleep 1.5; echo done"), timeout_s=30.0)
        )

    threads = [threading.Thread(target=ask, args=(t,)) for t in (road.target, road.other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name: a.stdout for name, a in answers.items()} == {
        "cam-01": b"done\n",
        "cam-02": b"done\n",
    }
    assert time.monotonic() - started < 2.9


def test_calls_for_one_device_may_overlap(road):
    answers = []
    threads = [
        threading.Thread(target=lambda n=n: answers.append(road.run("echo", str(n)).stdout))
        for n in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [f"{n}\n".encode() for n in range(6)]


def test_a_new_connection_answers_like_any_other(road):
    assert road.run("echo", "fresh", new_connection=True).stdout == b"fresh\n"
    assert road.run("echo", "kept").stdout == b"kept\n"


def test_the_controllers_environment_stays_with_the_controller(road, monkeypatch):
    monkeypatch.setenv("EDGEFORM_CANARY", "never-on-a-device")
    assert b"never-on-a-device" not in road.run("env").stdout


def test_an_offline_device_is_unreachable_and_says_how_it_is_reached(tmp_path):
    transport = ByMode(ssh=LocalTransport(), local=LocalTransport())
    stick = Target(name="cam-09", connect=Connect(mode="offline"))
    with pytest.raises(DeviceUnreachable) as caught:
        transport.run(stick, Run(argv=("true",)))
    assert caught.value.reason is Unreachability.OFFLINE
    assert "stick" in caught.value.hint


def test_close_can_be_called_twice(tmp_path):
    transport = ByMode(ssh=PyinfraTransport(workers=1), local=LocalTransport())
    transport.close()
    transport.close()


def test_a_prefix_in_a_command_is_the_device_directory_in_memory(tmp_path):
    transport = MemoryTransport(tmp_path)
    target = Target(name="cam-01", connect=Connect())
    transport.run(target, Run(argv=("sh", "-c", "echo 7 > /var/lib/edgeform/state")))
    assert (transport.prefix("cam-01") / "state").read_text() == "7\n"
    other = replace(target, name="cam-02")
    assert transport.run(other, Run(argv=("test", "-e", "/var/lib/edgeform/state"))).exit_code == 1


def _wait_until(is_so, seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if is_so():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come about in time")
