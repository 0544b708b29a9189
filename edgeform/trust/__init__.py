"""Trust on the controller: keys, roles, and the TUF repository that devices obey.

The verbs `trust init|keygen|sign|verify|show` and `publish` are these functions; each answers values.
"""

from edgeform.trust.create import (
    REPOSITORY_FOLDER,
    Trust,
    add_site,
    init_development,
    init_production,
    open_trust,
)
from edgeform.trust.keyring import KeyRing, load_keyring
from edgeform.trust.keys import PublicKey, generate_key, public_key_from_pem
from edgeform.trust.publication import Published, Signing, publish, sign, signings
from edgeform.trust.repository import NewTarget, Repository
from edgeform.trust.roles import Layout, Role, development_layout, production_layout
from edgeform.trust.show import RoleShown, TrustShown, show
from edgeform.trust.verify import Evidence, Verified, translated, verify

__all__ = [
    "REPOSITORY_FOLDER",
    "Evidence",
    "KeyRing",
    "Layout",
    "NewTarget",
    "PublicKey",
    "Published",
    "Repository",
    "Role",
    "RoleShown",
    "Signing",
    "Trust",
    "TrustShown",
    "Verified",
    "add_site",
    "development_layout",
    "generate_key",
    "init_development",
    "init_production",
    "load_keyring",
    "open_trust",
    "production_layout",
    "public_key_from_pem",
    "publish",
    "show",
    "sign",
    "signings",
    "translated",
    "verify",
]
