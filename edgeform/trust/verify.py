"""Judging a repository as a device would, with evidence a person can read.

The verdict is the device's own client (`edgeform_device.tuf`), run over the folder in memory; the
signatures named as evidence are checked once more by python-tuf. Reading only: nothing is written.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tuf.api.metadata import Targets

from edgeform.errors import Corrupt, EdgeformError, NotTrusted, Stale
from edgeform.trust import roles
from edgeform.trust.repository import Repository, target_file
from edgeform_device import errors as device_errors
from edgeform_device import p256, tuf
from edgeform_device.clock import Clock
from edgeform_device.p256_openssl import system_verify
from edgeform_device.tuf_store import folder_fetch


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One thing that was proven: about what, and how."""

    subject: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A repository that a device with this root would accept now."""

    profile: str
    root_sha256: str
    targets: int
    evidence: tuple[Evidence, ...]


def verify(
    folder: Path,
    *,
    now: datetime,
    trusted_root: bytes | None = None,
    verify_signature: p256.Verify | None = None,
) -> Verified:
    """Prove a whole repository folder: every role, every signature, every target's content.

    Args:
        folder: holds `metadata/` and `targets/`.
        now: the time to judge expiry by; taken as certain.
        trusted_root: the root to start from, as a device has it; by default the folder's own first
            root, which proves only that the folder agrees with itself.
        verify_signature: judges signatures; by default edgeform's verifier and openssl together.

    Raises:
        NotTrusted, Stale, Corrupt: what a device would say, at the first thing that is wrong.
    """
    repository = Repository(folder)
    anchor = trusted_root if trusted_root is not None else _own_root(repository)
    fetch = folder_fetch(str(repository.metadata))
    try:
        trusted = judged(fetch, anchor, now=now, verify_signature=verify_signature)
        targets = tuple(trusted.every_target())
    except device_errors.DeviceError as exc:
        raise translated(exc, str(folder)) from exc
    digest = hashlib.sha256(anchor).hexdigest()
    whose = "given" if trusted_root is not None else "its own; compare this with what devices have"
    evidence = [Evidence(subject="anchor", text=f"sha256:{digest} ({whose})")]
    evidence.extend(_role_evidence(repository))
    for role, target in targets:
        _check_content(repository, target)
        text = f"{target.length} bytes, sha256:{target.sha256[:12]}, signed by role {role}"
        evidence.append(Evidence(subject=target.path, text=text))
    return Verified(
        profile=trusted.root_profile,
        root_sha256=digest,
        targets=len(targets),
        evidence=tuple(evidence),
    )


def judged(
    fetch: tuf.Fetch,
    root: bytes,
    *,
    now: datetime,
    verify_signature: p256.Verify | None = None,
) -> tuf.Trusted:
    """What a device that obeys this root and knows the time would believe of a repository's metadata.

    Raises:
        edgeform_device.errors.DeviceError: what the device would say; `translated` makes it ours.
    """
    now_s = int(now.timestamp())
    clock = Clock(built_s=now_s, now_s=now_s, is_vouched=True)
    return tuf.refresh_store(_MemoryStore(root), fetch, clock, verify_signature or system_verify())


def translated(error: device_errors.DeviceError, address: str) -> EdgeformError:
    """The device client's refusal as the controller's error of the same exit code."""
    text = f"{error.summary}\n{error.detail}".strip()
    kinds: tuple[Callable[..., EdgeformError], ...] = (NotTrusted, Stale, Corrupt)
    for kind in kinds:
        if getattr(kind, "exit_code", None) == error.exit_code:
            return kind(text, address=address, hint=error.hint)
    return EdgeformError(text, address=address, hint=error.hint)


class _MemoryStore:
    """A device's metadata store that leaves nothing behind."""

    def __init__(self, root: bytes) -> None:
        self._files = {"root": root}

    def read(self, role: str, limit: int) -> bytes | None:
        data = self._files.get(role)
        return None if data is None else data[: limit + 1]

    def write(self, role: str, data: bytes) -> None:
        self._files[role] = data


def _own_root(repository: Repository) -> bytes:
    file = repository.metadata / "1.root.json"
    try:
        return file.read_bytes()
    except OSError as exc:
        raise NotTrusted(
            f"There is no root to start from: {exc.strerror}.",
            address=str(file),
            hint="Give the folder that holds `metadata` and `targets`, or a root of your own.",
        ) from exc


def _role_evidence(repository: Repository) -> Iterator[Evidence]:
    """Who signed what, by python-tuf: a second implementation that must come to the same counts."""
    root, timestamp, snapshot = repository.root(), repository.timestamp(), repository.snapshot()
    if root is None or timestamp is None or snapshot is None:
        raise AssertionError("the device's client has verified these")
    for name, role in (
        (roles.ROOT, root),
        (roles.TIMESTAMP, timestamp),
        (roles.SNAPSHOT, snapshot),
    ):
        result = root.signed.get_verification_result(name, role.signed_bytes, role.signatures)
        yield _evidence(
            name, role.signed.version, role.signed.expires, result.threshold, result.signed
        )
    for name in sorted(repository.role_names(), key=lambda name: (name != roles.TARGETS, name)):
        published = repository.published_role(name)
        if published is None:
            raise AssertionError("the device's client has verified this role")
        delegator = root.signed if name == roles.TARGETS else _published_delegator(repository, name)
        result = delegator.get_verification_result(
            name, published.signed_bytes, published.signatures
        )
        if not result:
            raise NotTrusted(
                f"python-tuf counts {len(result.signed)} of {result.threshold} signatures on {name}, "
                "edgeform's client accepts it: two implementations disagree.",
                hint="Do not use this repository; report it.",
            )
        yield _evidence(
            name,
            published.signed.version,
            published.signed.expires,
            result.threshold,
            result.signed,
        )


def _published_delegator(repository: Repository, name: str) -> Targets:
    for candidate in (roles.TARGETS, name.rpartition("-")[0]):
        role = repository.published_role(candidate)
        delegations = role.signed.delegations if role else None
        succinct = delegations.succinct_roles if delegations else None
        if role and delegations and name in (delegations.roles or {}):
            return role.signed
        if role and succinct and succinct.is_delegated_role(name):
            return role.signed
    raise NotTrusted(
        f"The snapshot lists {name!r}, but no role delegates to it.",
        hint="Publish the repository again.",
    )


def _evidence(
    name: str, version: int, expires: datetime, threshold: int, signed: dict[str, object]
) -> Evidence:
    keys = ", ".join(sorted(key_id[:12] for key_id in signed))
    until = expires.astimezone(UTC).strftime("%Y-%m-%d")
    return Evidence(
        subject=name,
        text=f"version {version}, {len(signed)} signatures of {threshold} needed ({keys}), "
        f"until {until}",
    )


def _check_content(repository: Repository, target: tuf.TargetInfo) -> None:
    file = target_file(repository.targets, target.path, target.sha256)
    if not file.is_file():
        raise Corrupt(
            f"The signed target {target.path} is missing.",
            address=str(file),
            hint="Restore the repository from its remote:\n    edgeform store pull DIRECTORY",
        )
    content = file.read_bytes()
    if len(content) != target.length or hashlib.sha256(content).hexdigest() != target.sha256:
        raise Corrupt(
            f"The content of {target.path} is not what is signed.",
            address=str(file),
            hint="Restore the repository from its remote:\n    edgeform store pull DIRECTORY",
        )
