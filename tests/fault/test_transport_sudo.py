"""sudo over SSH: the real one, with real users, on a system that the test may change."""

import pytest
from support import private_system
from support.sshd import WHY_NOT, SshServer, needs_sshd
from support.transport import a_target

from edgeform.domain.observed import Unreachability
from edgeform.transport.base import DeviceUnreachable, Run
from edgeform.transport.pyinfra import PyinfraTransport

_WHY_NOT = private_system.why_not() if needs_sshd else WHY_NOT
if not _WHY_NOT and not private_system.has_sudo():
    _WHY_NOT = "no sudo here: apt-get install sudo"

pytestmark = pytest.mark.skipif(bool(_WHY_NOT), reason=_WHY_NOT)

PASSWORD = "canary-Zq8 $'x"
KEYS = "/etc/edgeform-test-keys"


@pytest.fixture(scope="module")
def road(tmp_path_factory):
    base = tmp_path_factory.mktemp("sudo")
    server = SshServer(
        base / "device",
        inside=private_system.inside(base / "overlay"),
        extra_config=f"AuthorizedKeysFile {KEYS}",
    )
    server.make_keys()
    # The first login needs a key file that is there before the overlay is.
    server.extra_config = f"AuthorizedKeysFile {KEYS} {server.client_key}.pub"
    transport = PyinfraTransport(workers=1)
    with server:
        root = a_target(server, "root")

        def sh(script, stdin=b""):
            run = Run(argv=("sh", "-c", script), stdin=(stdin,), timeout_s=60.0)
            finished = transport.run(root, run)
            assert finished.exit_code == 0, finished
            return finished.stdout.decode()

        private_system.demand_isolation(sh)
        sh(f"cat > {KEYS}; chmod 644 {KEYS}", server.client_key.with_suffix(".pub").read_bytes())
        for user in ("ef-free", "ef-asked", "ef-none"):
            sh(f"/usr/sbin/useradd -M -d / -s /bin/sh {user}")
            sh("/usr/sbin/chpasswd", f"{user}:{PASSWORD}\n".encode())
        sh(
            "cat > /etc/sudoers.d/ef-test; chmod 440 /etc/sudoers.d/ef-test",
            b"Defaults:ef-asked timestamp_timeout=0\n"
            b"ef-free ALL=(ALL) NOPASSWD: ALL\nef-asked ALL=(ALL) ALL\n",
        )
        yield Road(transport, server)
    transport.close()


class Road:
    def __init__(self, transport, server):
        self.transport = transport
        self.server = server

    def target(self, user, password=None):
        how = {"user": user, "become": "sudo"}
        return a_target(self.server, f"cam-{user}", connect=how, sudo_password=password)

    def run(self, user, *argv, password=None, **options):
        run = Run(argv=argv, timeout_s=30.0, **options)
        return self.transport.run(self.target(user, password), run)


def test_without_a_password_sudo_is_asked_not_to_ask(road):
    finished = road.run("ef-free", "sh", "-c", "id -u; cat", stdin=(b"\x00in",))
    assert (finished.stdout, finished.exit_code) == (b"0\n\x00in", 0)


def test_with_a_password_the_command_gets_exactly_its_own_stdin(road):
    blob = bytes(range(256)) * 20000
    finished = road.run("ef-asked", "cat", password=PASSWORD, stdin=(blob,))
    assert finished.stdout == blob
    assert finished.stderr == b""


def test_a_password_that_sudo_does_not_want_never_reaches_the_command(road):
    finished = road.run("ef-free", "cat", password=PASSWORD, stdin=(b"mine",))
    assert finished.stdout == b"mine"


def test_exit_code_and_stderr_of_the_command_pass_through_sudo(road):
    finished = road.run("ef-asked", "sh", "-c", "echo why >&2; exit 1", password=PASSWORD)
    assert (finished.exit_code, finished.stderr) == (1, b"why\n")


def test_become_off_is_no_sudo(road):
    assert road.run("ef-none", "id", "-un", become=False).stdout == b"ef-none\n"


@pytest.mark.parametrize(
    ("user", "password"),
    [("ef-none", None), ("ef-none", PASSWORD), ("ef-asked", None), ("ef-asked", "wrong")],
)
def test_a_refused_sudo_is_told_apart_and_asks_nobody(road, user, password):
    # Gotcha 11: pyinfra would prompt on the controller's terminal here.
    with pytest.raises(DeviceUnreachable) as caught:
        road.run(user, "true", password=password)
    assert caught.value.reason is Unreachability.SUDO
    assert "sudo" in caught.value.detail
    assert PASSWORD not in caught.value.rendered()
    if password is not None:
        assert password not in caught.value.detail


def test_the_password_is_in_no_command_line_no_repr_and_no_log(road):
    finished = road.run("ef-asked", "ps", "-eo", "args", "-ww", password=PASSWORD)
    assert b"timeout" in finished.stdout
    assert PASSWORD.encode() not in finished.stdout
    assert PASSWORD not in repr(road.target("ef-asked", PASSWORD))
    assert PASSWORD not in road.server.log()
