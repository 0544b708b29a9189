"""Who may read: names a browser may call this server by, and the token where others could reach it. Pure.

A page on somebody else's site can make a browser ask any address, and after its own name was pointed at this
machine (DNS rebinding) also read the answer. Such a request carries that name in `Host`, so names that nobody
allowed are refused; an address in digits cannot be pointed elsewhere.
"""

import hashlib
import hmac
import ipaddress
from dataclasses import dataclass, field

from edgeform.errors import UsageError

SHORTEST_TOKEN = 16
COOKIE = "edgeform"


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach it."""
    if address == "localhost":
        return True
    literal = _literal(address)
    return literal is not None and literal.is_loopback


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """What a request must show.

    Args:
        names: host names it may be called by beside `localhost` and addresses in digits; lower case.
        token: secret; empty where none is asked for.
    """

    names: frozenset[str] = frozenset()
    token: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if self.token and len(self.token) < SHORTEST_TOKEN:
            raise UsageError(
                f"The token has {len(self.token)} characters, fewer than {SHORTEST_TOKEN}.",
                hint="Make one nobody guesses:\n    openssl rand -hex 24",
            )

    def knows_host(self, header: str) -> bool:
        """Whether a `Host` header names this server; the port is the reader's own affair (forwarding)."""
        host = header.strip().lower()
        if host.startswith("["):
            inside, mark, port = host[1:].partition("]")
            return bool(mark) and _is_port(port) and _literal(inside) is not None
        name, colon, port = host.partition(":")
        if not _is_port(colon + port):
            return False
        return name == "localhost" or name in self.names or _literal(name) is not None

    def takes_token(self, offered: str) -> bool:
        """Whether it is the token; takes the same time whatever is wrong with it."""
        return hmac.compare_digest(_hashed(offered), _hashed(self.token))

    def takes_cookie(self, offered: str) -> bool:
        return hmac.compare_digest(_hashed(offered), _hashed(self.cookie))

    @property
    def cookie(self) -> str:
        """What a browser keeps instead of the token; it leads to the pages, not back to the token."""
        return hmac.new(self.token.encode(), b"edgeform serve cookie 1", hashlib.sha256).hexdigest()


def _hashed(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()


def _is_port(text: str) -> bool:
    return not text or (text[0] == ":" and text[1:].isascii() and text[1:].isdigit())


def _literal(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
