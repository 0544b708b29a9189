"""Where a passphrase comes from: an environment variable, or a file that only its owner may read.

`EDGEFORM_TRUST_PASSPHRASE` for signing keys, `EDGEFORM_SECRETS_PASSPHRASE` for the secrets file; each
also with `_FILE`. Never an option of a command: `ps` shows those to everybody.
"""

import os
import stat
from collections.abc import Mapping

from edgeform.errors import NotTrusted, UsageError
from edgeform.secrets.value import SecretValue

TRUST_VARIABLE = "EDGEFORM_TRUST_PASSPHRASE"
SECRETS_VARIABLE = "EDGEFORM_SECRETS_PASSPHRASE"
FILE_SUFFIX = "_FILE"
MAX_BYTES = 4096


def read_passphrase(variable: str, environ: Mapping[str, str]) -> SecretValue:
    """The passphrase in `variable`, or in the file that `variable`_FILE names.

    Raises:
        UsageError: neither is set, or the file is empty or cannot be read.
        NotTrusted: the file belongs to somebody else, or others may read it.
    """
    if environ.get(variable):
        return SecretValue(os.fsencode(environ[variable]))
    file = environ.get(variable + FILE_SUFFIX)
    if not file:
        raise UsageError(
            f"No passphrase is given: {variable} is not set.",
            hint="Put it into a file that only you may read, and name the file:\n"
            f"    export {variable}{FILE_SUFFIX}=~/.config/edgeform/passphrase",
        )
    return _read_private_file(os.path.expanduser(file))  # noqa: PTH111 - a str from the environment


def _read_private_file(file: str) -> SecretValue:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as exc:
        raise UsageError(
            f"The passphrase file cannot be read: {exc.strerror}.", address=file
        ) from exc
    with os.fdopen(descriptor, "rb") as stream:
        # fstat of what was opened: a check by name could be answered by another file.
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise UsageError("The passphrase file is not a plain file.", address=file)
        mode = stat.S_IMODE(status.st_mode)
        if mode & 0o077 or status.st_uid != os.geteuid():
            raise NotTrusted(
                f"Others may read this passphrase file (mode {mode:04o}, owner {status.st_uid}).",
                address=file,
                hint=f"Change the passphrase if they could have; then:\n    chmod 600 {file}",
            )
        passphrase = SecretValue(stream.read(MAX_BYTES + 1).rstrip(b"\r\n"))
    if not 0 < len(passphrase.reveal()) <= MAX_BYTES:
        raise UsageError(
            f"The passphrase file is empty or longer than {MAX_BYTES} bytes.", address=file
        )
    return passphrase
