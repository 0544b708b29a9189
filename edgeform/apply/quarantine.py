"""What a device holds in quarantine, as it tells it, and the request to try one of them again."""

from dataclasses import dataclass

from edgeform.apply.device import DeviceClient, Refusal, shown
from edgeform.domain.observed import Unreachability
from edgeform.transport.base import DeviceUnreachable
from edgeform_wire import canonical
from edgeform_wire import digest as digests
from edgeform_wire.errors import WireError


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldDigest:
    """A digest that failed on a device; `generation` 0 where it is not a generation's."""

    digest: str
    generation: int
    when: str
    reason: str


def held_digests(client: DeviceClient) -> tuple[HeldDigest, ...] | Refusal:
    """What the device holds, in the order of the digests.

    Raises:
        DeviceUnreachable: no answer, or not of the agreed form.
    """
    answer = client.ask("state")
    if isinstance(answer, Refusal):
        return answer
    try:
        return tuple(
            HeldDigest(
                digest=digests.parse(item["digest"]),
                generation=int(item["generation"]),
                when=shown(str(item["when"])),
                reason=shown(str(item["reason"])),
            )
            for item in answer["quarantine"]
        )
    except (WireError, KeyError, TypeError, ValueError) as exc:
        raise DeviceUnreachable(
            client.name,
            Unreachability.PROTOCOL,
            f"Its quarantine is not of the agreed form: {shown(str(exc))[:300]}",
        ) from exc


def release(client: DeviceClient, digest: str, who: str) -> Refusal | None:
    """Have the device forget that this digest failed there; None when it did."""
    request = canonical.encode({"digest": digest, "who": who})
    answer = client.ask("release", stdin=(request,))
    return answer if isinstance(answer, Refusal) else None
