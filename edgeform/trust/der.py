"""The one ASN.1 structure edgeform writes: EncryptedPrivateKeyInfo with PBES2, scrypt, AES-256-CBC.

Source: RFC 5958 section 3, RFC 8018 appendix A.4, RFC 7914 section 7.
"""

import base64
import textwrap

_PBES2 = bytes.fromhex("06092a864886f70d01050d")
_SCRYPT = bytes.fromhex("06092b06010401da47040b")
_AES_256_CBC = bytes.fromhex("060960864801650304012a")


def encrypted_pkcs8_pem(
    cipher_text: bytes, *, salt: bytes, n: int, r: int, p: int, vector: bytes
) -> bytes:
    """The PEM block "ENCRYPTED PRIVATE KEY" around a PKCS#8 key that is already encrypted."""
    scrypt = _sequence(_SCRYPT, _sequence(_octets(salt), _integer(n), _integer(r), _integer(p)))
    cipher = _sequence(_AES_256_CBC, _octets(vector))
    whole = _sequence(_sequence(_PBES2, _sequence(scrypt, cipher)), _octets(cipher_text))
    lines = textwrap.wrap(base64.b64encode(whole).decode("ascii"), 64)
    text = "\n".join(
        ("-----BEGIN ENCRYPTED PRIVATE KEY-----", *lines, "-----END ENCRYPTED PRIVATE KEY-----", "")
    )
    return text.encode("ascii")


def _sequence(*parts: bytes) -> bytes:
    return _tagged(0x30, b"".join(parts))


def _octets(content: bytes) -> bytes:
    return _tagged(0x04, content)


def _integer(value: int) -> bytes:
    return _tagged(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _tagged(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content
