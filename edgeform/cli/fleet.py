"""Many devices at once, for every verb that looks at them or asks them something."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from edgeform import events
from edgeform.domain.observed import Observation, Unobserved
from edgeform.domain.site import Device, SecretRef
from edgeform.observe.command import observe_command, questions_about
from edgeform.observe.parse import observation
from edgeform.secrets.value import SecretValue
from edgeform.transport.base import DeviceUnreachable, Run, Target, Transport

SESSIONS = 64
"""Devices asked at the same time; each waits for its own network, not for a core."""

T = TypeVar("T")
Resolve = Callable[[SecretRef], SecretValue]


def target_of(device: Device, known_hosts: Path | None, resolve: Resolve) -> Target:
    """What the transport needs to know of a device; a sudo password is resolved here and only here."""
    reference = device.connect.sudo_password
    return Target(
        name=device.name,
        connect=device.connect,
        known_hosts=known_hosts,
        sudo_password=None if reference is None else resolve(reference).reveal().decode(),
    )


def observe(
    transport: Transport,
    devices: Sequence[Device],
    targets: Mapping[str, Target],
    listener: events.Listener,
    *,
    verify: str = "none",
) -> dict[str, Observation]:
    """Every device, each in one round trip; one that cannot be reached is an observation too."""

    def look(device: Device) -> Observation:
        began = time.monotonic()
        argv, stdin = observe_command(
            device.prefix, questions_about(device.hardware.drivers), verify=verify
        )
        try:
            answer = transport.run(
                targets[device.name], Run(argv=argv, stdin=(stdin,), timeout_s=120.0)
            )
            found = observation(device.name, answer.exit_code, answer.stdout, answer.stderr)
        except DeviceUnreachable as exc:
            found = Unobserved(
                device=device.name, reason=exc.reason, detail=exc.detail, hint=exc.hint
            )
        missed = isinstance(found, Unobserved)
        listener(
            events.ObservationDone(
                device=device.name,
                reached=not missed,
                detail=found.detail if isinstance(found, Unobserved) else "",
                seconds=time.monotonic() - began,
            )
        )
        return found

    return dict(zip((d.name for d in devices), side_by_side(look, devices), strict=True))


def side_by_side(function: Callable[[Device], T], devices: Sequence[Device]) -> list[T]:
    """`function` of every device, in the devices' order, many at a time."""
    if not devices:
        return []
    with ThreadPoolExecutor(min(SESSIONS, len(devices))) as pool:
        return list(pool.map(function, devices))
