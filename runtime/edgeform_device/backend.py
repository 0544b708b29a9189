"""Whoever runs pipelines on this device: systemd, or our own supervisor."""

from typing import TYPE_CHECKING

from edgeform_device.identity import Identity
from edgeform_device.session import Session
from edgeform_device.toolfile import tool_command

if TYPE_CHECKING:
    # The transaction's protocols and their values: a question has no use for them.
    from edgeform_device.ports import Services


def services_of(session: Session, who: Identity) -> "Services":
    """The backend that the device was enrolled with."""
    tool = tool_command(session.layout)
    if who.services == "systemd":
        from edgeform_device.systemd import SystemdServices  # noqa: PLC0415 - one of the two

        return SystemdServices(session.disk, session.layout, tool, who.user)
    from edgeform_device.boottime import BootClock  # noqa: PLC0415
    from edgeform_device.supervisor import SupervisorServices  # noqa: PLC0415

    return SupervisorServices(session.disk, session.layout, BootClock(who.root), tool)
