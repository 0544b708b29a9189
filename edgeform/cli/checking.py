"""The question of `check`: what the device's own tool says of what is running now."""

from collections.abc import Callable

from edgeform.apply.device import DeviceClient, Refusal, shown
from edgeform.domain.observed import Unreachability
from edgeform.domain.site import Device
from edgeform.transport.base import DeviceUnreachable
from edgeform_wire.receipt import CheckResult

TIMEOUT_S = 300.0


def ask_checks(
    pipeline: str | None = None,
) -> Callable[[Device, DeviceClient], tuple[CheckResult, ...] | Refusal]:
    """A question for `ask_each`: every check of one pipeline, or of all."""

    def ask(_device: Device, client: DeviceClient) -> tuple[CheckResult, ...] | Refusal:
        options = ("--pipeline", pipeline) if pipeline else ()
        answer = client.ask("check", *options, timeout_s=TIMEOUT_S)
        if isinstance(answer, Refusal):
            return answer
        try:
            return tuple(
                CheckResult(
                    name=shown(str(c["name"])),
                    pipeline=shown(str(c["pipeline"])),
                    verdict=shown(str(c["verdict"])),
                    detail=shown(str(c["detail"])),
                    measured=dict(c["measured"]),
                )
                for c in answer["checks"]
            )
        except (KeyError, TypeError, ValueError) as exc:
            raise DeviceUnreachable(
                client.name,
                Unreachability.PROTOCOL,
                f"Its checks are not of the agreed form: {exc!r:.200}",
            ) from exc

    return ask
