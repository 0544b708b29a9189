"""Which secrets are sealed when something is published: of offline devices, to pinned keys, once."""

from types import SimpleNamespace

import pytest
from support.device import RUNTIME_FILES as FILES
from support.device import SITE, a_deployment, a_generation, a_model, an_artifact

from edgeform.domain.site import SecretRef
from edgeform.errors import Corrupt
from edgeform.publish.sealing import Sealing
from edgeform.secrets.value import SecretValue

REFERENCE = SecretRef(provider="env", path="X")


@pytest.fixture
def key(device):
    return device.disk.read(device.layout.state("device.pub")).decode()


@pytest.fixture
def device(tmp_path):
    from support.device import a_prefix

    from edgeform_device import signing

    made = a_prefix(tmp_path / "device")
    made.disk.mkdir(made.layout.state_dir)
    signing.make_key(made.disk, made.layout)
    return made


def sealed(key, *, mode="offline", standing=None, secrets=(("camera", "h1"),), notes=None):
    content = a_generation(a_model(), an_artifact(FILES), secrets=dict(secrets))
    deployment = a_deployment(content)
    device = SimpleNamespace(connect=SimpleNamespace(mode=mode))
    desired = SimpleNamespace(device=content.device, secrets=((n, REFERENCE) for n, _ in secrets))
    heard = notes if notes is not None else []
    sealing = Sealing(lambda _: key, lambda _: SecretValue(b"canary"), heard.append)
    return list(
        sealing.sealed(
            [deployment],
            SimpleNamespace(device=lambda _: device),
            SimpleNamespace(desired=[desired]),
            lambda _: standing,
        )
    )


def test_what_is_sealed_names_device_key_and_hmac_and_holds_no_value(key):
    (found,) = sealed(key)
    assert (found.site, found.device) == (SITE, "cam-1")
    assert found.find("camera", "h1") is not None
    assert b"canary" not in found.encoded()


def test_devices_that_are_reached_get_their_secrets_there(key):
    assert sealed(key, mode="ssh") == []
    assert sealed(key, secrets=()) == []


def test_what_stands_is_not_sealed_again_until_key_or_value_change(key):
    (standing,) = sealed(key)
    assert sealed(key, standing=standing.encoded()) == []
    assert len(sealed(key, standing=standing.encoded(), secrets=(("camera", "h2"),))) == 1


def test_without_a_pinned_key_it_is_said_by_name(key):
    notes = []
    assert sealed(None, notes=notes) == []
    assert "camera" in notes[0].text
    assert "--accept-key" in notes[0].text


def test_published_secrets_that_nobody_can_read_are_no_ground_to_go_on(key):
    with pytest.raises(Corrupt):
        sealed(key, standing=b"{}")
