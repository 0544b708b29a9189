"""Secret references as text: `env/NAME`, `file/secrets.json#wifi_psk`.

They stand in the spec and go everywhere; a value never does.
"""

import re

from edgeform.domain.site import SecretRef
from edgeform.errors import UsageError

PROVIDERS = ("env", "file")
KEY_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}"
_KEY = re.compile(KEY_PATTERN + r"\Z")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}\Z")
_PATH = re.compile(r"[A-Za-z0-9._+/-]{1,255}\Z")


def is_key(text: str) -> bool:
    """Whether the text may name a secret inside a file."""
    return _KEY.match(text) is not None


def parse_reference(text: str) -> SecretRef:
    """The reference that the text names.

    Raises:
        UsageError: not `env/NAME` or `file/path#key`.
    """
    provider, _, rest = text.partition("/")
    path, mark, key = rest.partition("#")
    if provider == "env" and not mark and _VARIABLE.match(path):
        return SecretRef(provider="env", path=path)
    if provider == "file" and is_key(key) and _is_inside(path):
        return SecretRef(provider="file", path=path, key=key)
    known = ", ".join(PROVIDERS)
    raise UsageError(
        f"{text!r:.200} is no secret reference.",
        hint="Write one of these (paths are relative to the site's folder):\n"
        f"    secret: env/NAME\n    secret: file/secrets.json#key\nProviders: {known}",
    )


def _is_inside(path: str) -> bool:
    """Relative and without `..`: a spec may come from somebody else than the passphrase."""
    segments = path.split("/")
    return _PATH.match(path) is not None and not {"", ".", ".."} & set(segments)
