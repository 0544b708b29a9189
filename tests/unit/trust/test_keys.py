import shutil
import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from edgeform.errors import NotTrusted, UsageError
from edgeform.trust.keyring import KeyRing, load_keyring
from edgeform.trust.keys import PublicKey, generate_key, open_key_file, public_key_from_pem

PASSPHRASE = b"correct horse battery staple"


def passphrase():
    return PASSPHRASE


@pytest.fixture
def key(tmp_path):
    return generate_key(tmp_path / "key.pem", passphrase, scrypt_p=1)


def test_a_new_key_opens_with_its_passphrase_and_signs(tmp_path, key):
    signer = open_key_file(tmp_path / "key.pem", passphrase)

    assert signer.public_key.keyid == key.key_id
    signature = signer.sign(b"payload")
    signer.public_key.verify_signature(signature, b"payload")


def test_a_key_file_is_encrypted_and_for_its_owner_only(tmp_path, key):
    file = tmp_path / "key.pem"

    assert file.stat().st_mode & 0o777 == 0o600
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in file.read_bytes()


@pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl executable here")
def test_openssl_reads_a_key_file_and_finds_scrypt_in_it(tmp_path, key):
    file = str(tmp_path / "key.pem")
    public = subprocess.run(
        ("openssl", "pkey", "-in", file, "-passin", f"pass:{PASSPHRASE.decode()}", "-pubout"),
        capture_output=True,
        text=True,
        check=True,
    )
    structure = subprocess.run(
        ("openssl", "asn1parse", "-in", file), capture_output=True, text=True, check=True
    )

    assert public.stdout == key.pem
    assert "scrypt" in structure.stdout
    assert "aes-256-cbc" in structure.stdout


def test_a_wrong_passphrase_is_refused_and_appears_nowhere(tmp_path, key):
    with pytest.raises(UsageError, match="does not open") as caught:
        open_key_file(tmp_path / "key.pem", lambda: b"wrong-passphrase")
    assert "wrong-passphrase" not in caught.value.rendered()


def test_a_key_is_never_overwritten(tmp_path, key):
    before = (tmp_path / "key.pem").read_bytes()

    with pytest.raises(UsageError, match="never overwritten"):
        generate_key(tmp_path / "key.pem", passphrase, scrypt_p=1)
    assert (tmp_path / "key.pem").read_bytes() == before


def test_an_empty_passphrase_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(UsageError, match="passphrase for the keys is empty"):
        generate_key(tmp_path / "key.pem", lambda: b"")
    assert list(tmp_path.iterdir()) == []


def test_a_key_file_that_others_may_read_is_refused(tmp_path, key):
    (tmp_path / "key.pem").chmod(0o640)

    with pytest.raises(NotTrusted, match="mode 0640"):
        open_key_file(tmp_path / "key.pem", passphrase)


def test_an_unencrypted_key_file_is_refused(tmp_path):
    file = tmp_path / "plain.pem"
    private = ec.generate_private_key(ec.SECP256R1())
    file.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    file.chmod(0o600)

    with pytest.raises(UsageError, match="not an encrypted"):
        open_key_file(file, passphrase)


def test_a_damaged_key_file_is_refused(tmp_path, key):
    file = tmp_path / "key.pem"
    content = bytearray(file.read_bytes())
    content[150] ^= 1
    file.write_bytes(content)

    with pytest.raises(UsageError):
        open_key_file(file, passphrase)


@pytest.mark.parametrize(
    "private", [ec.generate_private_key(ec.SECP384R1()), ed25519.Ed25519PrivateKey.generate()]
)
def test_public_keys_of_other_kinds_are_refused(private):
    pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    with pytest.raises(NotTrusted, match=r"not an ECDSA P-256 key|Not an ECDSA P-256 key"):
        public_key_from_pem(pem)


def test_a_public_key_has_the_same_id_from_its_pem(key):
    assert public_key_from_pem(key.pem.encode()).key_id == key.key_id


def test_a_key_ring_keeps_no_secret_and_comes_back_as_it_was(tmp_path, key):
    KeyRing(folder=tmp_path, keys=(key,), passphrase=passphrase).save()

    text = (tmp_path / "keyring.json").read_text()
    assert PASSPHRASE.decode() not in text
    assert load_keyring(tmp_path, passphrase).keys == (key,)


def test_a_key_ring_opens_each_key_once(tmp_path):
    asked = []
    key = generate_key(tmp_path / "k.pem", passphrase, uri="file:k.pem", scrypt_p=1)
    ring = KeyRing(folder=tmp_path, keys=(key,), passphrase=lambda: asked.append(1) or PASSPHRASE)

    assert ring.signer(key.key_id) is ring.signer(key.key_id)
    assert len(asked) == 1


def test_a_file_with_another_key_than_the_ring_says_is_refused(tmp_path, key):
    other = generate_key(tmp_path / "other.pem", passphrase, scrypt_p=1)
    swapped = PublicKey(key_id=key.key_id, pem=key.pem, uri=f"file:{tmp_path}/other.pem")
    ring = KeyRing(folder=tmp_path, keys=(swapped,), passphrase=passphrase)

    with pytest.raises(NotTrusted, match=other.key_id[:12]):
        ring.signer(key.key_id)


def test_a_key_elsewhere_is_not_at_hand_and_says_so(tmp_path, key):
    away = PublicKey(key_id=key.key_id, pem=key.pem, uri="vault:transit/edgeform-root")
    ring = KeyRing(folder=tmp_path, keys=(away,), passphrase=passphrase)

    assert not ring.is_at_hand(key.key_id)
    with pytest.raises(UsageError, match="vault:transit"):
        ring.signer(key.key_id)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"schema": "edgeform.keyring/9", "keys": []}'])
def test_what_is_no_key_ring_is_refused(tmp_path, text):
    (tmp_path / "keyring.json").write_text(text)

    with pytest.raises(UsageError):
        load_keyring(tmp_path, passphrase)
