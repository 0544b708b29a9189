"""The site's HMAC key where there is no encrypted secrets file to hold it.

It stays on one machine. Two controllers with different keys see every secret as changed; teams keep
an encrypted secrets file in Git, which brings the key along.
"""

import os
import secrets
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from edgeform.errors import NotTrusted
from edgeform.secrets.value import SecretValue

KEY_BYTES = 32


def local_site_key(file: Path, random: Callable[[int], bytes] = secrets.token_bytes) -> SecretValue:
    """The key in this file of mode 0600; made at the first call.

    Raises:
        NotTrusted: others may read the file, or it is not such a key.
    """
    if not file.exists():
        _create(file, SecretValue(random(KEY_BYTES)))
    with file.open("rb") as stream:
        mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
        key = SecretValue(stream.read(KEY_BYTES + 1))
    if mode & 0o077 or len(key.reveal()) != KEY_BYTES:
        raise NotTrusted(
            f"Not a private key file of {KEY_BYTES} bytes (mode {mode:04o}).",
            address=str(file),
            hint=f"Remove it; the next plan then shows every secret as changed:\n    rm {file}",
        )
    return key


def _create(file: Path, key: SecretValue) -> None:
    """Write beside and link: of two that start at once, both end up with the same key."""
    file.parent.mkdir(parents=True, exist_ok=True)
    tmp = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    descriptor = os.open(tmp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(key.reveal())
            stream.flush()
            os.fsync(stream.fileno())
        with suppress(FileExistsError):
            os.link(tmp, file)
    finally:
        tmp.unlink()
