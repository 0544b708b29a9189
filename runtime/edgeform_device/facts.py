"""The probe's facts that preflight judges by, typed; the device believes its probe, so nothing is doubted."""

from dataclasses import dataclass
from typing import Any, Dict, Tuple


@dataclass(frozen=True)
class Facts:
    """What this machine is, as far as an artifact may demand something of it.

    Args:
        accelerators: (kind, state) of each one seen.
        free_bytes: on the prefix's file system.
    """

    arch: str
    glibc: str
    python: str
    clock: str
    boot_id: str
    free_bytes: int
    accelerators: Tuple[Tuple[str, str], ...]


def of_probe(answer: Dict[str, Any]) -> Facts:
    """The facts in what `probe.probe` answered."""
    return Facts(
        arch=answer["arch"],
        glibc=answer["glibc"],
        python=answer["python"],
        clock=answer["clock"],
        boot_id=answer["boot_id"],
        free_bytes=answer["disk_free_bytes"],
        accelerators=tuple((a["kind"], a["state"]) for a in answer["accelerators"]),
    )


def now(root: str, prefix: str) -> Facts:
    """The facts at this moment."""
    from edgeform_device.probe import probe  # noqa: PLC0415 - preflight's tests bring facts of their own

    return of_probe(probe({}, root, prefix))
