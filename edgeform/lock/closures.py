"""The runtime closures that devices need, and which locked one serves which device."""

from collections.abc import Iterable
from dataclasses import dataclass

from edgeform.domain.artifacts import LockedArtifact
from edgeform.domain.hardware import HOST_VERSION
from edgeform.domain.site import Device
from edgeform.domain.stages.extras import extras_of


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class RuntimeRequest:
    """A runtime closure: one engine for one kind of system."""

    engine: str
    engine_version: str | None
    arch: str
    glibc: str | None
    python: str | None
    extras: tuple[str, ...] = ()
    """Stage extras, sorted: see `domain.stages.extras`."""


def beside(extras: tuple[str, ...]) -> str:
    """The stage extras of a closure, as words behind its name."""
    return f" with {', '.join(extras)}" if extras else ""


def runtimes_of(devices: Iterable[Device]) -> tuple[RuntimeRequest, ...]:
    """The closures that devices need, each once, in order."""
    found = {
        RuntimeRequest(
            engine=device.hardware.runtime.engine,
            engine_version=device.hardware.runtime.version,
            arch=device.hardware.arch,
            glibc=device.hardware.glibc,
            python=device.hardware.python,
            extras=extras_of(device.pipelines),
        )
        for device in devices
    }
    return tuple(sorted(found, key=lambda r: tuple(str(part) for part in _parts(r))))


def serves(artifact: LockedArtifact, request: RuntimeRequest) -> bool:
    """Whether a locked artifact is a closure for the request."""
    return (
        artifact.kind == "runtime"
        and artifact.engine == request.engine
        and artifact.extras == request.extras
        and (
            request.engine_version is None
            or artifact.engine_version in (request.engine_version, HOST_VERSION)
        )
        and artifact.required("arch") in (None, request.arch)
        and artifact.required("python") in (None, request.python)
        and _numbers(artifact.required("glibc")) <= _numbers(request.glibc or "999")
    )


def _numbers(version: str | None) -> tuple[int, ...]:
    return tuple(int(part) for part in (version or "").split(".") if part.isdigit())


def _parts(request: RuntimeRequest) -> tuple[str | None, ...]:
    return (
        request.engine,
        request.engine_version,
        request.arch,
        request.glibc,
        request.python,
        *request.extras,
    )
