"""What can go wrong on the way to a device: each has its reason, and none blocks, asks or tells secrets.

The numbers are the gotchas of pyinfra that these tests keep away; docs/decisions names them.
"""

import os
import signal
import socket
import subprocess
import threading
import time

import pytest
from support.sshd import WHY_NOT, SshServer, needs_sshd
from support.transport import a_target

from edgeform.domain.observed import Unreachability
from edgeform.transport.base import DeviceUnreachable, FilePart, Run
from edgeform.transport.messages import WorkerFailed
from edgeform.transport.pyinfra import PyinfraTransport

pytestmark = pytest.mark.skipif(not needs_sshd, reason=WHY_NOT)


@pytest.fixture
def transport():
    made = PyinfraTransport(workers=1)
    yield made
    made.close()


@pytest.fixture
def server(tmp_path):
    with SshServer(tmp_path / "device") as made:
        yield made


def ask(transport, target, *argv, **options):
    return transport.run(
        target, Run(argv=argv or ("echo", "ok"), **({"timeout_s": 20.0} | options))
    )


def refused(transport, target, *argv, **options):
    with pytest.raises(DeviceUnreachable) as caught:
        ask(transport, target, *argv, **options)
    return caught.value


# Host keys


def test_an_unknown_host_key_is_refused_with_its_fingerprint_and_what_to_do(transport, server):
    error = refused(transport, a_target(server, connect={"host_key": None}))
    assert error.reason is Unreachability.HOST_KEY
    shown = subprocess.run(
        ("ssh-keygen", "-lf", server.directory / "host_ed25519.pub"),
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()[1]
    assert shown in error.detail
    assert "unknown" in error.detail
    assert f"host_key: {server.host_key()}" in error.hint


def test_a_changed_host_key_is_refused_and_both_fingerprints_are_shown(transport, server, tmp_path):
    with SshServer(tmp_path / "other") as other:
        error = refused(transport, a_target(server, connect={"host_key": other.host_key()}))
    assert error.reason is Unreachability.HOST_KEY
    assert error.detail.count("SHA256:") == 2
    assert "Accepted" not in server.log()


def test_known_hosts_pins_and_is_read_anew_for_each_connection(transport, server, tmp_path):
    known = tmp_path / "known_hosts"
    known.write_text("")
    target = a_target(server, connect={"host_key": None}, known_hosts=known)
    assert refused(transport, target).reason is Unreachability.HOST_KEY
    known.write_text(server.known_hosts_line())
    assert ask(transport, target).stdout == b"ok\n"
    known.write_text("@revoked " + server.known_hosts_line() + server.known_hosts_line())
    error = refused(transport, target, new_connection=True)
    assert "revoked" in error.detail


def test_a_line_of_a_certificate_authority_alone_pins_nothing(transport, server, tmp_path):
    known = tmp_path / "known_hosts"
    known.write_text("@cert-authority " + server.known_hosts_line())
    error = refused(transport, a_target(server, connect={"host_key": None}, known_hosts=known))
    assert error.reason is Unreachability.HOST_KEY
    assert "@cert-authority" in error.detail
    assert known.read_text().startswith("@cert-authority")


@pytest.mark.parametrize("kind", ["rsa", "ecdsa", "ed25519"])
def test_a_server_with_several_keys_is_asked_for_the_pinned_one(transport, tmp_path, kind):
    with SshServer(tmp_path / "many", host_key_types=("rsa", "ecdsa", "ed25519")) as server:
        assert ask(transport, a_target(server, connect={"host_key": server.host_key(kind)})).stdout


# Login


def test_a_wrong_key_is_an_authentication_failure(transport, server, tmp_path):
    with SshServer(tmp_path / "other") as other:
        error = refused(transport, a_target(server, connect={"key_file": str(other.client_key)}))
    assert error.reason is Unreachability.AUTHENTICATION
    assert str(other.client_key) in error.hint


def test_a_key_that_is_missing_or_locked_is_said_without_asking(transport, server, tmp_path):
    # Gotcha 11: nothing may wait for a passphrase on a terminal.
    locked = tmp_path / "locked"
    subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "secret1", "-f", locked), check=True)
    for key in (locked, tmp_path / "missing"):
        error = refused(transport, a_target(server, connect={"key_file": str(key)}))
        assert error.reason is Unreachability.AUTHENTICATION


