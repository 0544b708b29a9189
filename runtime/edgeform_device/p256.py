"""ECDSA P-256 with SHA-256: verification only, standard library only.

The one signature algorithm a device accepts. No secret ever enters this module, so its timing
leaks nothing; the one risk is to accept what is false, which Wycheproof and a property test
against an independent implementation address. It refuses, and never repairs: DER must be the
shortest form, points must lie on the curve, keys must be uncompressed SubjectPublicKeyInfo.
Source: SEC 1 v2.0 section 4.1.4; FIPS 186-5 section 6.4.2.
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, field
from typing import Callable, Tuple

P = 2**256 - 2**224 + 2**192 + 2**96 - 1
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
GX = 0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296
GY = 0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5

# SubjectPublicKeyInfo {id-ecPublicKey, prime256v1}, BIT STRING of 66 bytes, 04 = uncompressed.
_SPKI_PREFIX = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")
_SPKI_BYTES = len(_SPKI_PREFIX) + 64
_PEM = re.compile(
    r"\s*-----BEGIN PUBLIC KEY-----\s([A-Za-z0-9+/=\s]+)-----END PUBLIC KEY-----\s*\Z"
)
_MAX_PEM_CHARACTERS = 1024

_Point = Tuple[int, int, int]  # Jacobian coordinates; z = 0 is the point at infinity
_INFINITY: _Point = (1, 1, 0)


@dataclass(frozen=True)
class PublicKey:
    """A point proven to lie on P-256; two keys are equal when their points are."""

    x: int
    y: int
    pem: str = field(compare=False, repr=False)


Verify = Callable[[PublicKey, bytes, bytes], bool]
"""(key, DER signature, message) -> whether the signature is good. Wrong forms are simply not good."""


def load_public_key(pem: str) -> PublicKey:
    """The key in a PEM "PUBLIC KEY" block.

    Raises:
        ValueError: anything but an uncompressed P-256 SubjectPublicKeyInfo on the curve.
    """
    match = _PEM.match(pem) if len(pem) <= _MAX_PEM_CHARACTERS else None
    if match is None:
        raise ValueError("not one PEM block 'PUBLIC KEY'")
    try:
        der = base64.b64decode("".join(match.group(1).split()), validate=True)
    except binascii.Error as exc:
        raise ValueError(f"not base64: {exc}") from exc
    if len(der) != _SPKI_BYTES or not der.startswith(_SPKI_PREFIX):
        raise ValueError("not an uncompressed P-256 public key")
    x = int.from_bytes(der[-64:-32], "big")
    y = int.from_bytes(der[-32:], "big")
    if x >= P or y >= P or (y * y - (x * x * x - 3 * x + B)) % P:
        raise ValueError("the point does not lie on P-256")
    return PublicKey(x, y, pem)


def verify(key: PublicKey, signature: bytes, message: bytes) -> bool:
    """Whether the DER-encoded signature over the message was made with the key's private half."""
    try:
        r, s = _read_signature(signature)
    except ValueError:
        return False
    if not (0 < r < N and 0 < s < N):
        return False
    inverse = pow(s, N - 2, N)
    digest = int.from_bytes(hashlib.sha256(message).digest(), "big")
    x, _, z = _sum_of_products(digest * inverse % N, r * inverse % N, (key.x, key.y, 1))
    if z == 0:
        return False
    return x * pow(z, 2 * (P - 2), P) % P % N == r


def _read_signature(der: bytes) -> Tuple[int, int]:
    """SEQUENCE {INTEGER r, INTEGER s}; at most 72 bytes, so every length is one byte."""
    if len(der) < 2 or der[0] != 0x30 or der[1] != len(der) - 2 or der[1] >= 0x80:
        raise ValueError("not one DER sequence")
    r, position = _read_integer(der, 2)
    s, position = _read_integer(der, position)
    if position != len(der):
        raise ValueError("bytes after the second integer")
    return r, s


def _read_integer(der: bytes, start: int) -> Tuple[int, int]:
    if start + 2 > len(der) or der[start] != 0x02:
        raise ValueError("not a DER integer")
    first, end = start + 2, start + 2 + der[start + 1]
    if not 1 <= der[start + 1] <= 33 or end > len(der):
        raise ValueError("length of a DER integer")
    value = der[first:end]
    is_negative = value[0] >= 0x80
    is_padded = len(value) > 1 and value[0] == 0 and value[1] < 0x80
    if is_negative or is_padded:
        raise ValueError("a DER integer that is negative or not in its shortest form")
    return int.from_bytes(value, "big"), end


def _double(point: _Point) -> _Point:
    x, y, z = point
    if z == 0 or y == 0:
        return _INFINITY
    delta, gamma = z * z % P, y * y % P
    beta = x * gamma % P
    alpha = 3 * (x - delta) * (x + delta) % P  # uses a = -3
    x3 = (alpha * alpha - 8 * beta) % P
    y3 = (alpha * (4 * beta - x3) - 8 * gamma * gamma) % P
    z3 = ((y + z) ** 2 - gamma - delta) % P
    return x3, y3, z3


def _add(left: _Point, right: _Point) -> _Point:
    x1, y1, z1 = left
    x2, y2, z2 = right
    if z1 == 0:
        return right
    if z2 == 0:
        return left
    z1z1, z2z2 = z1 * z1 % P, z2 * z2 % P
    u1, u2 = x1 * z2z2 % P, x2 * z1z1 % P
    s1, s2 = y1 * z2 * z2z2 % P, y2 * z1 * z1z1 % P
    if u1 == u2:
        return _double(left) if s1 == s2 else _INFINITY
    h, r = u2 - u1, s2 - s1
    hh = h * h % P
    hhh, v = h * hh % P, u1 * hh % P
    x3 = (r * r - hhh - 2 * v) % P
    y3 = (r * (v - x3) - s1 * hhh) % P
    return x3, y3, h * z1 * z2 % P


def _sum_of_products(u: int, v: int, q: _Point) -> _Point:
    """The point u * G + v * Q, both walked at once (Shamir's trick): half the doublings."""
    g: _Point = (GX, GY, 1)
    addend = (_INFINITY, g, q, _add(g, q))
    total = _INFINITY
    for bit in range(255, -1, -1):
        total = _double(total)
        choice = (u >> bit & 1) | (v >> bit & 1) << 1
        if choice:
            total = _add(total, addend[choice])
    return total
