"""The generations a device keeps, as the device tells them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgeform.apply.device import DeviceClient, Refusal, shown
from edgeform.domain.observed import Unreachability
from edgeform.transport.base import DeviceUnreachable
from edgeform_wire import canonical, generation
from edgeform_wire.errors import WireError
from edgeform_wire.generation import Generation

STATES = ("current", "committed", "kept", "failed", "damaged")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptGeneration:
    """One generation on a device.

    Args:
        returnable: it was committed before the present one, so the device may go back to it.
        manifest: None where the device cannot read it any more.
    """

    number: int
    state: str
    manifest: Generation | None
    returnable: bool
    deployment: int
    road: str
    wall_time: str

    @property
    def digest(self) -> str:
        return "" if self.manifest is None else self.manifest.digest


def kept_generations(client: DeviceClient) -> tuple[KeptGeneration, ...] | Refusal:
    """What the device keeps, ascending.

    Raises:
        DeviceUnreachable: no answer, or not of the agreed form.
    """
    answer = client.ask("generations")
    if isinstance(answer, Refusal):
        return answer
    try:
        return tuple(_kept(item) for item in answer["generations"])
    except (WireError, KeyError, TypeError, ValueError, AttributeError) as exc:
        raise DeviceUnreachable(
            client.name,
            Unreachability.PROTOCOL,
            f"Its list of generations is not of the agreed form: {shown(str(exc))[:300]}",
        ) from exc


def _kept(item: Mapping[str, Any]) -> KeptGeneration:
    state, origin = item["state"], item["origin"]
    if state not in STATES:
        raise ValueError(f"state {state!r:.40}")
    manifest = None
    if item["manifest"] is not None:
        manifest = generation.decode(canonical.encode(item["manifest"]))
        if manifest.digest != item["digest"]:
            raise ValueError(f"generation {item['number']!r:.20} is not what its digest says")
    return KeptGeneration(
        number=int(item["number"]),
        state=state,
        manifest=manifest,
        returnable=item["returnable"] is True,
        deployment=int(origin.get("deployment", 0)),
        road=shown(str(origin.get("road", ""))),
        wall_time=shown(str(item["wall_time"])),
    )