def test_an_agent_logs_in_and_is_never_forwarded(server, tmp_path, monkeypatch):
    agent = subprocess.Popen(
        ("ssh-agent", "-D", "-a", tmp_path / "agent"), stdout=subprocess.DEVNULL
    )
    try:
        _wait_until((tmp_path / "agent").exists, 10)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
        subprocess.run(("ssh-add", "-q", server.client_key), check=True, capture_output=True)
        config = tmp_path / "config"
        config.write_text("Host *\n  ForwardAgent yes\n")
        transport = PyinfraTransport(workers=1)
        how = {"key_file": None, "use_agent": True, "config_file": str(config)}
        answer = ask(transport, a_target(server, connect=how), "sh", "-c", "echo [$SSH_AUTH_SOCK]")
        transport.close()
        assert answer.stdout == b"[]\n"
    finally:
        agent.terminate()
        agent.wait()


def test_a_name_in_an_ssh_configuration_gives_address_port_user_and_key(
    transport, server, tmp_path
):
    config = tmp_path / "config"
    config.write_text(
        f"Host cam\n  HostName 127.0.0.1\n  Port {server.port}\n  User {server.user}\n"
        f"  IdentityFile {server.client_key}\n  StrictHostKeyChecking no\n"
    )
    how = {"host": "cam", "port": 22, "user": "", "key_file": None, "config_file": str(config)}
    assert ask(transport, a_target(server, connect=how)).stdout == b"ok\n"
    # The configuration may not talk us out of checking.
    error = refused(transport, a_target(server, connect=how | {"host_key": None}))
    assert error.reason is Unreachability.HOST_KEY


# Jump hosts


@pytest.fixture
def jump(tmp_path):
    with SshServer(tmp_path / "jump") as made:
        yield made


def _through(server, jump, known):
    (server.directory / "client_key.pub").write_text(
        (jump.directory / "client_key.pub").read_text()
    )
    how = {
        "proxy_jump": f"{jump.user}@127.0.0.1:{jump.port}",
        "key_file": str(jump.client_key),
    }
    return a_target(server, connect=how, known_hosts=known)


def test_a_jump_host_with_a_pinned_key_is_passed_through(transport, server, jump, tmp_path):
    known = tmp_path / "known_hosts"
    known.write_text(jump.known_hosts_line())
    assert ask(transport, _through(server, jump, known)).stdout == b"ok\n"
    assert "Accepted" in jump.log()


def test_a_proxy_command_of_the_configuration_is_used(transport, server, jump, tmp_path):
    known = tmp_path / "known_hosts"
    known.write_text(jump.known_hosts_line())
    config = tmp_path / "config"
    config.write_text(
        f"Host 127.0.0.1\n  ProxyCommand ssh -F none -i {jump.client_key} "
        f"-o UserKnownHostsFile={known} -p {jump.port} -W %h:%p {jump.user}@127.0.0.1\n"
    )
    target = a_target(server, connect={"config_file": str(config)})
    content = os.urandom(2_000_000)
    assert ask(transport, target, "cat", stdin=(content,)).stdout == content
    assert "Accepted" in jump.log()


def test_an_unknown_jump_host_is_refused_and_does_not_ask(transport, server, jump, tmp_path):
    # Gotcha 11: stock pyinfra asks on stdin here, and waits for ever.
    known = tmp_path / "known_hosts"
    known.write_text(server.known_hosts_line())
    started = time.monotonic()
    error = refused(transport, _through(server, jump, known))
    assert error.reason is Unreachability.HOST_KEY
    assert "jump host" in error.detail
    assert time.monotonic() - started < 12
    assert "Accepted" not in jump.log()


