"""Logins of registries: references of the site, resolved when a request is made and never kept as text."""

import base64
from collections.abc import Callable, Mapping
from typing import Protocol

from edgeform.domain.registries import BasicLogin, Login, TokenLogin
from edgeform.domain.site import SecretRef


class Secret(Protocol):
    """A value that shows itself to nobody but whoever asks for it by this name."""

    def reveal(self) -> bytes: ...


Resolve = Callable[[SecretRef], Secret]


def header_of(login: Login | None, resolve: Resolve) -> Callable[[], Mapping[str, str]]:
    """What gives the Authorization header of a login."""

    def header() -> Mapping[str, str]:
        match login:
            case None:
                return {}
            case BasicLogin():
                return {"Authorization": basic(login, resolve)}
            case TokenLogin(token=token):
                return {"Authorization": f"Bearer {text_of(resolve(token))}"}

    return header


def basic(login: BasicLogin, resolve: Resolve) -> str:
    """HTTP Basic of a user and a password."""
    both = login.user.encode() + b":" + resolve(login.password).reveal()
    return f"Basic {base64.b64encode(both).decode()}"


def text_of(value: Secret) -> str:
    """A secret as a header may hold it."""
    return value.reveal().decode("latin-1").strip()


def hint_of(name: str, login: Login | None) -> str:
    """What to do about a refused login, by the names of references alone."""
    match login:
        case None:
            return f"Registry {name!r} has no login in the Site: set `user` and `password`, or `token`."
        case BasicLogin(user=user, password=password):
            return f"Check user {user!r} and the secret {password} of registry {name!r}."
        case TokenLogin(token=token):
            return f"Check the secret {token} of registry {name!r}: expired, or without the right to read?"
