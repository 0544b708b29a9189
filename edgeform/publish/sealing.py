"""Secrets for devices that nobody reaches: sealed to each one's pinned key, and signed beside its deployment.

Sealing gives other bytes each time, so what is published stands as long as key and values are the same.
"""

from collections.abc import Callable, Iterable, Iterator

from edgeform import events
from edgeform.domain.site import SecretRef, Site
from edgeform.errors import Corrupt
from edgeform.plan import Resolution
from edgeform.secrets.sealing import seal
from edgeform.secrets.value import SecretValue
from edgeform_wire import sealed
from edgeform_wire.deployment import Deployment
from edgeform_wire.errors import WireError
from edgeform_wire.sealed import Sealed, SealedSecret

OFFLINE = "offline"


class Sealing:
    """What sealing needs from outside: pinned keys (PEM), and values at the moment they are sealed."""

    def __init__(
        self,
        key_of: Callable[[str], str | None],
        resolve: Callable[[SecretRef], SecretValue],
        listener: events.Listener,
    ) -> None:
        self._key_of = key_of
        self._resolve = resolve
        self._listener = listener

    def sealed(
        self,
        deployments: Iterable[Deployment],
        site: Site,
        resolution: Resolution,
        standing: Callable[[str], bytes | None],
    ) -> Iterator[Sealed]:
        """The documents to sign, of devices in `mode: offline` whose deployments ask for secrets.

        Args:
            standing: the published bytes of a target.

        Raises:
            SecretMissing, SecretFileDamaged: a value cannot be had. OutsideFailed: openssl cannot seal.
        """
        wanted = {d.device: dict(d.secrets) for d in resolution.desired}
        for each in deployments:
            device = site.device(each.device)
            if device is None or device.connect.mode != OFFLINE or not each.generation.secrets:
                continue
            key = self._key_of(each.device)
            if key is None:
                self._tell(each)
                continue
            before = _decoded(standing(sealed.target_path(each.site, each.device)))
            if before is not None and _holds(before, each, key):
                continue
            references = wanted[each.device]
            yield Sealed(
                site=each.site,
                device=each.device,
                key=sealed.key_digest(key),
                secrets=tuple(
                    SealedSecret(s.name, s.hmac, seal(self._resolve(references[s.name]), key))
                    for s in each.generation.secrets
                ),
            )

    def _tell(self, deployment: Deployment) -> None:
        names = ", ".join(s.name for s in deployment.generation.secrets)
        text = (
            f"no key of it is pinned, so its secrets cannot be sealed ({names}); it will refuse this"
            " deployment until they are there: bring its key home first (`bundle ingest --accept-key`),"
            " then publish again"
        )
        self._listener(events.Note(device=deployment.device, text=text))


def _holds(before: Sealed, wanted: Deployment, key: str) -> bool:
    asked = {(s.name, s.hmac) for s in wanted.generation.secrets}
    return (
        before.key == sealed.key_digest(key) and {(s.name, s.hmac) for s in before.secrets} == asked
    )


def _decoded(document: bytes | None) -> Sealed | None:
    if document is None:
        return None
    try:
        return sealed.decode(document)
    except WireError as exc:
        raise Corrupt(f"The published secrets are unreadable: {exc}") from exc
