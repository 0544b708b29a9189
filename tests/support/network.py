"""Faults in the network between this host and lab devices.

All traffic between host and devices is forwarded by the lab's own namespace, so faults are put there: the
host's rules are not touched, and everything goes when the lab goes.

    with faulty(lab.network, device, CutAfter(size_bytes=300_000)):
        ...                                          # the connection goes silent at that byte
    with slow_line(lab.network) as line:
        line.set(delay_ms=100, loss_percent=1)       # all devices of the lab, over one line
"""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import support.wire as wire_program
from support.wire import Properties

from edgeform.lab.device import LabDevice
from edgeform.lab.execution import Command, run, run_all
from edgeform.lab.network import BRIDGE, UPLINK, LabNetwork, in_namespace


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """So many packets of a hundred are lost, each way."""

    percent: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """Nothing passes, and nobody is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    """Every TCP connection, new or old, is reset on both sides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CutAfter:
    """After so many bytes to the device (headers included) nothing passes any more.

    Attributes:
        told: whether both sides are told, by a reset, or wait for each other in vain.
    """

    size_bytes: int
    told: bool = False


Fault = Loss | Partition | Reset | CutAfter


def table_of(host: str) -> str:
    return f"fault_{host.replace('.', '_')}"


def ruleset(host: str, fault: Fault) -> str:
    """The nft script that puts the fault on the way to one device."""
    to, back = f"ip daddr {host}", f"ip saddr {host}"
    reset = "reject with tcp reset"
    match fault:
        case Loss(percent=percent):
            lost = f"numgen random mod 1000 < {round(percent * 10)} drop"
            rules = (f"{to} {lost}", f"{back} {lost}")
        case Partition():
            rules = (f"{to} drop", f"{back} drop")
        case Reset():
            rules = (f"{to} meta l4proto tcp {reset}", f"{back} meta l4proto tcp {reset}")
        case CutAfter(size_bytes=size, told=True):
            rules = (f"{to} meta l4proto tcp quota over {size} bytes {reset}",)
        case CutAfter(size_bytes=size):
            rules = (f"{to} quota over {size} bytes drop",)
    lines = "\n    ".join(rules)
    return (
        f"table inet {table_of(host)} {{\n  chain forward {{\n"
        f"    type filter hook forward priority 0;\n    {lines}\n  }}\n}}\n"
    )


@contextlib.contextmanager
def faulty(network: LabNetwork, device: LabDevice, fault: Fault) -> Iterator[None]:
    """The fault holds inside the block and is healed after it."""
    run(in_namespace(network, ("nft", "-f", "-")), stdin=ruleset(device.host, fault).encode())
    try:
        yield
    finally:
        run(in_namespace(network, ("nft", "delete", "table", "inet", table_of(device.host))))


def rate_commands(network: LabNetwork, rate_kbit: int) -> tuple[Command, ...]:
    """Limits what goes to the devices, and what comes from them, each to this rate together."""
    limit = ("tbf", "rate", f"{rate_kbit}kbit", "burst", "32k", "latency", "400ms")
    return tuple(
        ("tc", "-n", network.namespace, "qdisc", "add", "dev", interface, "root", *limit)
        for interface in (BRIDGE, UPLINK)
    )


@contextlib.contextmanager
def limited_rate(network: LabNetwork, rate_kbit: int) -> Iterator[None]:
    """The lab's uplink carries this much inside the block."""
    try:
        run_all(rate_commands(network, rate_kbit))
        yield
    finally:
        for interface in (BRIDGE, UPLINK):
            run(("tc", "-n", network.namespace, "qdisc", "delete", "dev", interface, "root"))


class Line:
    """The wire in use."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def set(self, **properties: float) -> None:
        """Replace the wire's properties (see wire.Properties); those not named are none."""
        wanted = json.dumps(asdict(Properties(**properties)))
        self._process.stdin.write(f"{wanted}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if answer != "set\n":
            raise RuntimeError(f"The wire answered {answer!r}.")


def line_addresses(network: LabNetwork) -> tuple[str, str]:
    """Of the host and of the lab's namespace, on the wire."""
    return f"10.79.{network.subnet}.1", f"10.79.{network.subnet}.2"


@contextlib.contextmanager
def slow_line(network: LabNetwork, *, seed: int = 1) -> Iterator[Line]:
    """The way between host and all devices leads over a wire inside the block.

    Connections from before go on over the direct way for what they receive, and are not affected.
    """
    here, there = line_addresses(network)
    local, remote = f"efwire{network.subnet}", "wire0"
    program = (sys.executable, str(Path(wire_program.__file__)))
    command = (*program, local, network.namespace_path, remote, str(seed))
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            if process.stdout.readline() != "ready\n":
                raise RuntimeError("The wire did not start.")
            run_all(
                (
                    ("ip", "addr", "add", f"{here}/30", "dev", local),
                    ("ip", "link", "set", local, "up"),
                    ("ip", "-n", network.namespace, "addr", "add", f"{there}/30", "dev", remote),
                    ("ip", "-n", network.namespace, "link", "set", remote, "up"),
                    ("ip", "route", "replace", network.devices, "via", there),
                )
            )
            try:
                yield Line(process)
            finally:
                run(("ip", "route", "replace", network.devices, "via", network.router_address))
        finally:
            process.kill()
