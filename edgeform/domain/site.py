"""A site: everything a team keeps in Git about its devices, after merging."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgeform.domain.artifacts import Model
from edgeform.domain.hardware import HardwareClass
from edgeform.domain.names import ClassName, DeviceName, SiteName
from edgeform.domain.pipeline import OPEN, Pipeline

if TYPE_CHECKING:
    from edgeform.domain.registries import RegistryRef


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretRef:
    """`{secret: env/NAME}` or `{secret: file/path#key}`: a name, never a value."""

    provider: str
    path: str
    key: str | None = None

    def __str__(self) -> str:
        return f"{self.provider}/{self.path}" + (f"#{self.key}" if self.key else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Connect:
    """How a device is reached.

    Args:
        mode: ssh, local (this very machine, another prefix) or offline (a stick only).
        become: none, or sudo. sudo_password: where it comes from if sudo asks for one.
        host_key: `ssh-ed25519 AAAA...`; None means the site's known_hosts file decides.
        config_file: an OpenSSH client configuration, for ProxyJump and the like.
    """

    mode: str = "ssh"
    host: str = ""
    port: int = 22
    user: str = ""
    key_file: str | None = None
    use_agent: bool = False
    become: str = "sudo"
    sudo_password: SecretRef | None = None
    host_key: str | None = None
    known_hosts: str | None = None
    proxy_jump: str | None = None
    config_file: str | None = None
    connect_timeout_s: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One box, after merging; its class is resolved and its pipelines are whole."""

    name: DeviceName
    hardware: HardwareClass
    connect: Connect
    labels: tuple[tuple[str, str], ...] = ()
    pipelines: tuple[Pipeline, ...] = ()
    secrets: tuple[tuple[str, SecretRef], ...] = ()
    prefix: str = "/var/lib/edgeform"
    confirm: str = "controller"
    confirm_s: float = 60.0
    deadline_s: float = 300.0
    soak_s: float = 2.0
    keep_generations: int = 3
    require_clock: bool = False
    unsigned_receipts: bool = True
    address: str = ""
    """Where the device is written in the site, as file:line:column."""

    def label(self, key: str) -> str | None:
        return dict(self.labels).get(key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """How a fleet is changed; this version has one wave, and refuses by name what asks for more."""

    name: str = "default"
    max_parallel: int = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The whole desired state, immutable; `digest` covers every file it was read from."""

    name: SiteName
    digest: str
    devices: tuple[Device, ...] = ()
    classes: tuple[HardwareClass, ...] = ()
    models: tuple[Model, ...] = ()
    registries: "tuple[RegistryRef, ...]" = ()
    rollout: Rollout = field(default_factory=Rollout)
    egress: str = OPEN

    def device(self, name: str) -> Device | None:
        return next((d for d in self.devices if d.name == name), None)

    def hardware_class(self, name: ClassName) -> HardwareClass | None:
        return next((c for c in self.classes if c.name == name), None)
