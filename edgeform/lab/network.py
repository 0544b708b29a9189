"""The network of a systemd lab, as values and as commands; nothing is run here.

Each lab has a network namespace of its own. Its devices hang on a bridge in it, and the namespace is a
router: the host reaches the devices over one veth pair. Because traffic between host and device is
*forwarded*, faults can be put into the namespace's own forward hook without touching the host's rules.
"""

import hashlib
import ipaddress
from dataclasses import dataclass

from edgeform.lab.execution import Command

BRIDGE = "br0"
UPLINK = "up0"
DEVICES_MAX = 240


@dataclass(frozen=True, slots=True, kw_only=True)
class LabNetwork:
    """Names and addresses of one lab.

    Attributes:
        lab_id: 8 hex digits, from the lab's directory.
        subnet: third byte of the addresses; no two living labs of one host share it.
    """

    lab_id: str
    subnet: int

    @property
    def namespace(self) -> str:
        return f"edgeform-lab-{self.lab_id}"

    @property
    def namespace_path(self) -> str:
        return f"/run/netns/{self.namespace}"

    @property
    def host_interface(self) -> str:
        # Named after the subnet, so that creating it claims the subnet: the kernel refuses a second.
        return f"eflab{self.subnet}"

    @property
    def devices(self) -> str:
        return f"10.77.{self.subnet}.0/24"

    @property
    def gateway(self) -> str:
        return f"10.77.{self.subnet}.1"

    @property
    def host_address(self) -> str:
        """Where devices reach the host (and whatever a test serves there)."""
        return f"10.78.{self.subnet}.1"

    @property
    def router_address(self) -> str:
        return f"10.78.{self.subnet}.2"

    def address(self, index: int) -> str:
        """Of the device with this index, counted from 1."""
        if not 1 <= index <= DEVICES_MAX:
            raise ValueError(index)
        return f"10.77.{self.subnet}.{10 + index}"


def lab_id_of(directory: str) -> str:
    """The id that belongs to a lab's directory, always the same one."""
    return hashlib.sha256(directory.encode()).hexdigest()[:8]


def subnet_candidates(lab_id: str, taken: tuple[str, ...]) -> tuple[int, ...]:
    """Subnets to try, the lab's favourite first, without those that the host already routes.

    Args:
        taken: destinations of the host's routes, as `ip route` prints them.
    """
    occupied = [ipaddress.ip_network(route, strict=False) for route in taken if route != "default"]
    start = int(lab_id, 16) % 256
    order = ((start + step) % 256 for step in range(256))
    return tuple(
        subnet
        for subnet in order
        if not any(
            ipaddress.ip_network(f"10.{second}.{subnet}.0/24").overlaps(network)
            for second in (77, 78)
            for network in occupied
            if network.version == 4
        )
    )


def in_namespace(network: LabNetwork, command: Command) -> Command:
    """The command, run as seen from inside the lab's network."""
    return ("nsenter", f"--net={network.namespace_path}", *command)


def claim_commands(network: LabNetwork) -> tuple[Command, ...]:
    """Claims the subnet; fails where another lab has it."""
    return (
        (
            *("ip", "link", "add", network.host_interface, "type", "veth"),
            *("peer", "name", UPLINK, "netns", network.namespace),
        ),
    )


def build_commands(network: LabNetwork) -> tuple[Command, ...]:
    """Finishes the network after the claim."""
    inside: tuple[Command, ...] = (
        ("link", "set", "lo", "up"),
        ("link", "add", BRIDGE, "type", "bridge", "forward_delay", "0"),
        ("addr", "add", f"{network.gateway}/24", "dev", BRIDGE),
        ("link", "set", BRIDGE, "up"),
        ("addr", "add", f"{network.router_address}/30", "dev", UPLINK),
        ("link", "set", UPLINK, "up"),
    )
    return (
        *(("ip", "-n", network.namespace, *command) for command in inside),
        in_namespace(network, ("sysctl", "-qw", "net.ipv4.ip_forward=1")),
        ("ip", "addr", "add", f"{network.host_address}/30", "dev", network.host_interface),
        ("ip", "link", "set", network.host_interface, "up"),
        ("ip", "route", "add", network.devices, "via", network.router_address),
    )
