"""What the controller and its worker processes say to each other: frames of `edgeform_wire.frames`.

Requests carry small stdin pieces as their body and file parts as path, offset and length (same machine).
They travel through a pipe only, because they may hold a sudo password.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from edgeform.domain.drivers import DriverTuple, Package, PackageSource, UdevRule
from edgeform.domain.observed import Unreachability
from edgeform.domain.site import Connect
from edgeform.errors import EdgeformError
from edgeform.transport.base import FilePart, Finished, Piece, ProvisionStep, Run, Target

MAX_BODY_BYTES = 256 * 1024 * 1024

BEAT_S = 2.0
"""How often a worker says that it is alive while it has something to do."""

Header = dict[str, Any]  # JSON, parsed on arrival


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    target: Target
    command: Run


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisionRequest:
    target: Target
    drivers: DriverTuple


Request = RunRequest | ProvisionRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreached:
    """A DeviceUnreachable on its way home."""

    reason: Unreachability
    detail: str
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """Something of ours failed, not the device: a file to send is gone, or a bug."""

    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Provisioned:
    """The provision lane has ended; its steps came before this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alive:
    """A sign of life."""


Answer = Finished | Unreached | Failed | ProvisionStep | Provisioned | Alive


class WorkerFailed(EdgeformError):
    """A worker process could not do its part for a reason of this machine, not of the device."""

    summary = "Transport failed"


def encode_request(request: Request) -> tuple[Header, tuple[bytes, ...]]:
    """The frame header and the body's pieces."""
    match request:
        case RunRequest(target=target, command=command):
            body = tuple(piece for piece in command.stdin if isinstance(piece, bytes))
            header: Header = {
                "op": "run",
                "target": _target_to_json(target),
                "argv": list(command.argv),
                "stdin": [_piece_to_json(piece) for piece in command.stdin],
                "timeout_s": command.timeout_s,
                "become": command.become,
                "new_connection": command.new_connection,
            }
            return header, body
        case ProvisionRequest(target=target, drivers=drivers):
            return {
                "op": "provision",
                "target": _target_to_json(target),
                "drivers": _drivers_to_json(drivers),
            }, ()


def decode_request(header: Header, body: bytes) -> Request:
    target = _target_from_json(header["target"])
    if header["op"] == "provision":
        return ProvisionRequest(target=target, drivers=_drivers_from_json(header["drivers"]))
    return RunRequest(
        target=target,
        command=Run(
            argv=tuple(header["argv"]),
            stdin=_pieces_from_json(header["stdin"], body),
            timeout_s=header["timeout_s"],
            become=header["become"],
            new_connection=header["new_connection"],
        ),
    )


def encode_answer(answer: Answer) -> tuple[Header, bytes]:
    match answer:
        case Finished(exit_code=exit_code, stdout=stdout, stderr=stderr):
            header = {"kind": "finished", "exit_code": exit_code, "stdout_bytes": len(stdout)}
            return header, stdout + stderr
        case Unreached(reason=reason, detail=detail, hint=hint):
            return {"kind": "unreached", "reason": reason, "detail": detail, "hint": hint}, b""
        case Failed(detail=detail):
            return {"kind": "failed", "detail": detail}, b""
        case ProvisionStep():
            step = {f.name: getattr(answer, f.name) for f in fields(answer)}
            return {"kind": "step", "step": step}, b""
        case Provisioned():
            return {"kind": "provisioned"}, b""
        case Alive():
            return {"kind": "alive"}, b""


def decode_answer(header: Header, body: bytes) -> Answer:
    match header["kind"]:
        case "finished":
            split = header["stdout_bytes"]
            return Finished(exit_code=header["exit_code"], stdout=body[:split], stderr=body[split:])
        case "unreached":
            return Unreached(
                reason=Unreachability(header["reason"]),
                detail=header["detail"],
                hint=header["hint"],
            )
        case "step":
            return ProvisionStep(**header["step"])
        case "provisioned":
            return Provisioned()
        case "alive":
            return Alive()
        case _:
            return Failed(detail=str(header.get("detail", header["kind"])))


def _piece_to_json(piece: Piece) -> Header:
    if isinstance(piece, FilePart):
        # The worker's working directory is not the caller's.
        return {
            "path": str(piece.path.absolute()),
            "offset": piece.offset,
            "length": piece.length,
        }
    return {"bytes": len(piece)}


def _pieces_from_json(items: list[Header], body: bytes) -> tuple[Piece, ...]:
    pieces: list[Piece] = []
    at = 0
    for item in items:
        if "path" in item:
            pieces.append(
                FilePart(path=Path(item["path"]), offset=item["offset"], length=item["length"])
            )
        else:
            pieces.append(body[at : at + item["bytes"]])
            at += item["bytes"]
    return tuple(pieces)


def _target_to_json(target: Target) -> Header:
    # The reference to the sudo password stays here; the worker gets the value or nothing.
    connect = {
        f.name: getattr(target.connect, f.name)
        for f in fields(Connect)
        if f.name != "sudo_password"
    }
    return {
        "name": target.name,
        "connect": connect,
        "known_hosts": None if target.known_hosts is None else str(target.known_hosts.absolute()),
        "sudo_password": target.sudo_password,
        "prefix": target.prefix,
        "runtime_user": target.runtime_user,
    }


def _target_from_json(header: Header) -> Target:
    known_hosts = header["known_hosts"]
    return Target(
        name=header["name"],
        connect=Connect(**header["connect"]),
        known_hosts=None if known_hosts is None else Path(known_hosts),
        sudo_password=header["sudo_password"],
        prefix=header["prefix"],
        runtime_user=header["runtime_user"],
    )


def _drivers_to_json(drivers: DriverTuple) -> Header:
    return {
        "packages": [{f.name: getattr(p, f.name) for f in fields(p)} for p in drivers.packages],
        "modules": list(drivers.modules),
        "udev_rules": [{"name": r.name, "content": r.content} for r in drivers.udev_rules],
        "groups": list(drivers.groups),
        "sysctl": [list(pair) for pair in drivers.sysctl],
        "artifact": drivers.artifact,
    }


def _drivers_from_json(header: Header) -> DriverTuple:
    """The part of a tuple that the provision lane carries out."""
    return DriverTuple(
        packages=tuple(
            Package(
                name=p["name"],
                version=p["version"],
                source=PackageSource(p["source"]),
                hold=p["hold"],
            )
            for p in header["packages"]
        ),
        modules=tuple(header["modules"]),
        udev_rules=tuple(UdevRule(**rule) for rule in header["udev_rules"]),
        groups=tuple(header["groups"]),
        sysctl=tuple((key, value) for key, value in header["sysctl"]),
        artifact=header["artifact"],
    )