# Silence and loss


def test_nobody_there_and_no_such_name_are_connect(transport, server):
    port = server.port
    server.stop()
    assert refused(transport, a_target(server)).reason is Unreachability.CONNECT
    error = refused(transport, a_target(server, connect={"host": "no-such-host.invalid"}))
    assert error.reason is Unreachability.CONNECT
    assert "no-such-host.invalid" in error.detail
    assert str(port) in refused(transport, a_target(server)).detail


def test_a_listener_that_never_speaks_is_left_within_the_budget(transport, server):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        how = {"port": silent.getsockname()[1], "connect_timeout_s": 1.0}
        error = refused(transport, a_target(server, connect=how))
    assert error.reason is Unreachability.TIMEOUT
    assert time.monotonic() - started < 6


def test_a_stopped_sshd_is_left_at_a_command_while_another_device_finishes(
    transport, server, tmp_path
):
    # Gotcha 4: TCP goes on acknowledging, so only we can end it.
    with SshServer(tmp_path / "healthy") as healthy:
        target = a_target(server, "silent", connect={"connect_timeout_s": 2.0})
        well = a_target(healthy, "well")
        ask(transport, target)
        ask(transport, well)
        answers = []
        other = threading.Thread(
            target=lambda: answers.append(ask(transport, well, "sh", "-c", "sleep 2; echo well"))
        )
        other.start()
        server.freeze()
        try:
            started = time.monotonic()
            error = refused(transport, target, timeout_s=2.0)
        finally:
            server.thaw()
        assert error.reason is Unreachability.TIMEOUT
        assert time.monotonic() - started < 12
        other.join()
        assert answers[0].stdout == b"well\n"
    assert ask(transport, target).stdout == b"ok\n"


def test_a_stopped_sshd_is_left_in_the_middle_of_an_upload(transport, server, tmp_path):
    content = tmp_path / "model"
    with content.open("wb") as file:
        file.truncate(512 * 1024 * 1024)
    arrived = tmp_path / "arrived"
    target = a_target(server, connect={"connect_timeout_s": 3.0})
    part = FilePart(path=content, offset=0, length=512 * 1024 * 1024)
    caught = []

    def upload():
        try:
            # Slow on purpose, so that the stop falls into the upload.
            script = f"head -c 1000000 > {arrived}; sleep 1; cat > /dev/null"
            ask(transport, target, "sh", "-c", script, stdin=(part,), timeout_s=4.0)
        except DeviceUnreachable as error:
            caught.append(error)

    started = time.monotonic()
    thread = threading.Thread(target=upload)
    thread.start()
    _wait_until(lambda: arrived.exists() and arrived.stat().st_size == 1000000, 10)
    server.freeze()
    try:
        thread.join(timeout=20)
        assert not thread.is_alive()
    finally:
        server.thaw()
    assert caught[0].reason is Unreachability.TIMEOUT
    assert time.monotonic() - started < 16


def test_a_connection_killed_in_the_middle_is_not_an_answer(transport, server, tmp_path):
    started = tmp_path / "started"
    target = a_target(server)
    caught = []

    def wait():
        try:
            ask(transport, target, "sh", "-c", f"touch {started}; sleep 30")
        except DeviceUnreachable as error:
            caught.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    _wait_until(started.exists, 10)
    server.kill_sessions()
    thread.join(timeout=15)
    assert caught[0].reason is Unreachability.PROTOCOL
    assert "may or may not have run" in caught[0].hint


def test_a_kept_connection_that_died_meanwhile_is_replaced(transport, server):
    target = a_target(server)
    ask(transport, target)
    server.kill_sessions()
    assert ask(transport, target).stdout == b"ok\n"


# Connections


