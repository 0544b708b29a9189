"""Who a certificate in an OMS bundle names, when a private authority says so: no network, no public roots.

Keyless (sigstore) bundles are refused: their certificates live ten minutes, and only the transparency log's
proof, with roots that move, says that the signature was made in time.
"""

import base64
from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from edgeform.errors import NotTrusted

MAX_CHAIN = 8
Refuse = Callable[..., NotTrusted]


def key_of(
    material: dict[str, Any], identity: str, authority: bytes, now: datetime, refuse: Refuse
) -> ec.EllipticCurvePublicKey:
    """The key that the authority says belongs to the identity.

    Raises:
        NotTrusted: as `refuse` makes it: no chain to the authority, expired, or for somebody else.
    """
    if "certificate" in material or material.get("tlogEntries"):
        raise refuse(
            "It was signed without a key (sigstore), which cannot be verified offline.",
            hint="Verify it where there is a network, then sign it with a key of your own:\n"
            "    model_signing verify sigstore MODEL --signature FILE --identity WHO --identity-provider URL",
        )
    try:
        raw = material["x509CertificateChain"]["certificates"]
        chain = [x509.load_der_x509_certificate(base64.b64decode(c["rawBytes"])) for c in raw]
        roots = x509.load_pem_x509_certificates(authority)
    except (KeyError, TypeError, ValueError) as exc:
        raise refuse(
            "It holds no chain of certificates, or the authority's file is no PEM.",
            hint="A signature made with a key is verified with --oms-key.",
        ) from exc
    if not 0 < len(chain) <= MAX_CHAIN:
        raise refuse(f"Its chain has {len(chain)} certificates.")
    try:
        _check_chain(chain, roots, now, refuse)
        _check_leaf(chain[0], identity, refuse)
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError) as exc:
        raise refuse(f"Its certificates cannot be judged: {exc}") from exc
    key = chain[0].public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise refuse("The certificate's key is not EC.")
    return key


def _check_chain(
    chain: list[x509.Certificate], roots: list[x509.Certificate], now: datetime, refuse: Refuse
) -> None:
    known = [c for c in chain[1:] if c not in roots]
    path = [chain[0], *known]
    anchor = next((r for r in roots if _issued(path[-1], r)), None)
    if anchor is None:
        raise refuse("Its chain does not end at the given authority.")
    for number, (below, above) in enumerate(pairwise((*path, anchor))):
        if not _issued(below, above):
            raise refuse("A certificate of its chain was not issued by the next one.")
        constraints = above.extensions.get_extension_for_class(x509.BasicConstraints).value
        allowed = constraints.path_length
        if not constraints.ca or (allowed is not None and allowed < number):
            raise refuse("A certificate of its chain may not issue others.")
        usage = above.extensions.get_extension_for_class(x509.KeyUsage).value
        if not usage.key_cert_sign:
            raise refuse("A certificate of its chain may not issue others.")
    for certificate in (*path, anchor):
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            # Nothing signed says when the signature was made, so it counts only while they are valid.
            raise refuse(
                "A certificate of its chain is not valid now (it was until"
                f" {certificate.not_valid_after_utc:%Y-%m-%d}).",
                hint="Have the model signed again.",
            )


def _check_leaf(leaf: x509.Certificate, identity: str, refuse: Refuse) -> None:
    purposes = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    if ExtendedKeyUsageOID.CODE_SIGNING not in purposes:
        raise refuse("Its certificate is not for signing code.")
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    known = (
        *names.get_values_for_type(x509.RFC822Name),
        *names.get_values_for_type(x509.UniformResourceIdentifier),
    )
    if identity not in known:
        raise refuse(f"It was signed by {', '.join(known)[:200] or 'nobody that has a name'}.")


def _issued(below: x509.Certificate, above: x509.Certificate) -> bool:
    try:
        below.verify_directly_issued_by(above)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True
