"""What was seen on a device, when, and what stayed unknown.

An unreachable device is an observation too: never an empty one, never a clean one.
"""

from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceleratorSeen:
    """`state`: ready (driver bound and node present), no-driver, or no-node."""

    kind: str
    bus_id: str
    driver: str
    node: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the probe read; `digest` changes when anything a plan depends on changes."""

    digest: str
    arch: str
    os_id: str
    os_version: str
    kernel: str
    python: str
    glibc: str
    machine: str
    hostname: str
    boot_id: str
    cpus: int
    memory_bytes: int
    disk_free_bytes: int
    disk_total_bytes: int
    has_systemd: bool
    is_root: bool
    clock: str
    wall_time: str
    accelerators: tuple[AcceleratorSeen, ...] = ()
    packages: tuple[tuple[str, str], ...] = ()
    """(name, installed version) of the packages that were asked for."""
    modules: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    sysctl: tuple[tuple[str, str], ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    """(path, digest) of the files that were asked for; an empty digest means absent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineHealth:
    name: str
    state: str
    """active, failed, starting, stopped or unknown."""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftFound:
    """Something on the device is not what its own last confirmed generation says."""

    kind: str
    """file, link, service, package, configuration, provider or golden."""
    path: str
    expected: str
    actual: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledTool:
    version: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingTransaction:
    id: str
    phase: str
    to_generation: int
    who: str
    until: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """A device that answered. Generation 0 means it has none."""

    device: str
    facts: Facts
    tool: InstalledTool | None = None
    current: int = 0
    committed: int = 0
    generation_digest: str | None = None
    manifest: str | None = None
    """Canonical JSON of the committed generation manifest."""
    deployment: int = 0
    root_digest: str | None = None
    transaction: PendingTransaction | None = None
    quarantined: tuple[str, ...] = ()
    health: tuple[PipelineHealth, ...] = ()
    drift: tuple[DriftFound, ...] = ()
    last_receipt: int = 0
    needs_hands: str = ""
    worries: tuple[str, ...] = ()
    """What the device says of its own health that a person should look at."""


class Unreachability(StrEnum):
    """Why a device did not answer; each has its own hint."""

    CONNECT = "connect"
    HOST_KEY = "host-key"
    AUTHENTICATION = "authentication"
    SUDO = "sudo"
    TIMEOUT = "timeout"
    PYTHON = "python"
    PROTOCOL = "protocol"
    OFFLINE = "offline"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unobserved:
    """A device that could not be looked at, and why."""

    device: str
    reason: Unreachability
    detail: str
    hint: str = field(default="")


Observation = Observed | Unobserved