def test_connections_are_kept_until_a_new_one_is_asked_for(transport, server):
    target = a_target(server)
    for _ in range(3):
        ask(transport, target)
    assert server.log().count("Accepted publickey") == 1
    ask(transport, target, new_connection=True)
    assert server.log().count("Accepted publickey") == 2
    ask(transport, target)
    assert server.log().count("Accepted publickey") == 2


def test_close_ends_every_connection_and_process(server):
    # Gotcha 9: pyinfra's disconnect leaves every transport open.
    transport = PyinfraTransport(workers=1)
    ask(transport, a_target(server))
    pid = transport._workers[0].pid
    assert len(server.processes()) > 1
    transport.close()
    _wait_until(lambda: len(server.processes()) == 1, 10)
    assert not os.path.exists(f"/proc/{pid}")
    with pytest.raises(WorkerFailed, match="closed"):
        ask(transport, a_target(server))


# Workers


def test_a_dead_worker_fails_its_calls_and_the_next_call_gets_a_new_one(
    transport, server, tmp_path
):
    started = tmp_path / "started"
    target = a_target(server)
    caught = []

    def wait():
        try:
            ask(transport, target, "sh", "-c", f"touch {started}; sleep 30")
        except DeviceUnreachable as error:
            caught.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    _wait_until(started.exists, 15)
    os.kill(transport._workers[0].pid, signal.SIGKILL)
    thread.join(timeout=10)
    assert caught[0].reason is Unreachability.PROTOCOL
    assert "worker" in caught[0].detail
    assert ask(transport, target).stdout == b"ok\n"


def test_a_worker_that_hangs_is_killed_by_its_parent(server):
    transport = PyinfraTransport(workers=1, silent_s=4.0)
    try:
        target = a_target(server)
        ask(transport, target)
        os.kill(transport._workers[0].pid, signal.SIGSTOP)
        started = time.monotonic()
        error = refused(transport, target)
        assert error.reason is Unreachability.PROTOCOL
        assert "said nothing" in error.detail
        assert time.monotonic() - started < 15
        assert ask(transport, target).stdout == b"ok\n"
    finally:
        transport.close()


def test_a_surprise_on_one_device_does_not_end_the_others_turn(transport, server, tmp_path):
    # Gotcha 8: in pyinfra's own loop an unexpected exception aborts every host.
    answers = []
    other = threading.Thread(
        target=lambda: answers.append(
            ask(transport, a_target(server, "well"), "sh", "-c", "sleep 1.5; echo well")
        )
    )
    other.start()
    with pytest.raises(WorkerFailed, match="bug in edgeform"):
        ask(transport, a_target(server, "odd", connect={"key_file": 5}))
    other.join()
    assert answers[0].stdout == b"well\n"


# The restricted lane


GATE = """#!/bin/sh
set -f
set -- $SSH_ORIGINAL_COMMAND
case "$1:$2" in
  edgeform-device:ingest) shift 2; printf '%s\\n' "$*"; exec sha256sum;;
  edgeform-device:status) echo '{"ok":true}';;
  *) echo refused >&2; exit 126;;
esac
"""


def test_a_whole_run_works_through_a_forced_command_and_nothing_else_does(transport, tmp_path):
    gate = tmp_path / "gate"
    gate.write_text(GATE)
    gate.chmod(0o755)
    with SshServer(tmp_path / "device", extra_config=f"ForceCommand {gate}") as server:
        target = a_target(server)
        assert ask(transport, target, "edgeform-device", "status").stdout == b'{"ok":true}\n'
        blob = os.urandom(3_000_000)
        answer = ask(transport, target, "edgeform-device", "ingest", "--offset", "5", stdin=(blob,))
        expected = subprocess.run(
            ("sha256sum",), input=blob, check=True, capture_output=True
        ).stdout
        assert answer.stdout == b"--offset 5\n" + expected
        for argv in (("sh", "-c", "id"), ("edgeform-device", "shell")):
            assert ask(transport, target, *argv).exit_code == 126


def _wait_until(is_so, seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if is_so():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come about in time")
