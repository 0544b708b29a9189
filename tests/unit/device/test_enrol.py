import os
import stat

import pytest
from support.device import a_prefix, a_publisher

from edgeform_device import enrol, identity, secrets
from edgeform_device.errors import NotTrusted, Refused, Usage


def wish(publisher, **changed):
    said = {
        "site": "lab",
        "device": "cam-1",
        "root": publisher.root.decode(),
        "services": "supervisor",
        "user": "root",
    }
    return enrol.read_wish({**said, **changed})


def enrolled(at, publisher, root="/", **changed):
    return enrol.enrol(at.disk, at.layout, wish(publisher, **changed), str(root))


@pytest.fixture
def virgin(tmp_path):
    return a_prefix(tmp_path / "device")


def snapshot(folder):
    return {
        os.path.join(where, name): open(os.path.join(where, name), "rb").read()
        for where, _, files in os.walk(folder)
        for name in files
    }


def test_a_device_learns_who_it_is_and_whom_it_obeys(virgin, publisher):
    done = enrolled(virgin, publisher)
    who = identity.load(virgin.disk, virgin.layout)
    assert (who.site, who.device, who.services) == ("lab", "cam-1", "supervisor")
    assert done.profile == "development"
    assert done.device_key.startswith("-----BEGIN PUBLIC KEY-----")
    assert done.code == identity.short_code(done.root_digest, done.device_key)
    assert len(done.code) == 9


def test_keys_are_readable_by_their_owner_alone(virgin, publisher):
    enrolled(virgin, publisher)
    for name in ("state/device.key", "state/secrets.key"):
        assert stat.S_IMODE(os.stat(virgin.prefix / name).st_mode) == 0o600
    for name in ("secrets", "incoming"):
        assert stat.S_IMODE(os.stat(virgin.prefix / name).st_mode) == 0o700


def test_enrolling_again_changes_nothing(virgin, publisher):
    first = enrolled(virgin, publisher)
    before = snapshot(virgin.prefix)
    assert enrolled(virgin, publisher) == first
    assert snapshot(virgin.prefix) == before


def test_a_root_is_never_replaced(virgin, publisher, tmp_path):
    enrolled(virgin, publisher)
    before = snapshot(virgin.prefix)
    with pytest.raises(NotTrusted, match="already obeys"):
        enrolled(virgin, a_publisher(tmp_path / "other"))
    assert snapshot(virgin.prefix) == before


def test_a_device_is_never_renamed(virgin, publisher):
    enrolled(virgin, publisher)
    with pytest.raises(Refused, match="lab/cam-1 already"):
        enrolled(virgin, publisher, device="cam-2")


def test_a_root_that_does_not_sign_itself_is_refused(virgin, publisher):
    forged = publisher.root.decode().replace('"version":1', '"version":2')
    with pytest.raises(NotTrusted):
        enrol.enrol(virgin.disk, virgin.layout, wish(publisher, root=forged), "/")
    assert not os.path.exists(virgin.layout.device)


def test_systemd_is_refused_where_it_does_not_run(virgin, publisher, tmp_path):
    with pytest.raises(Refused, match="systemd does not run here"):
        enrolled(virgin, publisher, root=tmp_path, services="systemd")


def test_the_device_chooses_its_services_when_nobody_says(virgin, publisher, tmp_path):
    assert (
        enrolled(virgin, publisher, root=tmp_path, services=None).identity.services == "supervisor"
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"site": "../lab"},
        {"device": ""},
        {"services": "openrc"},
        {"user": "root; id"},
        {"user": "-x"},
        {"root": 7},
        {"extra": 1},
    ],
)
def test_a_wish_of_another_form_is_usage(publisher, changed):
    with pytest.raises(Usage):
        wish(publisher, **changed)


def test_a_prefix_that_a_script_could_misread_is_refused(tmp_path, publisher):
    with pytest.raises(Refused, match="prefix"):
        enrolled(a_prefix(tmp_path / "a $(id)"), publisher)


def test_a_device_without_means_to_sign_is_enrolled_without_a_key(virgin, publisher, monkeypatch):
    monkeypatch.setattr("edgeform_device.signing._means", lambda: "unsigned")
    done = enrolled(virgin, publisher)
    assert done.device_key is None
    assert done.code


# Secrets


def test_a_secret_is_kept_for_its_owner_and_never_told(virgin, publisher):
    enrolled(virgin, publisher)
    disk, layout = virgin.disk, virgin.layout
    put = secrets.put(disk, layout, "token", b"hunter2", "hmac-sha256:1")
    path = virgin.prefix / "secrets/token"
    assert path.read_bytes() == b"hunter2"
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert secrets.listed(disk, layout) == [put]
    assert put.planned == "hmac-sha256:1"
    told = str([s.to_json() for s in secrets.listed(disk, layout)]) + repr(put)
    assert "hunter2" not in told
    assert b"hunter2" not in b"".join(
        c for p, c in snapshot(virgin.prefix).items() if not p.endswith("secrets/token")
    )


def test_the_same_value_on_two_devices_looks_different(tmp_path, publisher):
    macs = set()
    for name in ("a", "b"):
        device = a_prefix(tmp_path / name)
        enrolled(device, publisher)
        macs.add(secrets.put(device.disk, device.layout, "token", b"hunter2").hmac)
    assert len(macs) == 2


def test_a_changed_value_has_another_hmac_and_a_dropped_one_is_gone(virgin, publisher):
    enrolled(virgin, publisher)
    disk, layout = virgin.disk, virgin.layout
    first = secrets.put(disk, layout, "token", b"one").hmac
    assert secrets.put(disk, layout, "token", b"two").hmac != first
    assert secrets.put(disk, layout, "token", b"one").hmac == first
    assert secrets.drop(disk, layout, "token") is True
    assert secrets.drop(disk, layout, "token") is False
    assert secrets.listed(disk, layout) == []
    assert not (virgin.prefix / "secrets/token").exists()


@pytest.mark.parametrize("name", ["../state/committed", "", ".", "a/b", "a b"])
def test_a_secrets_name_stays_in_its_folder(virgin, publisher, name):
    enrolled(virgin, publisher)
    with pytest.raises(Usage):
        secrets.put(virgin.disk, virgin.layout, name, b"x")


def test_an_empty_or_endless_value_is_refused(virgin, publisher):
    enrolled(virgin, publisher)
    for value in (b"", b"x" * (secrets.MAX_BYTES + 1)):
        with pytest.raises(Usage):
            secrets.put(virgin.disk, virgin.layout, "token", value)


def test_without_enrolment_there_is_no_place_for_secrets(virgin):
    with pytest.raises(Refused):
        secrets.put(virgin.disk, virgin.layout, "token", b"x")
