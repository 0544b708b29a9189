"""The first tool on a device, and the words by which it learns who it is and whom it obeys."""

import json
from dataclasses import dataclass
from pathlib import Path

from edgeform.apply.device import DeviceClient, Refusal, read_answer, shown
from edgeform.domain.observed import Unreachability
from edgeform.observe.command import install_command
from edgeform.transport.base import DeviceUnreachable, FilePart, Run, Target, Transport
from edgeform_wire import digest as digests
from edgeform_wire.errors import WireError

SLOWEST_LINK_BYTES_S = 8_000
MAX_KEY_CHARACTERS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled:
    """What the device answered.

    Args:
        device_key: its public key as PEM; empty where the device has no means to make one.
        code: what two people compare.
    """

    device_key: str
    root_digest: str
    code: str
    profile: str


def install_tool(
    transport: Transport, target: Target, prefix: str, tool: Path, digest: str
) -> Refusal | None:
    """Put the device tool there, by one command; None when it is in place.

    Raises:
        DeviceUnreachable: no usable answer. It may be asked again.
    """
    size = tool.stat().st_size
    finished = transport.run(
        target,
        Run(
            argv=install_command(prefix, digest),
            stdin=(FilePart(path=tool, offset=0, length=size),),
            timeout_s=120.0 + size / SLOWEST_LINK_BYTES_S,
        ),
    )
    answer = read_answer(target.name, "install", finished)
    return answer if isinstance(answer, Refusal) else None


def enrol(client: DeviceClient, *, site: str, root: str) -> Enrolled | Refusal:
    """Tell the device its name and its root; the same words again change nothing.

    Raises:
        DeviceUnreachable: no usable answer.
    """
    request = {"site": site, "device": client.name, "root": root}
    answer = client.ask("enrol", stdin=(json.dumps(request).encode(),))
    if isinstance(answer, Refusal):
        return answer
    key = answer.get("device_key") or ""
    try:
        if not isinstance(key, str) or len(key) > MAX_KEY_CHARACTERS or not key.isascii():
            raise WireError("its key is no PEM")
        return Enrolled(
            device_key=key,
            root_digest=digests.parse(answer.get("root_digest"), "root_digest"),
            code=shown(str(answer["code"])),
            profile=shown(str(answer.get("profile", ""))),
        )
    except (WireError, KeyError) as exc:
        raise DeviceUnreachable(
            client.name,
            Unreachability.PROTOCOL,
            f"Its answer to enrol is not of the agreed form: {exc}",
        ) from exc
