"""Whether an approved deployment fits this machine now: a pure judgement, all refusals at once."""

import re
from dataclasses import dataclass
from typing import Dict, Iterator, Optional, Tuple

from edgeform_device.errors import DeviceError, Held, Incomplete, Refused, Stale
from edgeform_device.facts import Facts
from edgeform_device.records import Committed, Quarantined
from edgeform_device.trusted import Approved
from edgeform_device.wording import shown_bytes
from edgeform_wire import digest as digests
from edgeform_wire.artifact import Artifact

SPACE_FACTOR = 1.2
ROLLBACK_BYTES = 2 * 1024 * 1024
"""What turning back writes: state files, a receipt, journal lines; the old trees are still there."""
KNOWN = "known"


@dataclass(frozen=True)
class Situation:
    """What the judgement depends on, besides the deployment.

    Args:
        new_bytes: what the deployment will still write; missing_bytes: what has not arrived.
        secrets: what each secret that is here was planned as, by name; empty where nobody said.
        can_sign: whether receipts can be signed.
    """

    facts: Facts
    committed: Optional[Committed]
    quarantine: Dict[str, Quarantined]
    secrets: Dict[str, str]
    new_bytes: int
    missing_bytes: int
    can_sign: bool


def refusals(approved: Approved, situation: Situation) -> Tuple[DeviceError, ...]:
    """Everything that stands against the deployment, the weightiest first; empty when nothing does."""
    found = [
        *_base(approved, situation.committed),
        *_held(approved, situation.quarantine),
        *_fit(approved, situation.facts),
        *_space(situation),
        *_secrets(approved, situation.secrets),
        *_policy(approved, situation),
        *_bytes(situation),
    ]
    return tuple(found)


def _base(approved: Approved, committed: Optional[Committed]) -> Iterator[DeviceError]:
    base = approved.deployment.base
    here = (0, None) if committed is None else (committed.generation, committed.digest)
    if here != (base.generation, base.digest):
        yield Stale(
            f"The plan was made for generation {base.generation}; this device is at {here[0]}.",
            detail="Something was activated or rolled back since the plan was made.",
            hint="Plan again:\n    edgeform plan",
        )


def _held(approved: Approved, quarantine: Dict[str, Quarantined]) -> Iterator[DeviceError]:
    digest = approved.deployment.generation.digest
    entry = quarantine.get(digest)
    if entry is not None:
        yield Held(
            f"Generation {digests.short(digest)} failed here before and is held.",
            detail=f"{entry.when}: {entry.reason}",
            hint="Publish a generation that differs; or, if what it failed of is gone, release it:\n"
            f"    edgeform release {approved.deployment.generation.device} {digests.short(digest)}",
        )


def _fit(approved: Approved, facts: Facts) -> Iterator[DeviceError]:
    for artifact in approved.all_artifacts:
        name = f"{artifact.kind} {artifact.name} {artifact.version}/{artifact.variant}"
        for what, wanted, actual, hint in _misfits(artifact, facts):
            yield Refused(
                f"{name} needs {what} {wanted}; this device has {actual}.",
                hint=hint,
            )


def _misfits(artifact: Artifact, facts: Facts) -> Iterator[Tuple[str, str, str, str]]:
    requires = artifact.requires
    if requires.arch is not None and requires.arch != facts.arch:
        yield (
            "architecture",
            requires.arch,
            facts.arch,
            "Check the device's class in the site spec.",
        )
    if requires.glibc is not None and _version(facts.glibc) < _version(requires.glibc):
        actual = facts.glibc or "another C library"
        yield (
            "glibc",
            requires.glibc,
            actual,
            "Use a closure built for this system, or a newer one.",
        )
    if requires.python is not None and _minor(requires.python) != _minor(facts.python):
        hint = "Build the runtime closure for the device's Python:\n    edgeform lock"
        yield "Python", requires.python, facts.python, hint
    if requires.accelerator not in (None, "cpu"):
        states = [state for kind, state in facts.accelerators if kind == requires.accelerator]
        if "ready" not in states:
            actual = f"it, but its state is {states[0]}" if states else "none"
            hint = "Install its driver:\n    edgeform apply" if states else "Check the hardware."
            yield "accelerator", str(requires.accelerator), actual, hint


def _space(situation: Situation) -> Iterator[DeviceError]:
    needed = int(SPACE_FACTOR * (situation.new_bytes + ROLLBACK_BYTES))
    free = situation.facts.free_bytes
    if free < needed:
        yield Refused(
            f"The disk has {shown_bytes(free)} free; {shown_bytes(needed)} are needed.",
            detail=f"That is {SPACE_FACTOR} x ({shown_bytes(situation.new_bytes)} new"
            f" + {shown_bytes(ROLLBACK_BYTES)} to turn back).",
            hint="Make room:\n    edgeform gc",
        )


def _secrets(approved: Approved, present: Dict[str, str]) -> Iterator[DeviceError]:
    for use in approved.deployment.generation.secrets:
        if use.name not in present:
            yield Refused(
                f"Secret {use.name} has not been delivered to this device.",
                hint="Deliver it over SSH, or have it sealed to this device's key, once that is pinned:\n"
                "    edgeform apply\n    edgeform publish plan.json",
            )
        elif present[use.name] and present[use.name] != use.hmac:
            yield Refused(
                f"Secret {use.name} on this device is not the one that was planned with.",
                hint="Deliver it again over SSH, or publish again to have it sealed:\n"
                "    edgeform apply\n    edgeform publish plan.json",
            )


def _policy(approved: Approved, situation: Situation) -> Iterator[DeviceError]:
    policy = approved.deployment.policy
    if policy.require_clock and approved.freshness != KNOWN:
        yield Stale(
            "This site demands a trusted clock (require_clock), and this device has none.",
            detail="How fresh the signed metadata is cannot be known; what runs keeps running.",
            hint="Let the device synchronise its time, then try again:\n    timedatectl status",
        )
    if not policy.unsigned_receipts and not situation.can_sign:
        yield Refused(
            "This site demands signed receipts, and nothing on this device can sign.",
            hint="Install openssl on the device, or allow unsigned receipts in the site spec.",
        )


def _bytes(situation: Situation) -> Iterator[DeviceError]:
    if situation.missing_bytes:
        yield Incomplete(
            f"{shown_bytes(situation.missing_bytes)} of blobs have not arrived.",
            hint="Send what is missing:\n    edgeform apply",
        )


def _version(text: str) -> Tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))


def _minor(text: str) -> Tuple[int, ...]:
    return _version(text)[:2]
