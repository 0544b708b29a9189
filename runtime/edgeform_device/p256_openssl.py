"""A second opinion on signatures: the device's own `openssl`, where it has one.

Two verifiers written by different people must agree before a signature counts. They can only
disagree if one is broken, so a disagreement is a refusal and never a vote.
"""

import os
import shutil
import subprocess
import tempfile
from typing import IO, Optional

from edgeform_device import p256
from edgeform_device.errors import NotTrusted

TIMEOUT_S = 20.0
# openssl 3 and 1.1 for a well-formed signature that is wrong, and for a malformed one.
_SAYS_BAD = (b"Verification failure", b"Verification Failure", b"Error verifying data")

# A signature made once with a key that was then thrown away: what a working openssl must accept.
_PROBE_MESSAGE = b"edgeform openssl probe"
_PROBE_PEM = """-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEOiYe6++H59UcaLGejd4D7XRwPhvb
qA7Wo14qaTaJXqGTtbDa+GW7gKdNhSU2evnTOHGLVov8w5q8/KM5XWWAhA==
-----END PUBLIC KEY-----
"""
_PROBE_SIGNATURE = bytes.fromhex(
    "304502200b5583d3e0fec10242e3fc58a17ddc797a0d68e3ab56a45e28d7817d9c61e2a9"
    "02210090cbf1cc3fae7a0d0853eb41fab5ddc652b861dedcd6c42e4e4b2ec8ac0046ec"
)


def find_openssl(path: Optional[str] = None) -> Optional[p256.Verify]:
    """Verification by the `openssl` executable, or None where there is none that works.

    "Works" is proven, not assumed: it must accept one known signature and refuse its message changed.
    """
    executable = shutil.which(path or "openssl")
    if executable is None:
        return None
    verify = openssl_verify(executable)
    probe = p256.load_public_key(_PROBE_PEM)
    try:
        is_working = verify(probe, _PROBE_SIGNATURE, _PROBE_MESSAGE) and not verify(
            probe, _PROBE_SIGNATURE, _PROBE_MESSAGE + b"."
        )
    except NotTrusted:
        return None
    return verify if is_working else None


def openssl_verify(executable: str) -> p256.Verify:
    """`openssl dgst -sha256 -verify` as a function; key and signature never touch the disk."""

    def verify(key: p256.PublicKey, signature: bytes, message: bytes) -> bool:
        if not signature:
            return False  # openssl reports an empty signature file as one it cannot read
        with _readable(key.pem.encode("ascii")) as pem, _readable(signature) as sig:
            fds = (pem.fileno(), sig.fileno())
            command = (
                executable,
                "dgst",
                "-sha256",
                "-verify",
                f"/dev/fd/{fds[0]}",
                "-signature",
                f"/dev/fd/{fds[1]}",
            )
            try:
                done = subprocess.run(
                    command,
                    input=message,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    timeout=TIMEOUT_S,
                    pass_fds=fds,
                    check=False,
                )
            except (OSError, subprocess.SubprocessError) as exc:
                raise _no_answer(executable, str(exc)) from exc
        if done.returncode == 0 and b"Verified OK" in done.stdout:
            return True
        if done.returncode == 1 and any(words in done.stdout for words in _SAYS_BAD):
            return False
        raise _no_answer(executable, ascii(done.stdout[-200:].decode("utf-8", "replace")))

    return verify


def cross_checked(first: p256.Verify, second: Optional[p256.Verify]) -> p256.Verify:
    """A verifier that answers only what both say; without a second one, the first alone."""
    if second is None:
        return first

    def verify(key: p256.PublicKey, signature: bytes, message: bytes) -> bool:
        mine, theirs = first(key, signature, message), second(key, signature, message)
        if mine != theirs:
            raise NotTrusted(
                "Two verifiers disagree about one signature: edgeform says "
                f"{_verdict(mine)}, openssl says {_verdict(theirs)}.",
                detail="One of them is broken, so nothing that this signature covers can be trusted. "
                "Nothing was changed.",
                hint="Check the device's openssl and the device tool:\n"
                "    openssl version\n"
                "    edgeform-device selftest",
            )
        return mine

    return verify


def system_verify() -> p256.Verify:
    """What a device uses: edgeform's own verifier, cross-checked with openssl where it works."""
    return cross_checked(p256.verify, find_openssl())


def _readable(content: bytes) -> IO[bytes]:
    """An open file with these bytes that has no name; in memory on Linux, so a full disk is no matter."""
    if hasattr(os, "memfd_create"):
        stream: IO[bytes] = os.fdopen(os.memfd_create("edgeform-verify"), "w+b")
    else:
        stream = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    stream.write(content)
    stream.flush()
    stream.seek(0)
    return stream


def _verdict(is_good: bool) -> str:  # noqa: FBT001 - the verdict is the argument
    return "good" if is_good else "bad"


def _no_answer(executable: str, why: str) -> NotTrusted:
    return NotTrusted(
        f"{executable} gave no verdict on a signature: {why}.",
        detail="Where openssl is present both verifiers must agree, so silence is a refusal. "
        "Nothing was changed.",
        hint="Try again; if it stays, see what openssl says:\n    openssl version",
    )
