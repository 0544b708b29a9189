"""Secrets on a stick: for one device's key, signed by the site, and wherever that does not hold refused by name."""

import shutil

import pytest
from support.device import DEVICE, SITE, an_enrolled_device

from edgeform.errors import NotTrusted as HomeNotTrusted
from edgeform.secrets.sealing import seal
from edgeform.secrets.value import SecretValue
from edgeform_device import identity, secrets, signing, unseal
from edgeform_device.errors import NotTrusted, Refused
from edgeform_device.medium import Folder
from edgeform_device.offer import Offer
from edgeform_device.preparation import Prepare
from edgeform_wire.sealed import Sealed, SealedSecret, key_digest

CANARY = b"canary \x00 with a line feed\n and \xff"
HMAC = "planned-1"


def public_key(device):
    return device.disk.read(device.layout.state(signing.PUBLIC_KEY)).decode()


def sealed_for(key, *, name="camera", hmac=HMAC, value=CANARY, whose=DEVICE, says=None):
    message = SealedSecret(name, hmac, seal(SecretValue(value), key))
    return Sealed(SITE, whose, key_digest(says or key), (message,))


def taken(device, place):
    """What the transaction does first with what a stick brought."""
    who = identity.load(device.disk, device.layout)
    offer = Offer(Folder(str(place)), device.disk, device.layout, who)
    approved = offer.examine()
    obstacles = offer.obstacles(approved)
    if obstacles:
        raise obstacles[0]
    offer.bring(approved)
    Prepare(device.disk, device.layout, who).preflight(approved, None)
    return approved


def kept(device):
    return {
        s.name: (s.planned, device.disk.read(s.path))
        for s in secrets.listed(device.disk, device.layout)
    }


@pytest.fixture
def wanted(press):
    return press.a_small_one(secrets={"camera": HMAC})


def test_a_sealed_secret_arrives_whole_and_stands_nowhere_in_plain(press, device, wanted):
    press.sign_sealed(sealed_for(public_key(device)))
    stick = press.stick("stick", wanted)
    files = [f for f in stick.rglob("*") if f.is_file()]
    assert not [f for f in files if b"canary" in f.read_bytes()]
    taken(device, stick)
    assert kept(device) == {"camera": (HMAC, CANARY)}
    taken(device, stick)
    assert kept(device) == {"camera": (HMAC, CANARY)}, "twice is once"


def test_what_no_deployment_asks_for_is_not_opened(press, device):
    press.sign_sealed(sealed_for(public_key(device), name="other"))
    taken(device, press.stick("stick", press.a_small_one()))
    assert kept(device) == {}


def test_a_value_that_was_planned_with_another_is_refused_by_name(press, device, wanted):
    press.sign_sealed(sealed_for(public_key(device), hmac="planned-2"))
    with pytest.raises(Refused) as caught:
        taken(device, press.stick("stick", wanted))
    assert "Secret camera has not been delivered" in caught.value.summary
    assert "publish" in caught.value.hint


def test_without_any_sealed_value_it_is_refused_by_name_before_anything_is_copied(
    press, device, wanted
):
    with pytest.raises(Refused) as caught:
        taken(device, press.stick("stick", wanted))
    assert "Secret camera has not been delivered" in caught.value.summary


def test_sealed_to_another_key_is_refused_by_name(press, device, tmp_path, wanted):
    other = an_enrolled_device(tmp_path / "other", press.publisher.root, device="cam-2")
    press.sign_sealed(sealed_for(public_key(other)))
    with pytest.raises(Refused) as caught:
        taken(device, press.stick("stick", wanted))
    assert caught.value.summary == "Secret camera is sealed to another key than this device's."
    press.sign_sealed(sealed_for(public_key(other), says=public_key(device)))
    with pytest.raises(Refused) as caught:
        taken(device, press.stick("stick", wanted))
    assert "cannot be opened with this device's key" in caught.value.summary
    assert kept(device) == {}


def test_without_openssl_it_is_refused_by_name(press, device, monkeypatch, wanted):
    press.sign_sealed(sealed_for(public_key(device)))
    stick = press.stick("stick", wanted)
    real = shutil.which
    monkeypatch.setattr(
        unseal.shutil, "which", lambda name: None if name == "openssl" else real(name)
    )
    with pytest.raises(Refused) as caught:
        taken(device, stick)
    assert "nothing on this device can open it" in caught.value.summary
    assert "openssl" in caught.value.detail


def test_another_devices_secrets_at_this_ones_place_are_not_trusted(press, device, wanted):
    press.sign_sealed(sealed_for(public_key(device), whose="cam-2"))
    with pytest.raises(NotTrusted) as caught:
        taken(device, press.stick("stick", wanted))
    assert "are for lab/cam-2; this device is lab/cam-1" in caught.value.summary


def test_a_forged_value_on_the_stick_is_not_what_was_signed(press, device, wanted):
    """Anybody may know the public key, and seal to it: only the site's signature makes it a secret of the site."""
    honest = sealed_for(public_key(device))
    press.sign_sealed(honest)
    stick = press.stick("stick", wanted)
    (file,) = (f for f in stick.rglob("*") if f.is_file() and f.read_bytes() == honest.encoded())
    file.write_bytes(sealed_for(public_key(device), value=b"mine").encoded())
    with pytest.raises(Exception, match="damaged"):
        taken(device, stick)
    assert kept(device) == {}


def test_only_a_p256_key_is_sealed_to():
    with pytest.raises(HomeNotTrusted):
        seal(SecretValue(b"x"), "no key at all")
