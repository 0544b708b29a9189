"""Deployments: the one signed document per device that says what to activate, from which base, how.

It stands among the targets as `sites/<site>/<device>.json`, signed by the site's role. SSH, stick and
pull carry the same bytes; the device's own transaction decides.
"""

from dataclasses import dataclass
from typing import Any, Dict, Optional

from edgeform_wire import artifact, asks, canonical, driverset, generation
from edgeform_wire.asks import Asks
from edgeform_wire.driverset import DriverSet
from edgeform_wire.errors import WireError
from edgeform_wire.fields import Fields, schema_of

SCHEMA = "edgeform.deployment/1"
CONFIRM = ("local", "controller", "both")


@dataclass(frozen=True)
class Base:
    """The state the plan was made for; `generation` 0 and no digest on a device without one."""

    generation: int
    digest: Optional[str]

    def to_json(self) -> Dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class Policy:
    """How the device goes about it. Times are seconds of CLOCK_BOOTTIME.

    Args:
        confirm: who decides: the checks (`local`), a new connection (`controller`), or both.
        confirm_s: after the switch, how long to wait for the controller.
        deadline_s: after the switch, when the guard turns back whatever happened.
        soak_s: how long the live generation must stay healthy before the decision.
        reboot_required, boots: a plan that reboots gets this many boots to be confirmed.
        require_clock: refuse to install without a trusted clock.
        unsigned_receipts: whether a device that cannot sign may still commit.
        tool: digest of a device tool artifact to update to, in a transaction of its own.
        drivers: .deb files to install before, in a transaction of their own.
        asks: what of its class the device looks for when it reports home by itself.
    """

    confirm: str = "local"
    confirm_s: float = 60.0
    deadline_s: float = 300.0
    soak_s: float = 2.0
    reboot_required: bool = False
    boots: int = 0
    require_clock: bool = False
    unsigned_receipts: bool = True
    tool: Optional[str] = None
    drivers: Optional[DriverSet] = None
    asks: Asks = ()

    def to_json(self) -> Dict[str, Any]:
        value = {k: v for k, v in vars(self).items() if k not in ("drivers", "asks")}
        value.update(driverset.optional(self.drivers))
        value.update(asks.optional(self.asks))
        return value


@dataclass(frozen=True)
class Deployment:
    """One device's next generation, with its base and its origin."""

    site: str
    device: str
    number: int
    base: Base
    generation: generation.Generation
    policy: Policy
    plan_digest: str
    spec_digest: str
    lock_digest: str
    issued_at: str

    @property
    def target_path(self) -> str:
        return target_path(self.site, self.device)

    def to_json(self) -> Dict[str, Any]:
        return {
            "schema": SCHEMA,
            "site": self.site,
            "device": self.device,
            "number": self.number,
            "base": self.base.to_json(),
            "generation": self.generation.to_json(),
            "policy": self.policy.to_json(),
            "plan_digest": self.plan_digest,
            "spec_digest": self.spec_digest,
            "lock_digest": self.lock_digest,
            "issued_at": self.issued_at,
        }

    def encoded(self) -> bytes:
        return canonical.encode(self.to_json())


def target_path(site: str, device: str) -> str:
    return f"sites/{site}/{device}.json"


def decode(document: bytes) -> Deployment:
    """The deployment of a target's bytes.

    Raises:
        WireError: not the agreed form, or its generation is for another device.
    """
    fields = schema_of(canonical.decode(document, "deployment"), SCHEMA, "deployment")
    found = Deployment(
        site=artifact.check_segment(fields.text("site"), "deployment.site"),
        device=artifact.check_segment(fields.text("device"), "deployment.device"),
        number=fields.integer("number", minimum=1),
        base=_base(fields.object("base")),
        generation=generation.from_json(fields.object("generation")),
        policy=_policy(fields.object("policy")),
        plan_digest=fields.digest("plan_digest"),
        spec_digest=fields.digest("spec_digest"),
        lock_digest=fields.digest("lock_digest"),
        issued_at=fields.text("issued_at"),
    )
    fields.done()
    inner = found.generation
    drivers = found.policy.drivers
    if drivers is not None and inner.artifact(drivers.artifact) is None:
        raise WireError(
            f"policy.drivers names {drivers.artifact}, which the generation does not list"
        )
    if (inner.site, inner.device) != (found.site, found.device):
        raise WireError(
            f"deployment for {found.site}/{found.device}"
            f" holds a generation for {inner.site}/{inner.device}"
        )
    return found


def _base(value: Dict[str, Any]) -> Base:
    fields = Fields(value, "deployment.base")
    found = Base(generation=fields.integer("generation"), digest=fields.optional_digest("digest"))
    fields.done()
    return found


def _policy(value: Dict[str, Any]) -> Policy:
    fields = Fields(value, "deployment.policy")
    found = Policy(
        confirm=fields.choice("confirm", CONFIRM),
        confirm_s=fields.number("confirm_s"),
        deadline_s=fields.number("deadline_s"),
        soak_s=fields.number("soak_s"),
        reboot_required=fields.boolean("reboot_required"),
        boots=fields.integer("boots"),
        require_clock=fields.boolean("require_clock"),
        unsigned_receipts=fields.boolean("unsigned_receipts"),
        tool=fields.optional_digest("tool"),
        drivers=_drivers(fields.object("drivers", default={})),
        asks=asks.asks_of(fields.object("asks", default={}), "policy.asks"),
    )
    fields.done()
    return found


def _drivers(value: Dict[str, Any]) -> Optional[DriverSet]:
    return driverset.driver_set(value) if value else None
