"""Addresses of registries: who they name, how they are shown, and where credentials may go. Pure."""

from urllib.parse import urlsplit

from edgeform.errors import NotTrusted
from edgeform.registry.base import RegistryFailed

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def origin_of(url: str) -> tuple[str, str, int]:
    """Scheme, host and port: whoever they name may have the registry's credentials."""
    parts = urlsplit(url)
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
    return parts.scheme, (parts.hostname or "").lower(), port


def check_is_private(url: str) -> None:
    """Nothing, if credentials may be sent to this address.

    Raises:
        NotTrusted: everybody on the way could read them.
    """
    scheme, host, _ = origin_of(url)
    if scheme != "https" and host not in _LOOPBACK:
        raise NotTrusted(
            "A login would cross the network in the clear.",
            address=shown(url),
            hint="Use an https address; `ca_file` names a private authority.",
        )


def shown(url: str) -> str:
    """An address for a message: no user, no query, no fragment."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"[:300]


def check_redirect(url: str, to: str) -> None:
    """Nothing, if an address may lead to the other.

    Raises:
        RegistryFailed: the other is no web address, or leaves https.
    """
    scheme = urlsplit(to).scheme
    if scheme not in ("http", "https") or (urlsplit(url).scheme == "https" and scheme == "http"):
        raise RegistryFailed(
            f"It redirects to {shown(to)!r}, which is not as safe as the address that was asked.",
            address=shown(url),
        )
