"""Secrets: references everywhere, values only at apply time.

`parse_reference` reads `env/NAME` and `file/path#key`; `Resolver` gives a `SecretValue`, whose bytes
no log, plan, traceback or pickle can show; `hmac_of` is all that a plan may know about one.
"""

from edgeform.secrets.encrypted_file import SecretsFile
from edgeform.secrets.errors import SecretFileDamaged, SecretMissing
from edgeform.secrets.passphrase import SECRETS_VARIABLE, TRUST_VARIABLE, read_passphrase
from edgeform.secrets.references import parse_reference
from edgeform.secrets.resolver import Resolver
from edgeform.secrets.site_key import local_site_key
from edgeform.secrets.value import SecretValue, hmac_of

__all__ = [
    "SECRETS_VARIABLE",
    "TRUST_VARIABLE",
    "Resolver",
    "SecretFileDamaged",
    "SecretMissing",
    "SecretValue",
    "SecretsFile",
    "hmac_of",
    "local_site_key",
    "parse_reference",
    "read_passphrase",
]
