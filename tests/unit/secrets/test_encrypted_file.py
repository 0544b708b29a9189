import base64
import json
import os
from dataclasses import replace

import pytest

from edgeform.errors import UsageError
from edgeform.secrets import SecretFileDamaged, SecretMissing, SecretValue

WIFI = SecretValue(b"geheim-wifi")


def test_a_secret_comes_back_as_it_was_put_in(secrets_file):
    secrets_file.set("wifi_psk", WIFI)
    secrets_file.set("binary", SecretValue(bytes(range(256))))

    assert secrets_file.get("wifi_psk") == WIFI
    assert secrets_file.get("binary").reveal() == bytes(range(256))
    assert secrets_file.names() == ("binary", "wifi_psk")


def test_the_file_shows_neither_values_nor_names(secrets_file):
    secrets_file.set("wifi_psk", WIFI)
    content = secrets_file.file.read_bytes()

    for hidden in (
        b"wifi",
        b"geheim",
        base64.b64encode(b"geheim")[:8],
        base64.b64encode(b"wifi")[:5],
    ):
        assert hidden not in content


def test_the_file_is_for_its_owner_only(secrets_file):
    secrets_file.set("wifi_psk", WIFI)

    assert secrets_file.file.stat().st_mode & 0o777 == 0o600


def test_every_write_takes_a_new_salt_and_a_new_nonce(secrets_file):
    seen = set()
    for _ in range(3):
        secrets_file.set("wifi_psk", WIFI)
        document = json.loads(secrets_file.file.read_text())
        seen |= {document["nonce"], document["kdf"]["salt"]}
    assert len(seen) == 6


def test_a_removed_secret_is_gone(secrets_file):
    secrets_file.set("wifi_psk", WIFI)
    secrets_file.remove("wifi_psk")

    assert secrets_file.names() == ()
    with pytest.raises(SecretMissing, match="no entry 'wifi_psk'"):
        secrets_file.get("wifi_psk")


def test_removing_what_is_not_there_is_told(secrets_file):
    secrets_file.set("wifi_psk", WIFI)

    with pytest.raises(SecretMissing):
        secrets_file.remove("other")


def test_a_missing_file_says_how_to_make_one(secrets_file):
    with pytest.raises(SecretMissing) as caught:
        secrets_file.get("wifi_psk")
    assert "edgeform secret set" in caught.value.hint


def test_the_key_of_the_site_survives_every_change(secrets_file):
    secrets_file.set("a", WIFI)
    key = secrets_file.site_key()
    secrets_file.set("b", WIFI)
    secrets_file.remove("a")

    assert len(key.reveal()) == 32
    assert secrets_file.site_key() == key


def test_a_wrong_passphrase_is_refused(secrets_file):
    secrets_file.set("wifi_psk", WIFI)

    with pytest.raises(SecretFileDamaged, match="passphrase does not open"):
        replace(secrets_file, passphrase=lambda: SecretValue(b"other")).get("wifi_psk")


def edited(secrets_file, edit):
    document = json.loads(secrets_file.file.read_text())
    edit(document)
    secrets_file.file.write_text(json.dumps(document))


def flip(text):
    content = bytearray(base64.b64decode(text))
    content[len(content) // 2] ^= 1
    return base64.b64encode(content).decode()


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda d: d.update(ciphertext=flip(d["ciphertext"])), id="ciphertext"),
        pytest.param(lambda d: d.update(nonce=flip(d["nonce"])), id="nonce"),
        pytest.param(lambda d: d["kdf"].update(salt=flip(d["kdf"]["salt"])), id="salt"),
        pytest.param(lambda d: d["kdf"].update(n=4), id="cheaper key derivation"),
        pytest.param(lambda d: d["kdf"].update(n=2**30), id="key derivation of hours"),
        pytest.param(lambda d: d["kdf"].update(n=3), id="n no power of two"),
        pytest.param(lambda d: d["kdf"].update(r=10**6), id="key derivation of gigabytes"),
        pytest.param(lambda d: d["kdf"].update(p=0), id="p of zero"),
        pytest.param(lambda d: d["kdf"].update(name="pbkdf2"), id="another derivation"),
        pytest.param(lambda d: d.update(cipher="none"), id="another cipher"),
        pytest.param(lambda d: d.update(schema="edgeform.secrets/9"), id="another schema"),
        pytest.param(lambda d: d.update(nonce="AAAA"), id="short nonce"),
        pytest.param(lambda d: d.update(nonce="!"), id="no base64"),
        pytest.param(lambda d: d.update(nonce=7), id="no text"),
        pytest.param(lambda d: d.pop("ciphertext"), id="field missing"),
        pytest.param(lambda d: d.update(kdf=[]), id="another type"),
    ],
)
def test_any_change_to_the_file_is_refused(secrets_file, edit):
    secrets_file.set("wifi_psk", WIFI)
    edited(secrets_file, edit)

    with pytest.raises(SecretFileDamaged):
        secrets_file.get("wifi_psk")


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b" " * 5_000_000])
def test_what_is_no_secrets_file_is_refused(secrets_file, content):
    secrets_file.file.write_bytes(content)

    with pytest.raises(SecretFileDamaged):
        secrets_file.names()


@pytest.mark.parametrize("name", ["", "-x", "a b", "a\n", "ä", "a" * 200])
def test_a_name_of_another_form_is_refused(secrets_file, name):
    with pytest.raises(UsageError, match="cannot name a secret"):
        secrets_file.set(name, WIFI)


@pytest.mark.parametrize("value", [b"", b"x" * 70_000])
def test_a_value_that_is_empty_or_huge_is_refused(secrets_file, value):
    with pytest.raises(UsageError, match="empty or longer"):
        secrets_file.set("a", SecretValue(value))


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_write_that_is_cut_leaves_the_old_file(secrets_file, monkeypatch, call):
    secrets_file.set("wifi_psk", WIFI)

    def cut(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, cut)
        with pytest.raises(OSError, match="No space"):
            secrets_file.set("wifi_psk", SecretValue(b"newer"))
    assert secrets_file.get("wifi_psk") == WIFI


def test_the_usual_cost_opens_too(secrets_file):
    """One real opening: 128 MiB of scrypt."""
    real = replace(secrets_file, scrypt_n=2**17)
    real.set("wifi_psk", WIFI)

    assert real.get("wifi_psk") == WIFI
