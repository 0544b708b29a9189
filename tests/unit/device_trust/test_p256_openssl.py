import shutil

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from edgeform_device import p256
from edgeform_device.errors import NotTrusted
from edgeform_device.p256_openssl import cross_checked, find_openssl, openssl_verify

PRIVATE = ec.generate_private_key(ec.SECP256R1())
KEY = p256.load_public_key(
    PRIVATE.public_key()
    .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    .decode("ascii")
)
SIGNATURE = PRIVATE.sign(b"message", ec.ECDSA(hashes.SHA256()))

needs_openssl = pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl executable here")


def a_program(tmp_path, text):
    file = tmp_path / "openssl"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return str(file)


@needs_openssl
@pytest.mark.parametrize(
    "signature",
    [
        SIGNATURE,
        b"",
        b"\0",
        # Not SIGNATURE + b"\0": `openssl dgst` reads no more than the longest signature has, so it
        # does not see a byte behind one that is that long. Ours does (test_p256).
        SIGNATURE[:-1],
        b"\x30\x06\x02\x01\0\x02\x01\0",
        b"x" * 300,
    ],
    ids=("good", "empty", "zero", "cut", "zeros", "long"),
)
@pytest.mark.parametrize("message", [b"message", b"massage", b""])
def test_openssl_and_edgeform_agree(signature, message):
    openssl = find_openssl()

    assert openssl is not None
    assert openssl(KEY, signature, message) == p256.verify(KEY, signature, message)


def test_a_disagreement_is_refused_and_says_so():
    verify = cross_checked(p256.verify, lambda *_: False)

    with pytest.raises(NotTrusted, match=r"disagree.*edgeform says good, openssl says bad"):
        verify(KEY, SIGNATURE, b"message")


def test_a_disagreement_is_refused_also_when_only_openssl_is_content():
    verify = cross_checked(p256.verify, lambda *_: True)

    with pytest.raises(NotTrusted, match="edgeform says bad, openssl says good"):
        verify(KEY, SIGNATURE, b"another message")


def test_without_openssl_the_own_verifier_decides_alone(tmp_path):
    assert find_openssl(str(tmp_path / "absent")) is None
    assert cross_checked(p256.verify, None)(KEY, SIGNATURE, b"message")


@pytest.mark.parametrize(
    "program",
    [
        pytest.param("echo Verified OK", id="says yes to everything"),
        pytest.param("echo Verification failure; exit 1", id="says no to everything"),
        pytest.param("exit 127", id="does not run"),
    ],
)
def test_an_openssl_that_fails_its_self_test_is_not_asked(tmp_path, program):
    assert find_openssl(a_program(tmp_path, program)) is None


def test_an_openssl_that_answers_nothing_is_a_refusal(tmp_path):
    silent = openssl_verify(a_program(tmp_path, "echo Segmentation fault; exit 139"))

    with pytest.raises(NotTrusted, match="gave no verdict"):
        cross_checked(p256.verify, silent)(KEY, SIGNATURE, b"message")
