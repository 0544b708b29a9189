import base64

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from support.soak import examples

from edgeform_device import p256

PRIVATE = ec.derive_private_key(0x1D2E3F40516273849 << 130 | 7, ec.SECP256R1())
MESSAGE = b"what is signed"
SIGNATURE = PRIVATE.sign(MESSAGE, ec.ECDSA(hashes.SHA256()))


def pem_of(public, form=PublicFormat.SubjectPublicKeyInfo):
    return public.public_bytes(Encoding.PEM, form).decode()


def pem_around(der):
    body = base64.encodebytes(der).decode()
    return f"-----BEGIN PUBLIC KEY-----\n{body}-----END PUBLIC KEY-----\n"


KEY = p256.load_public_key(pem_of(PRIVATE.public_key()))
SPKI = PRIVATE.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def theirs(signature, message=MESSAGE, private=PRIVATE):
    """The verdict of an independent implementation."""
    try:
        private.public_key().verify(signature, message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def test_a_good_signature_verifies():
    assert p256.verify(KEY, SIGNATURE, MESSAGE)


def test_another_message_does_not_verify():
    assert not p256.verify(KEY, SIGNATURE, MESSAGE + b".")


def test_another_key_does_not_verify():
    other = p256.load_public_key(pem_of(ec.generate_private_key(ec.SECP256R1()).public_key()))

    assert not p256.verify(other, SIGNATURE, MESSAGE)


@pytest.mark.parametrize("r", [0, 1, p256.N - 1, p256.N, p256.N + 1, p256.P, 2**256 - 1])
@pytest.mark.parametrize("s", [0, 1, p256.N - 1, p256.N, p256.N + 1, 2**256 - 1])
def test_r_and_s_at_the_edges_get_the_same_verdict_as_elsewhere(r, s):
    signature = encode_dss_signature(r, s)

    assert p256.verify(KEY, signature, MESSAGE) == theirs(signature) is False


def test_the_other_s_of_ecdsa_is_as_good():
    """ECDSA signatures are malleable by definition; nothing here is identified by its signature."""
    r, s = decode_dss_signature(SIGNATURE)
    signature = encode_dss_signature(r, p256.N - s)

    assert p256.verify(KEY, signature, MESSAGE) == theirs(signature) is True


def der(*integers, tag=0x30, trailing=b""):
    body = b"".join(bytes((2, len(i))) + i for i in integers)
    return bytes((tag, len(body))) + body + trailing


def shortest(number):
    return number.to_bytes(number.bit_length() // 8 + 1, "big")


R, S = (shortest(number) for number in decode_dss_signature(SIGNATURE))


@pytest.mark.parametrize(
    "signature",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\x30", id="one byte"),
        pytest.param(b"\x30\x00", id="empty sequence"),
        pytest.param(SIGNATURE + b"\0", id="a byte after the end"),
        pytest.param(SIGNATURE[:-1], id="a byte too few"),
        pytest.param(der(R, S, trailing=b"\0"), id="trailing byte outside"),
        pytest.param(der(R, S, S), id="three integers"),
        pytest.param(der(R), id="one integer"),
        pytest.param(der(b"\0" + R, S), id="r with a zero too many"),
        pytest.param(der(R, b"\0\0" + S), id="s with two zeros too many"),
        pytest.param(der(b"\xff" + R[1:], S), id="negative r"),
        pytest.param(der(b"", S), id="r of no bytes"),
        pytest.param(der(R, S, tag=0x31), id="a set instead of a sequence"),
        pytest.param(b"\x30\x80" + der(R, S)[2:] + b"\0\0", id="indefinite length"),
        pytest.param(b"\x30\x81" + der(R, S)[1:], id="length in two bytes"),
        pytest.param(R.rjust(32, b"\0")[-32:] + S.rjust(32, b"\0")[-32:], id="raw r and s"),
    ],
)
def test_only_the_shortest_der_form_is_accepted(signature):
    assert p256.verify(KEY, signature, MESSAGE) is False
    assert theirs(signature) is False


@settings(max_examples=examples(1500), deadline=None)
@given(st.data())
def test_a_mutated_signature_gets_the_same_verdict_as_elsewhere(data):
    """Bytes flipped, cut, doubled and inserted; and signatures over other messages."""
    message = data.draw(st.sampled_from([MESSAGE, b"", MESSAGE[:-1]]))
    signature = bytearray(SIGNATURE)
    for _ in range(data.draw(st.integers(0, 3))):
        if not signature:
            break
        at = data.draw(st.integers(0, len(signature) - 1))
        kind = data.draw(st.sampled_from(["flip", "cut", "insert", "double"]))
        if kind == "flip":
            signature[at] ^= data.draw(st.integers(1, 255))
        elif kind == "cut":
            del signature[at]
        elif kind == "insert":
            signature.insert(at, data.draw(st.integers(0, 255)))
        else:
            signature[at:at] = signature[at : at + 2]

    assert p256.verify(KEY, bytes(signature), message) == theirs(bytes(signature), message)


@settings(max_examples=examples(300), deadline=None)
@given(secret=st.integers(1, p256.N - 1), message=st.binary(max_size=200))
def test_every_honest_signature_verifies(secret, message):
    private = ec.derive_private_key(secret, ec.SECP256R1())
    key = p256.load_public_key(pem_of(private.public_key()))
    signature = private.sign(message, ec.ECDSA(hashes.SHA256()))

    assert p256.verify(key, signature, message)
    assert not p256.verify(key, signature, message + b"\0")


@settings(max_examples=examples(200), deadline=None)
@given(r=st.integers(1, p256.N - 1), s=st.integers(1, p256.N - 1), message=st.binary(max_size=40))
def test_well_formed_forgeries_are_refused(r, s, message):
    signature = encode_dss_signature(r, s)

    assert p256.verify(KEY, signature, message) == theirs(signature, message)


@pytest.mark.parametrize("secret", [1, 2, p256.N - 1, p256.N - 2])
def test_keys_at_the_edges_of_the_group_verify(secret):
    """Q = G and Q = -G make the additions of Shamir's trick meet themselves."""
    private = ec.derive_private_key(secret, ec.SECP256R1())
    key = p256.load_public_key(pem_of(private.public_key()))

    for number in range(20):
        message = bytes([number])
        assert p256.verify(key, private.sign(message, ec.ECDSA(hashes.SHA256())), message)


@pytest.mark.parametrize(
    "pem",
    [
        pytest.param("", id="nothing"),
        pytest.param("PEM", id="not pem"),
        pytest.param(pem_of(ec.generate_private_key(ec.SECP384R1()).public_key()), id="p-384"),
        pytest.param(pem_of(ec.generate_private_key(ec.SECP256K1()).public_key()), id="secp256k1"),
        pytest.param(pem_around(SPKI[:-64] + SPKI[-32:] + SPKI[-64:-32]), id="x and y swapped"),
        pytest.param(pem_around(SPKI[:-1] + bytes([SPKI[-1] ^ 1])), id="not on the curve"),
        pytest.param(pem_around(SPKI[:-64] + bytes(64)), id="zero point"),
        pytest.param(pem_around(SPKI[:-64] + p256.P.to_bytes(32, "big") + SPKI[-32:]), id="x = p"),
        pytest.param(pem_around(SPKI[:-65] + b"\x00"), id="point at infinity"),
        pytest.param(pem_around(SPKI + b"\0"), id="trailing byte"),
        pytest.param(pem_around(SPKI) + pem_around(SPKI), id="two blocks"),
        pytest.param(pem_around(SPKI).replace("PUBLIC", "PRIVATE"), id="another label"),
        pytest.param(pem_around(SPKI).replace("M", "=", 1), id="not base64"),
        pytest.param(pem_around(SPKI) + " " * 2000, id="endless"),
    ],
)
def test_a_key_of_another_form_or_off_the_curve_is_refused(pem):
    with pytest.raises(ValueError):
        p256.load_public_key(pem)


def test_a_compressed_key_is_refused():
    point = PRIVATE.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    spki = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200") + point

    with pytest.raises(ValueError, match="uncompressed"):
        p256.load_public_key(pem_around(spki))


def test_keys_are_equal_when_their_points_are():
    text = pem_of(PRIVATE.public_key())

    assert p256.load_public_key(text) == p256.load_public_key(text.replace("\n", "\n\n"))
