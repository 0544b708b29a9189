"""Whether a device really is what the spec takes it for: probed facts against its class.

What can be known before anything is sent is refused here; the device checks again at preflight.
"""

from collections.abc import Iterable, Iterator

from edgeform.diagnostics import Diagnostic
from edgeform.domain.artifacts import LockedArtifact
from edgeform.domain.observed import Facts
from edgeform.domain.quantities import show_bytes
from edgeform.domain.site import Device
from edgeform.plan import problems
from edgeform.plan.select import minor, numbers

ROOM = 1.2
"""A device wants 1.2 x the new bytes free before it begins; docs/device.md, step 2 (preflight)."""

_ARCH_NAMES = {"amd64": "x86_64", "arm64": "aarch64"}


def misfits(
    device: Device,
    facts: Facts,
    artifacts: Iterable[LockedArtifact],
    *,
    send_bytes: int,
    drivers_change: bool,
) -> tuple[Diagnostic, ...]:
    """Why the device cannot take what it should; empty when nothing speaks against it."""
    return (
        *_class(device, facts),
        *_runtime(device, facts, artifacts),
        *_accelerator(device, facts, drivers_change=drivers_change),
        *_room(device, facts, send_bytes),
        *_clock(device, facts),
    )


def _class(device: Device, facts: Facts) -> Iterator[Diagnostic]:
    hardware = device.hardware
    if _arch(facts.arch) != _arch(hardware.arch):
        yield problems.does_not_fit(
            "architecture",
            device.name,
            wanted=hardware.arch,
            found=facts.arch,
            hint=f"Give it a class for {facts.arch}, or correct its address.",
        )
    wanted = (hardware.os.id, hardware.os.version or facts.os_version)
    # Packages and vendor roles are written for one release; all else asks for architecture, glibc and
    # Python, which are judged for themselves, whatever the release is called.
    is_bound = bool(hardware.drivers.packages or hardware.drivers.vendor_roles)
    if is_bound and (facts.os_id, facts.os_version) != wanted:
        yield problems.does_not_fit(
            "operating system",
            device.name,
            wanted=" ".join(part for part in (hardware.os.id, hardware.os.version) if part),
            found=f"{facts.os_id} {facts.os_version}".strip(),
            hint="Give it a class for that system, or install the one of its class.",
        )


def _runtime(
    device: Device, facts: Facts, artifacts: Iterable[LockedArtifact]
) -> Iterator[Diagnostic]:
    for artifact in artifacts:
        if artifact.kind != "runtime":
            continue
        python = artifact.required("python")
        if python is not None and minor(facts.python) != python:
            yield problems.does_not_fit(
                "Python",
                device.name,
                wanted=f"{python} (what the runtime {artifact.name} was built for)",
                found=facts.python,
                hint=_own_class(device, f"python: '{minor(facts.python)}'"),
            )
        glibc = artifact.required("glibc")
        if glibc is not None and numbers(facts.glibc) < numbers(glibc):
            yield problems.does_not_fit(
                "glibc",
                device.name,
                wanted=f"at least {glibc} (what the runtime {artifact.name} was built for)",
                found=facts.glibc or "none",
                hint=_own_class(device, f"glibc: '{facts.glibc}'"),
            )


def _own_class(device: Device, line: str) -> str:
    """Where to write it: a builtin class is nobody's to change."""
    name = device.hardware.name
    if name.startswith("builtin/"):
        return f"Give it a class of your own: `extends: {name}`, with {line}."
    return f"Write {line} in class {name}."


def _accelerator(device: Device, facts: Facts, *, drivers_change: bool) -> Iterator[Diagnostic]:
    kind = device.hardware.accelerator
    if kind == "cpu":
        return
    states = [seen.state for seen in facts.accelerators if seen.kind == kind]
    if not states:
        yield problems.no_accelerator(device.name, kind, "no such hardware")
    elif "ready" not in states and not drivers_change:
        # With driver changes ahead, they may be exactly what it is waiting for.
        yield problems.no_accelerator(device.name, kind, ", ".join(sorted(set(states))))


def _room(device: Device, facts: Facts, send_bytes: int) -> Iterator[Diagnostic]:
    need = round(ROOM * send_bytes)
    if need > facts.disk_free_bytes:
        yield problems.disk_full(device.name, show_bytes(need), show_bytes(facts.disk_free_bytes))


def _clock(device: Device, facts: Facts) -> Iterator[Diagnostic]:
    if device.require_clock and facts.clock == "unknown":
        yield problems.no_clock(device.name)


def _arch(name: str) -> str:
    return _ARCH_NAMES.get(name, name)
