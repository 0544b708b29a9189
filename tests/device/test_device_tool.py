"""Looking, secrets, logs and drift on a device with a real sshd and a real systemd."""

import shlex

import pytest
from support.systemd_device import SystemdDevice, binds

from edgeform.domain.observed import Observed
from edgeform.observe.command import Questions, observe_command
from edgeform.observe.parse import observation

pytestmark = pytest.mark.device

QUESTIONS = Questions(packages=("systemd",), groups=("root",), files=("/etc/hostname",))


def look(device, ssh, *, verify="none"):
    argv, stdin = observe_command(device.prefix, QUESTIONS, verify=verify)
    said = ssh(device, "sudo " + shlex.join(argv), stdin=stdin)
    return observation(device.name, said.status, said.out.encode(), said.err.encode())


@pytest.fixture
def lab_device(fresh_device):
    return fresh_device(binds=binds())


@pytest.fixture
def real(lab_device, ssh, tmp_path):
    return SystemdDevice(lab_device, ssh, tmp_path)


def test_looking_at_a_virgin_device_leaves_nothing_and_sees_its_systemd(lab_device, ssh):
    seen = look(lab_device, ssh)
    assert isinstance(seen, Observed), seen
    assert seen.facts.has_systemd
    assert seen.facts.is_root
    assert dict(seen.facts.packages)["systemd"]
    assert seen.tool is None
    assert ssh(lab_device, f"sudo test -e {lab_device.prefix}").status == 1


def test_a_serving_pipeline_is_healthy_and_drift_on_it_is_named(real, ssh):
    assert real.apply("1.0.0")["outcome"] == "committed"
    seen = look(real.lab_device, ssh, verify="full")
    assert isinstance(seen, Observed), seen
    assert [(h.name, h.state) for h in seen.health] == [("digits", "active")]
    assert (seen.current, seen.committed, seen.drift) == (1, 1, ())
    assert seen.last_receipt == 1
    labels = real.sh(f"sudo find {real.prefix}/trees -name labels.txt").out.strip()
    real.sh(f"echo swapped | sudo tee {labels}")
    real.sh("sudo systemctl stop edgeform-pipeline@digits")
    seen = look(real.lab_device, ssh, verify="sample")
    assert [d.path.rsplit("/", 1)[-1] for d in seen.drift] == ["labels.txt"]
    assert seen.health[0].state in ("stopped", "failed")


def test_a_secret_is_sealed_to_the_machine_and_opened_for_a_service_alone(real):
    value = b"canary-41f7"
    put = real.verb("secret", "put", "token", stdin=value)
    assert put["secret"]["kept"] == "systemd-creds", put
    path = f"{real.prefix}/secrets/token"
    assert "canary" not in real.sh(f"sudo cat {path}").out
    said = real.sh(
        f"sudo systemd-run --quiet --wait --pipe -p LoadCredentialEncrypted=token:{path}"
        " sh -c 'cat $CREDENTIALS_DIRECTORY/token'"
    )
    assert said.out == value.decode(), said
    assert "canary" not in real.sh("sudo journalctl --no-pager | grep -v COMMAND").out


def test_the_journal_of_a_pipeline_is_read(real):
    assert real.apply("1.0.0")["outcome"] == "committed"
    lines = real.verb("logs", "--pipeline", "digits", "--lines", "20")["lines"]
    assert any("edgeform pipeline digits" in line for line in lines)
    assert all(c.isprintable() or c == "\t" for line in lines for c in line)
