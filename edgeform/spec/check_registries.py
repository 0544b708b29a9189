"""Rules between the keys of a registry: a login is whole, and never crosses a network in the clear."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from edgeform.diagnostics import Diagnostic
from edgeform.spec import codes_site as ef
from edgeform.spec import fields
from edgeform.spec.devices import secret_problem
from edgeform.spec.objects import Object

SECRETS = ("password", "token", "access_key_id", "secret_access_key", "session_token")
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def usable(site: Object) -> Iterator[Diagnostic]:
    """Registries whose login could not work, or would not stay secret."""
    for number, item in enumerate(fields.blocks(site.spec, "registries")):
        if not item.get("kind"):
            continue
        address = f"{site.address}.registries[{number}]"
        for key, detail, hint in _problems(item):
            source = site.place(("spec", "registries", number, key))
            yield ef.REGISTRY_LOGIN.at(source, detail, address=address, hint=hint)
        for key in SECRETS:
            ref = fields.secret(item, key) if isinstance(item.get(key), dict) else None
            problem = secret_problem(ref) if ref is not None else None
            if problem is not None:
                source = site.place(("spec", "registries", number, key, "secret"))
                yield ef.SECRET_PROVIDER.at(source, problem[0], address=address, hint=problem[1])


def _problems(item: fields.Mapping) -> Iterator[tuple[str, str, str]]:
    """(key, what is wrong, what to do)."""
    if "token" in item and "password" in item:
        yield "token", "It has a token and a password.", "Keep one of them."
    for one, other in (
        ("user", "password"),
        ("password", "user"),
        ("access_key_id", "secret_access_key"),
        ("secret_access_key", "access_key_id"),
        ("session_token", "access_key_id"),
    ):
        if one in item and other not in item:
            yield one, f"It has {one!r} and no {other!r}.", f"Set {other!r} beside it."
    for key, proofs in (
        ("url", SECRETS[:2]),
        ("endpoint_url", SECRETS[2:]),
        ("token_url", SECRETS[:2]),
    ):
        url = item.get(key)
        if not isinstance(url, str) or not any(proof in item for proof in proofs):
            continue
        parts = urlsplit(url)
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            detail = "Its login would cross the network in the clear."
            yield key, detail, "Use https; `ca_file` names a private authority."
