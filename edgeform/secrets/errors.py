"""Why a secret could not be had. No message ever holds a value."""

from edgeform.errors import NotTrusted, UsageError


class SecretMissing(UsageError):
    """The reference is well-formed, but nothing is there."""

    summary = "Secret missing"


class SecretFileDamaged(NotTrusted):
    """Wrong passphrase, or a file that somebody changed: authenticated encryption cannot tell."""

    summary = "Secret file not opened"
